"""ViLaMP's compressor: differential keyframes whole, every other frame as one token (Eq. 3-11).

It only puts the pure functions of `keyframes` and `merge` in order. Of a video it holds one chunk of patches
and those of the anchor keyframe.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

from jaxtyping import Float
from torch import Tensor

from niah.adapters.compressor import Choice, Connectors, TokenChunk
from vilamp.config import VilampConfig
from vilamp.keyframes import select_keyframes
from vilamp.merge import merge_features, patch_saliency


@dataclass(frozen=True)
class Differential:
    """The paper's rule and its four constants (section 5.1), without weights of its own."""

    keyframes: int  # K, at most
    threshold: float  # tau of Algorithm 1
    redundancy_weight: float  # lambda of Eq. 5
    temperature: float  # alpha of Eq. 10

    guided = True

    @classmethod
    def of(cls, config: VilampConfig) -> Differential:
        """Return the compressor a checkpoint was trained with."""
        return cls(config.keyframes, config.threshold, config.redundancy_weight, config.temperature)

    def settings(self) -> dict[str, float | str | None]:
        """Return the name and the constants."""
        return {"compressor": "vilamp", **asdict(self)}

    def choose(self, frames: Float[Tensor, "frames dim"], query: Float[Tensor, " dim"]) -> Choice:
        """See all frames and keep what Algorithm 1 selects."""
        kept = select_keyframes(frames, query, self.keyframes, self.threshold)
        return Choice(range(len(frames)), kept)

    def tokens(self, choice: Choice, patches: int) -> int:
        """Return M K + (N - K)."""
        return len(choice.seen) + (patches - 1) * len(choice.kept)

    def compress(
        self,
        choice: Choice,
        query: Float[Tensor, " dim"],
        chunks: Iterable[tuple[Sequence[int], Float[Tensor, "_frames patches dim"]]],
        connect: Connectors,
    ) -> Iterator[TokenChunk]:
        """Merge all frames but the kept ones; both in temporal order (Eq. 5-11)."""
        kept = frozenset(choice.kept)
        anchor: Tensor | None = None  # (patches, dim) of the last keyframe so far
        for numbers, patches in chunks:
            cuts = [position for position, number in enumerate(numbers) if number in kept]
            start = 0
            for cut in [*cuts, len(patches)]:  # a run of frames that share their anchor, then a keyframe
                if start < cut:
                    yield TokenChunk(numbers[start:cut], self._merged(patches[start:cut], anchor, query, connect))
                if cut < len(patches):
                    anchor = patches[cut].clone()  # a view would keep its whole chunk
                    keyframe = connect.keyframe(connect.features(anchor[None])[0])
                    yield TokenChunk([numbers[cut]] * len(anchor), keyframe)
                start = cut + 1

    def _merged(
        self,
        patches: Float[Tensor, "frames patches dim"],
        anchor: Float[Tensor, "patches dim"] | None,
        query: Float[Tensor, " dim"],
        connect: Connectors,
    ) -> Float[Tensor, "frames hidden"]:
        """Return one token for each frame of a run that follows one keyframe, or none."""
        saliency = patch_saliency(patches, anchor, query, self.redundancy_weight)
        return connect.merged(merge_features(connect.features(patches), saliency, self.temperature))

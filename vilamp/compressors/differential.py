"""ViLaMP's compressor: differential keyframes whole, every other frame as one token (Eq. 3-11).

It applies the pure functions of `keyframes` and `merge`. Of a video it holds one chunk of features and the patches of
the anchor keyframe.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from jaxtyping import Float
from torch import Tensor

from niah.adapters.compressor import EMBEDDING, PATCHES, Choice, Connectors, FrameChunk, Settings, TokenChunk
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

    needs = (EMBEDDING, PATCHES)
    guided = True

    @classmethod
    def of(cls, config: VilampConfig) -> Differential:
        """Return the compressor a checkpoint was trained with."""
        return cls(config.keyframes, config.threshold, config.redundancy_weight, config.temperature)

    def settings(self) -> Settings:
        """Return the name and the constants."""
        return {"compressor": "vilamp", **asdict(self)}

    def choose(self, embeddings: Float[Tensor, "frames dim"], query: Float[Tensor, " dim"]) -> Choice:
        """See all frames and keep what Algorithm 1 selects."""
        kept = select_keyframes(embeddings, query, self.keyframes, self.threshold)
        return Choice(range(len(embeddings)), kept)

    def tokens(self, choice: Choice, patches: int) -> int:
        """Return M K + (N - K)."""
        return len(choice.seen) + (patches - 1) * len(choice.kept)

    def compress(
        self, choice: Choice, query: Float[Tensor, " dim"], chunks: Iterable[FrameChunk], connect: Connectors
    ) -> Iterator[TokenChunk]:
        """Merge all frames but the kept ones; both in temporal order (Eq. 5-11)."""
        kept = frozenset(choice.kept)
        anchor: Tensor | None = None  # (patches, dim) of the last keyframe so far
        for frames, patches, features in chunks:
            keyframes = [row for row, number in enumerate(frames) if number in kept]
            start = 0
            for row in [*keyframes, len(frames)]:
                if start < row:  # frames that share their anchor
                    saliency = patch_saliency(patches[start:row], anchor, query, self.redundancy_weight)
                    merged = merge_features(features[start:row], saliency, self.temperature)
                    yield TokenChunk(frames[start:row], connect.merged(merged))
                if row < len(frames):
                    anchor = patches[row].clone()  # a view would keep its whole chunk
                    yield TokenChunk([frames[row]] * len(anchor), connect.keyframe(features[row]))
                start = row + 1

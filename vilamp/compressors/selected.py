"""Schemes that find clips or frames by the question and show little or nothing of the rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from niah.adapters.compressor import Choice, Chunks, Connectors, TokenChunk
from vilamp.compressors.budget import averaging

CLIP = 16  # frames that are retrieved together
DENSE = 16  # tokens a frame of a retrieved clip has
THIN = 4  # tokens a frame that LongVU does not show whole has


@dataclass(frozen=True)
class Retrieve:
    """Retrieve, then read, as Goldfish does (arXiv 2407.12679): the clips most like the question, 16 tokens a frame.

    A clip is 16 frames, as like the question as its likeliest frame. The whole budget goes to clips that were found,
    the last one cut to it. Holds the embedding of every frame while it chooses.
    """

    budget: float

    guided = True

    def settings(self) -> dict[str, float | str | None]:
        """Return name, budget and sizes."""
        return {"compressor": "retrieve", "budget": self.budget, "clip": CLIP, "tokens": DENSE}

    def choose(self, frames: Tensor, query: Tensor) -> Choice:
        """See the frames of the best clips."""
        room = min(len(frames), max(1, round(self.budget * len(frames) / DENSE)))
        likeness = [float(clip.max()) for clip in (frames @ query).split(CLIP)] if len(frames) else []
        best = sorted(range(len(likeness)), key=lambda clip: (-likeness[clip], clip))
        found = [number for clip in best for number in range(clip * CLIP, min((clip + 1) * CLIP, len(frames)))]
        return Choice(sorted(found[:room]), ())

    def tokens(self, choice: Choice, patches: int) -> int:
        """Return 16 a frame seen."""
        return DENSE * len(choice.seen)

    def compress(self, choice: Choice, query: Tensor, chunks: Chunks, connect: Connectors) -> Iterator[TokenChunk]:
        """Yield each frame seen as means over 16 squares of patches."""
        for numbers, patches in chunks:
            means = averaging(DENSE, patches.shape[1]).to(patches) @ connect.features(patches)
            yield TokenChunk([number for number in numbers for _ in range(DENSE)], connect.merged(means.flatten(0, 1)))


@dataclass(frozen=True)
class Reduce:
    """LongVU's reduction (arXiv 2410.17434) at a budget: the likeliest frames whole, those that differ thin.

    Half of the budget goes to whole frames, by likeness to the question; half to frames of 4 tokens, by how little
    they are like the frame before. LongVU thresholds instead, and also thins tokens within a window.
    Holds the embedding of every frame while it chooses.
    """

    budget: float
    patches: int

    guided = True

    def settings(self) -> dict[str, float | str | None]:
        """Return name and budget."""
        return {"compressor": "longvu", "budget": self.budget, "thin": THIN}

    def choose(self, frames: Tensor, query: Tensor) -> Choice:
        """Keep the likeliest frames whole, and see those that differ most from the one before."""
        half = self.budget * len(frames) / 2
        kept = (frames @ query).argsort(descending=True, stable=True)[: max(1, round(half / self.patches))].tolist()
        alike = frames.new_ones(len(frames))
        alike[1:] = (frames[1:] * frames[:-1]).sum(-1)
        alike[:1] = -1.0  # the first frame has none before
        rest = [number for number in alike.argsort(stable=True).tolist() if number not in set(kept)]
        return Choice(sorted([*kept, *rest[: round(half / THIN)]]), sorted(kept))

    def tokens(self, choice: Choice, patches: int) -> int:
        """Return M a frame kept and 4 a frame only seen."""
        return patches * len(choice.kept) + THIN * (len(choice.seen) - len(choice.kept))

    def compress(self, choice: Choice, query: Tensor, chunks: Chunks, connect: Connectors) -> Iterator[TokenChunk]:
        """Yield frames in playing order, each through the connector of what it is."""
        kept = frozenset(choice.kept)
        for numbers, patches in chunks:
            features = connect.features(patches)
            thin = averaging(THIN, patches.shape[1]).to(patches) @ features
            for place, number in enumerate(numbers):
                whole = number in kept
                tokens = connect.keyframe(features[place]) if whole else connect.merged(thin[place])
                yield TokenChunk([number] * len(tokens), tokens)

"""Schemes that show whole frames, with ViLaMP's one token of every other frame or without."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch import Tensor

from niah.adapters.compressor import Choice, Chunks, Connectors, TokenChunk
from niah.adapters.sampling import bin_centres
from vilamp.compressors.budget import keyframes_beside_merged, whole_frames
from vilamp.compressors.differential import Differential
from vilamp.keyframes import fill_gaps


@dataclass(frozen=True)
class BudgetedDifferential:
    """ViLaMP's compressor with the K that its budget allows; as in the release, gaps are filled up to exactly K.

    Holds the embedding of every frame while it chooses, then what ViLaMP's compressor holds.
    """

    rule: Differential
    budget: float
    patches: int

    guided = True

    def settings(self) -> dict[str, float | str | None]:
        """Return name and budget with the paper's constants; K follows from the video."""
        constants = {name: value for name, value in self.rule.settings().items() if name != "keyframes"}
        return {**constants, "compressor": "differential", "budget": self.budget}

    def choose(self, frames: Tensor, query: Tensor) -> Choice:
        """See all frames and keep exactly K."""
        limit = keyframes_beside_merged(self.budget, len(frames), self.patches)
        kept = replace(self.rule, keyframes=limit).choose(frames, query).kept
        return Choice(range(len(frames)), fill_gaps(kept, len(frames), limit))

    def tokens(self, choice: Choice, patches: int) -> int:
        """Return M K + (N - K)."""
        return self.rule.tokens(choice, patches)

    def compress(self, choice: Choice, query: Tensor, chunks: Chunks, connect: Connectors) -> Iterator[TokenChunk]:
        """Merge all frames but the kept ones."""
        return self.rule.compress(choice, query, chunks, connect)


@dataclass(frozen=True)
class Keyframes:
    """ViLaMP's keyframes without its merged tokens. Holds the embedding of every frame while it chooses."""

    rule: Differential
    budget: float
    patches: int

    guided = True

    def settings(self) -> dict[str, float | str | None]:
        """Return name, budget and the threshold of likeness."""
        return {"compressor": "keyframes", "budget": self.budget, "threshold": self.rule.threshold}

    def choose(self, frames: Tensor, query: Tensor) -> Choice:
        """Keep exactly K frames and see no other."""
        limit = whole_frames(self.budget, len(frames), self.patches)
        kept = replace(self.rule, keyframes=limit).choose(frames, query).kept
        kept = fill_gaps(kept, len(frames), limit)
        return Choice(kept, kept)

    def tokens(self, choice: Choice, patches: int) -> int:
        """Return M K."""
        return patches * len(choice.kept)

    def compress(self, choice: Choice, query: Tensor, chunks: Chunks, connect: Connectors) -> Iterator[TokenChunk]:
        """Yield each keyframe whole."""
        return whole(chunks, connect)


@dataclass(frozen=True)
class Uniform:
    """Whole frames at bin centres, as many as the budget buys. Holds one chunk of patches."""

    budget: float
    patches: int

    guided = False

    def settings(self) -> dict[str, float | str | None]:
        """Return name and budget."""
        return {"compressor": "uniform", "budget": self.budget}

    def choose(self, frames: Tensor, query: Tensor) -> Choice:
        """Sample without looking."""
        sampled = bin_centres(len(frames), whole_frames(self.budget, len(frames), self.patches))
        return Choice(sampled, sampled)

    def tokens(self, choice: Choice, patches: int) -> int:
        """Return M K."""
        return patches * len(choice.seen)

    def compress(self, choice: Choice, query: Tensor, chunks: Chunks, connect: Connectors) -> Iterator[TokenChunk]:
        """Yield each sampled frame whole."""
        return whole(chunks, connect)


def whole(chunks: Chunks, connect: Connectors) -> Iterator[TokenChunk]:
    """Yield all patches of a chunk's frames at once, through the connector of keyframes."""
    for numbers, patches in chunks:
        tokens = connect.keyframe(connect.features(patches).flatten(0, 1))  # (frames x patches, hidden)
        yield TokenChunk([number for number in numbers for _ in range(patches.shape[1])], tokens)

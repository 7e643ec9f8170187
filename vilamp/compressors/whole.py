"""Compressors that show whole frames, with ViLaMP's one token of every other frame or without."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from niah.adapters.compressor import EMBEDDING, PATCHES, Choice, Connectors, FrameChunk, Settings, TokenChunk
from niah.adapters.sampling import bin_centres
from vilamp.compressors.budget import FrameLimit, TokenBudget, keyframes_beside_merged
from vilamp.compressors.differential import Differential
from vilamp.compressors.pooled import POOL, pooled
from vilamp.keyframes import fill_gaps


class WholeFrames:
    """What compressors have in common that show the frames they choose whole, and no others."""

    def tokens(self, choice: Choice, patches: int) -> int:
        """Return M a frame."""
        return patches * len(choice.seen)

    def compress(
        self, choice: Choice, query: Float[Tensor, " dim"], chunks: Iterable[FrameChunk], connect: Connectors
    ) -> Iterator[TokenChunk]:
        """Yield all patches of a chunk's frames at once, through the connector of keyframes."""
        for chunk in chunks:
            tokens = connect.keyframe(chunk.features.flatten(0, 1))  # (frames x patches, hidden)
            yield TokenChunk([number for number in chunk.frames for _ in range(chunk.features.shape[1])], tokens)


@dataclass(frozen=True)
class Uniform(WholeFrames):
    """Whole frames at bin centres, up to a limit. Holds one chunk of features; nothing grows with the video."""

    limit: FrameLimit

    needs = (PATCHES,)
    guided = False

    def settings(self) -> Settings:
        """Return the name and the limit."""
        return {"compressor": "uniform", **self.limit.settings()}

    def choose(self, embeddings: Float[Tensor, "frames dim"], query: Float[Tensor, " width"]) -> Choice:
        """Sample without looking."""
        sampled = bin_centres(len(embeddings), self.limit.of(len(embeddings)))
        return Choice(sampled, sampled)


@dataclass(frozen=True)
class PooledFrames(Uniform):
    """Frames at bin centres, each as means of 2 x 2 patches, up to a limit: uniform sampling as most models do it."""

    def settings(self) -> Settings:
        """Return the name and the limit."""
        return {"compressor": "pooled_frames", **self.limit.settings()}

    def tokens(self, choice: Choice, patches: int) -> int:
        """Return M / 4 a frame."""
        return patches // POOL**2 * len(choice.seen)

    def compress(
        self, choice: Choice, query: Float[Tensor, " dim"], chunks: Iterable[FrameChunk], connect: Connectors
    ) -> Iterator[TokenChunk]:
        """Yield the pooled patches of a chunk's frames at once, through the connector of merged tokens."""
        for chunk in chunks:
            means = pooled(chunk.features)  # (frames, pooled, channels)
            tokens = connect.merged(means.flatten(0, 1))
            yield TokenChunk([number for number in chunk.frames for _ in range(means.shape[1])], tokens)


@dataclass(frozen=True)
class TopK(WholeFrames):
    """The frames most similar to the query, up to a limit, however similar to one another.

    ViLaMP's selection without its redundancy rule. Holds the embedding of every frame while it chooses
    (4 x dim bytes a frame, as ViLaMP does), then one chunk of features.
    """

    limit: FrameLimit

    needs = (EMBEDDING, PATCHES)
    guided = True

    def settings(self) -> Settings:
        """Return the name and the limit."""
        return {"compressor": "topk", **self.limit.settings()}

    def choose(self, embeddings: Float[Tensor, "frames dim"], query: Float[Tensor, " dim"]) -> Choice:
        """Take frames in order of relevance; of equals the earlier."""
        ranked = (embeddings @ query).argsort(descending=True, stable=True)
        kept = sorted(ranked[: self.limit.of(len(embeddings))].tolist())
        return Choice(kept, kept)


@dataclass(frozen=True)
class Keyframes(WholeFrames):
    """ViLaMP's keyframes without its merged tokens. Holds the embedding of every frame while it chooses."""

    rule: Differential
    budget: TokenBudget

    needs = (EMBEDDING, PATCHES)
    guided = True

    def settings(self) -> Settings:
        """Return the name, the budget and the threshold of similarity."""
        return {"compressor": "keyframes", **self.budget.settings(), "threshold": self.rule.threshold}

    def choose(self, embeddings: Float[Tensor, "frames dim"], query: Float[Tensor, " dim"]) -> Choice:
        """Keep exactly K frames and see no other."""
        kept = choose_exactly(self.rule, embeddings, query, self.budget.of(len(embeddings)))
        return Choice(kept, kept)


@dataclass(frozen=True)
class BudgetedDifferential:
    """ViLaMP's compressor with the K that its budget allows; as in the release, gaps are filled up to exactly K.

    Holds the embedding of every frame while it chooses, then what ViLaMP's compressor holds.
    """

    rule: Differential
    budget: TokenBudget

    needs = (EMBEDDING, PATCHES)
    guided = True

    def settings(self) -> Settings:
        """Return the name and the budget with the paper's constants; K follows from the video."""
        constants = {name: value for name, value in self.rule.settings().items() if name != "keyframes"}
        return {**constants, "compressor": "differential", **self.budget.settings()}

    def choose(self, embeddings: Float[Tensor, "frames dim"], query: Float[Tensor, " dim"]) -> Choice:
        """See all frames and keep exactly K."""
        count = len(embeddings)
        limit = keyframes_beside_merged(self.budget.tokens, count, self.budget.patches)
        return Choice(range(count), choose_exactly(self.rule, embeddings, query, limit))

    def tokens(self, choice: Choice, patches: int) -> int:
        """Return M K + (N - K)."""
        return self.rule.tokens(choice, patches)

    def compress(
        self, choice: Choice, query: Float[Tensor, " dim"], chunks: Iterable[FrameChunk], connect: Connectors
    ) -> Iterator[TokenChunk]:
        """Merge all frames but the kept ones."""
        return self.rule.compress(choice, query, chunks, connect)


def choose_exactly(
    rule: Differential, embeddings: Float[Tensor, "frames dim"], query: Float[Tensor, " dim"], limit: int
) -> list[int]:
    """Return ViLaMP's keyframes with gaps filled, `limit` of them or all frames where there are fewer."""
    kept = replace(rule, keyframes=limit).choose(embeddings, query).kept
    return fill_gaps(kept, len(embeddings), limit)

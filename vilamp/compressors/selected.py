"""Compressors that find clips or frames by the question and show little or nothing of the rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from niah.adapters.compressor import EMBEDDING, PATCHES, Choice, Connectors, FrameChunk, Settings, TokenChunk
from vilamp.compressors.budget import averaging

CLIP = 16  # frames that are retrieved together
DENSE = 16  # tokens a frame of a retrieved clip has
THIN = 4  # tokens a frame that LongVU does not show whole has


@dataclass(frozen=True)
class Retrieve:
    """Retrieve, then read, as Goldfish does (arXiv 2407.12679): clips similar to the question, 16 tokens a frame.

    A clip is 16 frames, as similar to the question as its most similar frame. The whole budget goes to clips that were
    found, the last one cut to it. Holds the embedding of every frame while it chooses.
    """

    budget: float

    needs = (EMBEDDING, PATCHES)
    guided = True

    def settings(self) -> Settings:
        """Return name, budget and sizes."""
        return {"compressor": "retrieve", "budget": self.budget, "clip": CLIP, "tokens": DENSE}

    def choose(self, embeddings: Float[Tensor, "frames dim"], query: Float[Tensor, " dim"]) -> Choice:
        """See the frames of the best clips."""
        count = len(embeddings)
        limit = min(count, max(1, round(self.budget * count / DENSE)))
        similarity = [float(clip.max()) for clip in (embeddings @ query).split(CLIP)] if count else []
        best = sorted(range(len(similarity)), key=lambda clip: (-similarity[clip], clip))
        found = [number for clip in best for number in range(clip * CLIP, min((clip + 1) * CLIP, count))]
        return Choice(sorted(found[:limit]), ())

    def tokens(self, choice: Choice, patches: int) -> int:
        """Return 16 a frame seen."""
        return DENSE * len(choice.seen)

    def compress(
        self, choice: Choice, query: Float[Tensor, " dim"], chunks: Iterable[FrameChunk], connect: Connectors
    ) -> Iterator[TokenChunk]:
        """Yield each frame seen as means over 16 squares of patches."""
        for frames, patches, features in chunks:
            means = averaging(DENSE, patches.shape[1]).to(patches) @ features  # (frames, 16, channels)
            yield TokenChunk([number for number in frames for _ in range(DENSE)], connect.merged(means.flatten(0, 1)))


@dataclass(frozen=True)
class Reduce:
    """LongVU's reduction (arXiv 2410.17434) at a budget: the most relevant frames whole, those that differ thin.

    Half of the budget goes to whole frames, by similarity to the question; half to frames of 4 tokens, by how little
    they resemble the frame before. LongVU thresholds instead, and also thins tokens within a window.
    Holds the embedding of every frame while it chooses.
    """

    budget: float
    patches: int

    needs = (EMBEDDING, PATCHES)
    guided = True

    def settings(self) -> Settings:
        """Return name and budget."""
        return {"compressor": "longvu", "budget": self.budget, "thin": THIN}

    def choose(self, embeddings: Float[Tensor, "frames dim"], query: Float[Tensor, " dim"]) -> Choice:
        """Keep the most relevant frames whole, and see those that differ most from the one before."""
        half = self.budget * len(embeddings) / 2
        kept = (embeddings @ query).argsort(descending=True, stable=True)[: max(1, round(half / self.patches))].tolist()
        similarity = embeddings.new_ones(len(embeddings))  # of each frame to the one before
        similarity[1:] = (embeddings[1:] * embeddings[:-1]).sum(-1)
        similarity[:1] = -1.0  # the first frame has none before
        rest = [number for number in similarity.argsort(stable=True).tolist() if number not in set(kept)]
        return Choice(sorted([*kept, *rest[: round(half / THIN)]]), sorted(kept))

    def tokens(self, choice: Choice, patches: int) -> int:
        """Return M a frame kept and 4 a frame only seen."""
        return patches * len(choice.kept) + THIN * (len(choice.seen) - len(choice.kept))

    def compress(
        self, choice: Choice, query: Float[Tensor, " dim"], chunks: Iterable[FrameChunk], connect: Connectors
    ) -> Iterator[TokenChunk]:
        """Yield frames in temporal order, each through the connector of what it is."""
        kept = frozenset(choice.kept)
        for frames, patches, features in chunks:
            thin = averaging(THIN, patches.shape[1]).to(patches) @ features
            for row, number in enumerate(frames):
                tokens = connect.keyframe(features[row]) if number in kept else connect.merged(thin[row])
                yield TokenChunk([number] * len(tokens), tokens)

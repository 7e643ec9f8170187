"""Compressors that merge what is similar: tokens within clips, or neighbouring frames of a whole video.

What is merged are features, before any connector, so nothing here learns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from niah.adapters.compressor import PATCHES, Choice, Connectors, FrameChunk, Settings, TokenChunk
from vilamp.compressors.budget import AllFrames, averaging, tokens_of

CLIP = 8  # frames whose tokens are merged with one another
POOLED = 16  # tokens a frame has before


@dataclass(frozen=True)
class MergeTokens(AllFrames):
    """VideoChat-Flash's clips (arXiv 2501.00574): tokens of 8 frames, merged by similarity (ToMe) down to the budget.

    Holds a chunk of features and the frames of a clip that is not whole yet.
    """

    budget: float
    compared: int | None = None  # the first channels, by which tokens are compared; all if None

    needs = (PATCHES,)
    guided = False

    def settings(self) -> Settings:
        """Return name, budget and frames of a clip."""
        return {"compressor": "videochat_flash", "budget": self.budget, "clip": CLIP}

    def compress(
        self, choice: Choice, query: Float[Tensor, " dim"], chunks: Iterable[FrameChunk], connect: Connectors
    ) -> Iterator[TokenChunk]:
        """Yield a clip's merged tokens, each counted to the first frame it has something of."""
        for frames, features in clips(chunks):
            count = int(tokens_of(self.budget, torch.tensor(frames)).sum())
            means = averaging(POOLED, features.shape[1]).to(features) @ features  # (frames, pooled, channels)
            merged, first = merge_similar(means.flatten(0, 1), count, self.compared)
            if count:
                yield TokenChunk([frames[0] + token // POOLED for token in first], connect.merged(merged))


@dataclass(frozen=True)
class MemoryBank(AllFrames):
    """MovieChat's memory (arXiv 2307.16449): frames of 16 tokens, most similar neighbours merged down to the budget.

    MovieChat does so whenever a short-term memory is full; here it is done once, over the whole video, of which all
    pooled features are held: 16 x channels numbers a frame.
    """

    budget: float

    needs = (PATCHES,)
    guided = False

    def settings(self) -> Settings:
        """Return name and budget."""
        return {"compressor": "memory_bank", "budget": self.budget}

    def tokens(self, choice: Choice, patches: int) -> int:
        """Return 16 a slot."""
        return POOLED * self._slots(len(choice.seen))

    def compress(
        self, choice: Choice, query: Float[Tensor, " dim"], chunks: Iterable[FrameChunk], connect: Connectors
    ) -> Iterator[TokenChunk]:
        """Yield the slots in temporal order, each counted to its first frame."""
        pooled: list[Tensor] = []
        for chunk in chunks:
            pooled += averaging(POOLED, chunk.features.shape[1]).to(chunk.patches) @ chunk.features
        if pooled:
            slots, first = merge_neighbours(pooled, self._slots(len(choice.seen)))
            frames = [choice.seen[row] for row in first for _ in range(POOLED)]
            yield TokenChunk(frames, connect.merged(slots.flatten(0, 1)))

    def _slots(self, count: int) -> int:
        return min(count, max(1, round(self.budget * count / POOLED)))


def clips(chunks: Iterable[FrameChunk]) -> Iterator[tuple[list[int], Float[Tensor, "frames patches channels"]]]:
    """Yield numbers and features of whole clips of 8 frames, however chunks are cut; the last may be shorter."""
    numbers: list[int] = []
    held: list[Tensor] = []
    for chunk in chunks:
        numbers += chunk.frames
        held.append(chunk.features)
        while len(numbers) >= CLIP:
            features = torch.cat(held)
            yield numbers[:CLIP], features[:CLIP]
            numbers = numbers[CLIP:]
            held = [features[CLIP:]]
    if numbers:
        yield numbers, torch.cat(held)


def merge_similar(
    tokens: Float[Tensor, "tokens channels"], count: int, compared: int | None = None
) -> tuple[Float[Tensor, "merged channels"], list[int]]:
    """Merge tokens down to `count` by bipartite matching (ToMe, arXiv 2210.09461), in rounds.

    In a round every second token may join the other most similar to it in its first `compared` channels; the most
    similar pairs do. Returns means over what was merged, in temporal order, and the number of each one's first token.
    """
    sizes, first = tokens.new_ones(len(tokens)), torch.arange(len(tokens), device=tokens.device)
    while len(tokens) > max(count, 1):
        places = torch.arange(len(tokens), device=tokens.device)
        giving, taking = places[::2], places[1::2]
        unit = normalize(tokens[:, :compared], dim=-1)
        best = (unit[giving] @ unit[taking].T).max(dim=1)
        joins = best.values.argsort(descending=True, stable=True)[: len(tokens) - count]
        source, target = giving[joins], taking[best.indices[joins]]
        weighed = (tokens * sizes[:, None]).index_add(0, target, tokens[source] * sizes[source, None])
        sizes = sizes.index_add(0, target, sizes[source])
        first = first.scatter_reduce(0, target, first[source], "amin")
        stay = torch.ones(len(tokens), dtype=torch.bool, device=tokens.device)
        stay[source] = False
        tokens, sizes, first = (weighed / sizes[:, None])[stay], sizes[stay], first[stay]
    order = first.argsort(stable=True)
    return tokens[order][:count], first[order][:count].tolist()


def merge_neighbours(
    frames: Sequence[Float[Tensor, "tokens channels"]], count: int
) -> tuple[Float[Tensor, "slots tokens channels"], list[int]]:
    """Merge the two most similar neighbours of some frames until `count` are left.

    Returns means over what was merged and the number of each one's first frame.
    """
    similarity = [_similarity(*pair) for pair in pairwise(frames)]  # of each frame with the next one left
    slots = [(frame, 1, number) for number, frame in enumerate(frames)]
    while len(slots) > count:
        place = max(range(len(similarity)), key=similarity.__getitem__)
        (one, size, first), (other, more, _) = slots[place], slots[place + 1]
        slots[place : place + 2] = [((one * size + other * more) / (size + more), size + more, first)]
        del similarity[place]
        for left in (place - 1, place):
            if 0 <= left < len(similarity):
                similarity[left] = _similarity(slots[left][0], slots[left + 1][0])
    return torch.stack([frame for frame, _, _ in slots]), [first for _, _, first in slots]


def _similarity(one: Float[Tensor, "tokens channels"], other: Float[Tensor, "tokens channels"]) -> float:
    """Return the mean cosine of the tokens of two frames."""
    return float((normalize(one, dim=-1) * normalize(other, dim=-1)).sum(-1).mean())

"""Schemes that merge what is alike: tokens within clips, or neighbouring frames of a whole video.

What is merged are features, before any connector, so nothing here learns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import normalize

from niah.adapters.compressor import Choice, Chunks, Connectors, TokenChunk
from vilamp.compressors.budget import averaging, tokens_of

CLIP = 8  # frames whose tokens are merged with one another
POOLED = 16  # tokens a frame has before


@dataclass(frozen=True)
class MergeTokens:
    """VideoChat-Flash's clips (arXiv 2501.00574): tokens of 8 frames, merged by likeness (ToMe) down to the budget.

    Holds a chunk of patches and the frames of a clip that is not whole yet.
    """

    budget: float

    guided = False

    def settings(self) -> dict[str, float | str | None]:
        """Return name, budget and frames of a clip."""
        return {"compressor": "videochat_flash", "budget": self.budget, "clip": CLIP}

    def choose(self, frames: Tensor, query: Tensor) -> Choice:
        """See all frames, keep none whole."""
        return Choice(range(len(frames)), ())

    def tokens(self, choice: Choice, patches: int) -> int:
        """Return floor(B N)."""
        return int(tokens_of(self.budget, torch.arange(len(choice.seen))).sum())

    def compress(self, choice: Choice, query: Tensor, chunks: Chunks, connect: Connectors) -> Iterator[TokenChunk]:
        """Yield a clip's merged tokens, each counted to the first frame it has something of."""
        for numbers, features in clips(chunks, connect):
            count = int(tokens_of(self.budget, torch.tensor(numbers)).sum())
            means = averaging(POOLED, features.shape[1]).to(features) @ features  # (frames, pooled, channels)
            merged, first = merge_alike(means.flatten(0, 1), count)
            if count:
                yield TokenChunk([numbers[0] + place // POOLED for place in first], connect.merged(merged))


@dataclass(frozen=True)
class MemoryBank:
    """MovieChat's memory (arXiv 2307.16449): frames of 16 tokens, neighbours most alike merged down to the budget.

    MovieChat does so whenever a short-term memory is full; here it is done once, over the whole video, of which all
    pooled features are held: 16 x channels numbers a frame.
    """

    budget: float

    guided = False

    def settings(self) -> dict[str, float | str | None]:
        """Return name and budget."""
        return {"compressor": "memory_bank", "budget": self.budget}

    def choose(self, frames: Tensor, query: Tensor) -> Choice:
        """See all frames, keep none whole."""
        return Choice(range(len(frames)), ())

    def tokens(self, choice: Choice, patches: int) -> int:
        """Return 16 a slot."""
        return POOLED * self._slots(len(choice.seen))

    def compress(self, choice: Choice, query: Tensor, chunks: Chunks, connect: Connectors) -> Iterator[TokenChunk]:
        """Yield the slots in playing order, each counted to its first frame."""
        pooled: list[Tensor] = []
        for _, patches in chunks:
            pooled += averaging(POOLED, patches.shape[1]).to(patches) @ connect.features(patches)
        if pooled:
            slots, first = merge_neighbours(pooled, self._slots(len(choice.seen)))
            numbers = [choice.seen[place] for place in first for _ in range(POOLED)]
            yield TokenChunk(numbers, connect.merged(slots.flatten(0, 1)))

    def _slots(self, count: int) -> int:
        return min(count, max(1, round(self.budget * count / POOLED)))


def clips(chunks: Chunks, connect: Connectors) -> Iterator[tuple[list[int], Tensor]]:
    """Yield numbers and features of whole clips of 8 frames, however chunks are cut; the last may be shorter."""
    numbers: list[int] = []
    held: list[Tensor] = []
    for more, patches in chunks:
        numbers, held = [*numbers, *more], [*held, connect.features(patches)]
        while len(numbers) >= CLIP:
            features = torch.cat(held)
            yield numbers[:CLIP], features[:CLIP]
            numbers, held = numbers[CLIP:], [features[CLIP:]]
    if numbers:
        yield numbers, torch.cat(held)


def merge_alike(tokens: Tensor, count: int) -> tuple[Tensor, list[int]]:
    """Merge (tokens, channels) down to `count` by bipartite matching (ToMe, arXiv 2210.09461), in rounds.

    In a round every second token may join the other most like it; the likeliest do. Returns means over what was
    merged, in playing order, and the number of each one's first token.
    """
    sizes, first = tokens.new_ones(len(tokens)), torch.arange(len(tokens), device=tokens.device)
    while len(tokens) > max(count, 1):
        places = torch.arange(len(tokens), device=tokens.device)
        giving, taking = places[::2], places[1::2]
        unit = normalize(tokens, dim=-1)
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


def merge_neighbours(frames: Sequence[Tensor], count: int) -> tuple[Tensor, list[int]]:
    """Merge the two neighbours most alike of some frames, (tokens, channels) each, until `count` are left.

    Returns means over what was merged and the number of each one's first frame.
    """
    alike = [_likeness(*pair) for pair in pairwise(frames)]  # of each frame with the next one left
    slots = [(frame, 1, number) for number, frame in enumerate(frames)]
    while len(slots) > count:
        place = max(range(len(alike)), key=alike.__getitem__)
        (one, size, first), (other, more, _) = slots[place], slots[place + 1]
        slots[place : place + 2] = [((one * size + other * more) / (size + more), size + more, first)]
        del alike[place]
        for left in (place - 1, place):
            if 0 <= left < len(alike):
                alike[left] = _likeness(slots[left][0], slots[left + 1][0])
    return torch.stack([frame for frame, _, _ in slots]), [first for _, _, first in slots]


def _likeness(one: Tensor, other: Tensor) -> float:
    """Return the mean cosine of the tokens of two frames, (tokens, channels) each."""
    return float((normalize(one, dim=-1) * normalize(other, dim=-1)).sum(-1).mean())

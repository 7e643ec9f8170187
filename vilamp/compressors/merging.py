"""Compressors that merge what is similar: tokens within clips, or neighbouring frames of a whole video.

What is merged are features, before any connector, so nothing here learns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float, Int
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
        """Yield the merged tokens of clips, each counted to the first frame it has something of."""
        for frames, features in whole_clips(chunks):
            means = averaging(POOLED, features.shape[1]).to(features) @ features  # (frames, pooled, channels)
            parts = means.split(CLIP)
            counts = [int(one.sum()) for one in tokens_of(self.budget, torch.tensor(frames)).split(CLIP)]
            merged: dict[int, tuple[Tensor, Tensor]] = {}  # by clip: its tokens, and the first that each comes from
            for count in sorted({*counts} - {0}):
                numbers = [number for number, one in enumerate(counts) if one == count]
                together = torch.stack([parts[number].flatten(0, 1) for number in numbers])
                of_clips = zip(*merge_similar(together, count, self.compared), strict=True)
                merged.update(zip(numbers, of_clips, strict=True))
            if merged:
                order = sorted(merged)
                sources = [frames[n * CLIP] + token // POOLED for n in order for token in merged[n][1].tolist()]
                yield TokenChunk(sources, connect.merged(torch.cat([merged[n][0] for n in order])))


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


def whole_clips(
    chunks: Iterable[FrameChunk],
) -> Iterator[tuple[list[int], Float[Tensor, "frames patches channels"]]]:
    """Yield numbers and features of one or more whole clips of 8 frames, however chunks are cut; then of the rest."""
    numbers: list[int] = []
    held: list[Tensor] = []
    for chunk in chunks:
        numbers += chunk.frames
        held.append(chunk.features)
        whole = len(numbers) // CLIP * CLIP
        if whole:
            features = torch.cat(held)
            yield numbers[:whole], features[:whole]
            numbers = numbers[whole:]
            held = [features[whole:]]
    if numbers:
        yield numbers, torch.cat(held)


def merge_similar(
    tokens: Float[Tensor, "clips tokens channels"], count: int, compared: int | None = None
) -> tuple[Float[Tensor, "clips {count} channels"], Int[Tensor, "clips {count}"]]:
    """Merge the tokens of each clip down to `count` by bipartite matching (ToMe, arXiv 2210.09461), in rounds.

    In a round every second token may join the other most similar to it in its first `compared` channels; the most
    similar pairs do. Returns means over what was merged, in temporal order, and the number of each one's first token.
    """
    clips, left, channels = tokens.shape
    sizes = tokens.new_ones(clips, left)
    first = torch.arange(left, device=tokens.device).expand(clips, -1)
    while left > max(count, 1):
        unit = normalize(tokens[..., :compared], dim=-1)
        best = (unit[:, ::2] @ unit[:, 1::2].mT).max(dim=-1)
        joins = best.values.argsort(descending=True, stable=True)[:, : left - count]
        source, target = 2 * joins, 2 * best.indices.gather(1, joins) + 1
        sums = tokens * sizes[..., None]
        wide = (-1, -1, channels)
        joining = sums.gather(1, source[..., None].expand(wide))
        sums = sums.scatter_add(1, target[..., None].expand(wide), joining)
        sizes = sizes.scatter_add(1, target, sizes.gather(1, source))
        first = first.scatter_reduce(1, target, first.gather(1, source), "amin")
        stays = torch.ones_like(sizes, dtype=torch.bool).scatter(1, source, False)
        left -= joins.shape[1]
        tokens = (sums / sizes[..., None])[stays].unflatten(0, (clips, left))
        sizes, first = sizes[stays].unflatten(0, (clips, left)), first[stays].unflatten(0, (clips, left))
    order = first.argsort(dim=1, stable=True)[:, :count]
    return tokens.gather(1, order[..., None].expand(-1, -1, channels)), first.gather(1, order)


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

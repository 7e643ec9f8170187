"""Mean pooling: every frame as one or a few averages of neighbouring patches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from niah.adapters.compressor import Choice, Connectors, Run
from vilamp.schemes.budget import averaging, tokens_of

Chunks = Iterable[tuple[Sequence[int], Tensor]]


@dataclass(frozen=True)
class Mean:
    """Patches in Morton order, split into as many equal runs as a frame has tokens, and averaged.

    So every token stands for one region of its frame. Holds one chunk of patches.
    """

    budget: float

    guided = False

    def settings(self) -> dict[str, float | str | None]:
        """Return name and budget."""
        return {"compressor": "mean", "budget": self.budget}

    def choose(self, frames: Tensor, query: Tensor) -> Choice:
        """See all frames, keep none whole."""
        return Choice(range(len(frames)), ())

    def tokens(self, choice: Choice, patches: int) -> int:
        """Return floor(B N)."""
        return int(tokens_of(self.budget, torch.arange(len(choice.seen))).sum())

    def compress(self, choice: Choice, query: Tensor, chunks: Chunks, connect: Connectors) -> Iterator[Run]:
        """Yield a chunk's means, through the connector of merged tokens."""
        for numbers, patches in chunks:
            counts = tokens_of(self.budget, torch.tensor(numbers))  # frames seen are all frames: numbers are ranks
            means = pooled(connect.features(patches), counts)
            yield Run([number for number, n in zip(numbers, counts.tolist(), strict=True) for _ in range(n)],
                      connect.merged(means))  # fmt: skip


def pooled(features: Tensor, counts: Tensor) -> Tensor:
    """Return (tokens, channels) means of (frames, patches, channels), `counts` (frames,) for each frame."""
    parts, order = [], []
    for count in counts.unique().tolist():
        if count == 0:
            continue
        rows = (counts == count).nonzero()[:, 0]
        parts.append((averaging(count, features.shape[1]).to(features) @ features[rows]).flatten(0, 1))
        order.append(rows.repeat_interleave(count))
    if not parts:
        return features[:0, 0]
    return torch.cat(parts)[torch.cat(order).argsort(stable=True)]

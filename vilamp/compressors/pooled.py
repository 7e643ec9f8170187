"""Schemes that see every frame and give it floor((i + 1) B) - floor(i B) tokens: mean pooling, and ViLaMP's merging.

`EveryFrame` is what they share with the schemes that learn how to pool (`learned`) and with summary tokens.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from niah.adapters.compressor import Choice, Chunks, Connectors, TokenChunk
from vilamp.compressors.budget import averaging, tokens_of
from vilamp.merge import patch_saliency


class EveryFrame(nn.Module):
    """Every frame is seen, and the budget decides how many tokens each becomes. Holds one chunk of patches.

    `guided` is true too where only the pooling looks at the question: then each question has tokens of its own.
    """

    name: str
    guided = False

    def __init__(self, budget: float) -> None:
        super().__init__()
        self.budget = budget

    def settings(self) -> dict[str, float | str | None]:
        """Return name and budget."""
        return {"compressor": self.name, "budget": self.budget}

    def choose(self, frames: Tensor, query: Tensor) -> Choice:
        """See all frames, keep none whole."""
        return Choice(range(len(frames)), ())

    def tokens(self, choice: Choice, patches: int) -> int:
        """Return floor(B N)."""
        return int(tokens_of(self.budget, torch.arange(len(choice.seen))).sum())

    def compress(self, choice: Choice, query: Tensor, chunks: Chunks, connect: Connectors) -> Iterator[TokenChunk]:
        """Yield a chunk's tokens, through the connector of merged tokens."""
        for numbers, patches in chunks:
            counts = tokens_of(self.budget, torch.tensor(numbers))  # all frames are seen: their numbers are ranks
            features, parts, order = connect.features(patches), [], []
            for count in counts[counts > 0].unique().tolist():  # frames with the same number of tokens together
                rows = (counts == count).nonzero()[:, 0]
                parts.append(self.pool(features[rows], patches[rows], query, count).flatten(0, 1))
                order.append(rows.repeat_interleave(count))
            if parts:
                places = torch.cat(order)
                turn = places.argsort(stable=True)
                yield TokenChunk([numbers[n] for n in places[turn].tolist()], connect.merged(torch.cat(parts)[turn]))

    def pool(self, features: Tensor, patches: Tensor, query: Tensor, count: int) -> Tensor:
        """Return (frames, count, channels) of (frames, patches, channels); `patches` are without a model's extras."""
        raise NotImplementedError


class Mean(EveryFrame):
    """Patches in Morton order, split into as many equal runs as a frame has tokens, and averaged.

    So every token stands for one region of its frame.
    """

    name = "mean"

    def pool(self, features: Tensor, patches: Tensor, query: Tensor, count: int) -> Tensor:
        """Average each run."""
        return averaging(count, features.shape[1]).to(features) @ features


class MergedOnly(EveryFrame):
    """ViLaMP's merged tokens without its keyframes: a region's patches weighed by their relevance.

    Without keyframes nothing is redundant (Eq. 7 has no anchor); Eq. 6 and 8-10 hold within each region.
    """

    name = "merged"
    guided = True

    def __init__(self, budget: float, temperature: float) -> None:
        super().__init__(budget)
        self.temperature = temperature

    def pool(self, features: Tensor, patches: Tensor, query: Tensor, count: int) -> Tensor:
        """Weigh each run's patches by a softmax of their cosines with the query."""
        scores = patch_saliency(patches, None, query, 0.0) / self.temperature  # (frames, patches)
        outside = averaging(count, features.shape[1]).to(features) == 0  # (count, patches)
        weights = scores[:, None].masked_fill(outside, float("-inf")).softmax(-1)  # (frames, count, patches)
        return weights @ features

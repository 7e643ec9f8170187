"""Compressors that see every frame and give it floor((i + 1) B) - floor(i B) tokens: mean pooling, ViLaMP's merging.

`EveryFrame` is what they share with the compressors that learn how to pool (`learned`) and with summary tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn

from niah.adapters.compressor import PATCHES, Choice, Connectors, FrameChunk, Settings, TokenChunk
from vilamp.compressors.budget import AllFrames, averaging, tokens_of
from vilamp.merge import patch_saliency

POOL = 2  # patches a side that become one token


def pooled(features: Float[Tensor, "frames patches channels"]) -> Float[Tensor, "frames pooled channels"]:
    """Average squares of 2 x 2 patches."""
    side = round(features.shape[1] ** 0.5)
    squares = features.unflatten(1, (side // POOL, POOL, side // POOL, POOL))
    return squares.mean(dim=(2, 4)).flatten(1, 2)


class EveryFrame(AllFrames, nn.Module):
    """Every frame is seen, and the budget decides how many tokens each becomes. Holds one chunk of features.

    `guided` is true too where only the pooling looks at the question: then each question has tokens of its own.
    """

    name: str
    needs = (PATCHES,)
    guided = False

    def __init__(self, budget: float) -> None:
        super().__init__()
        self.budget = budget

    def settings(self) -> Settings:
        """Return the name and the budget."""
        return {"compressor": self.name, "budget": self.budget}

    def compress(
        self, choice: Choice, query: Float[Tensor, " dim"], chunks: Iterable[FrameChunk], connect: Connectors
    ) -> Iterator[TokenChunk]:
        """Yield a chunk's tokens, through the connector of merged tokens."""
        for frames, patches, features in chunks:
            counts = tokens_of(self.budget, torch.tensor(frames))  # all frames are seen: their numbers are ranks
            pooled, sources = [], []
            for count in counts[counts > 0].unique().tolist():  # frames with the same number of tokens together
                rows = (counts == count).nonzero()[:, 0]
                pooled.append(self.pool(features[rows], patches[rows], query, count).flatten(0, 1))
                sources.append(rows.repeat_interleave(count))
            if pooled:
                rows = torch.cat(sources)
                order = rows.argsort(stable=True)
                tokens = connect.merged(torch.cat(pooled)[order])
                yield TokenChunk([frames[row] for row in rows[order].tolist()], tokens)

    def pool(
        self,
        features: Float[Tensor, "frames patches channels"],
        patches: Float[Tensor, "frames patches dim"],
        query: Float[Tensor, " dim"],
        count: int,
    ) -> Float[Tensor, "frames {count} channels"]:
        """Return `count` tokens for each frame.

        Args:
            features: What is pooled: patches with what the model appends to them.
            patches: Patches as the encoder returns them, to compare with the query.
            query: The unit-length embedding of the question.
            count: Tokens a frame.
        """
        raise NotImplementedError


class Mean(EveryFrame):
    """Patches in Morton order, split into as many equal runs as a frame has tokens, and averaged.

    So every token stands for one region of its frame. Without a budget a frame is the plain mean of its patches.
    """

    name = "mean"

    def __init__(self, budget: float | None = None) -> None:
        super().__init__(1.0 if budget is None else budget)
        self._plain = budget is None

    def settings(self) -> Settings:
        """Return the name, and the budget if there is one."""
        return {"compressor": self.name} if self._plain else super().settings()

    def pool(
        self,
        features: Float[Tensor, "frames patches channels"],
        patches: Float[Tensor, "frames patches dim"],
        query: Float[Tensor, " dim"],
        count: int,
    ) -> Float[Tensor, "frames {count} channels"]:
        """Average each run."""
        if self._plain:  # rounds otherwise than a product with equal weights
            return features.mean(dim=1, keepdim=True)
        return averaging(count, features.shape[1]).to(features) @ features


class MergedOnly(EveryFrame):
    """ViLaMP's merged tokens without its keyframes: a region's patches weighted by their relevance.

    Without keyframes nothing is redundant (Eq. 7 has no anchor); Eq. 6 and 8-10 hold within each region.
    """

    name = "merged"
    guided = True

    def __init__(self, budget: float, temperature: float) -> None:
        super().__init__(budget)
        self.temperature = temperature

    def pool(
        self,
        features: Float[Tensor, "frames patches channels"],
        patches: Float[Tensor, "frames patches dim"],
        query: Float[Tensor, " dim"],
        count: int,
    ) -> Float[Tensor, "frames {count} channels"]:
        """Weight each run's patches by a softmax of their cosines with the query."""
        scores = patch_saliency(patches, None, query, 0.0) / self.temperature  # (frames, patches)
        outside = averaging(count, features.shape[1]).to(features) == 0  # (count, patches)
        weights = scores[:, None].masked_fill(outside, float("-inf")).softmax(-1)  # (frames, count, patches)
        return weights @ features

"""Compressors that learn how to pool a frame: queries, convolutions, or an attention by the question.

Where the question comes late, features have one channel more, a cosine that is pooled and never changed otherwise.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, gelu, normalize

from niah.types import UserError
from vilamp.compressors.pooled import EveryFrame

HEADS = 4


class QueryPooling(EveryFrame):
    """A Q-Former in one layer (BLIP-2, arXiv 2301.12597): learned queries attend to a frame's patches."""

    name = "qformer"

    def __init__(self, budget: float, channels: int) -> None:
        super().__init__(budget)
        self.channels = channels
        width = -(-channels // HEADS) * HEADS
        self.queries = nn.Parameter(0.02 * torch.randn(math.ceil(budget), width))
        self.inputs, self.outputs = nn.Linear(channels, width), nn.Linear(width, channels)
        self.attention = nn.MultiheadAttention(width, HEADS, batch_first=True)

    def pool(
        self,
        features: Float[Tensor, "frames patches channels"],
        patches: Float[Tensor, "frames patches dim"],
        query: Float[Tensor, " dim"],
        count: int,
    ) -> Float[Tensor, "frames {count} channels"]:
        """Let the first `count` queries attend."""
        values = self.inputs(features[..., : self.channels])
        queries = self.queries[:count].expand(len(features), -1, -1)
        attended, weights = self.attention(queries, values, values)  # weights: (frames, count, patches)
        return torch.cat([self.outputs(queries + attended), weights @ features[..., self.channels :]], dim=-1)


class Abstractor(EveryFrame):
    """A C-Abstractor (Honeybee, arXiv 2312.06742) in small: convolutions around an average over regions."""

    name = "abstractor"

    def __init__(self, budget: float, channels: int) -> None:
        super().__init__(budget)
        self.channels = channels
        self.before = nn.Conv2d(channels, channels, 3, padding=1)
        self.after = nn.Conv2d(channels, channels, 1)

    def pool(
        self,
        features: Float[Tensor, "frames patches channels"],
        patches: Float[Tensor, "frames patches dim"],
        query: Float[Tensor, " dim"],
        count: int,
    ) -> Float[Tensor, "frames {count} channels"]:
        """Convolve, average over `count` regions, as nearly square as they can be, and mix channels."""
        side = round(features.shape[1] ** 0.5)
        whole = features.transpose(1, 2).unflatten(2, (side, side))  # (frames, channels, side, side)
        picture, carried = whole[:, : self.channels], whole[:, self.channels :]
        height = next(n for n in range(int(count**0.5), 0, -1) if count % n == 0)
        convolved = torch.cat([picture + gelu(self.before(picture)), carried], dim=1)
        pooled = adaptive_avg_pool2d(convolved, (count // height, height))
        regions, carried = pooled[:, : self.channels], pooled[:, self.channels :]
        return torch.cat([regions + gelu(self.after(regions)), carried], dim=1).flatten(2).transpose(1, 2)


class ContextAndContent(EveryFrame):
    """LLaMA-VID's two tokens (arXiv 2311.17043): one by what the question attends to, one by the mean.

    Its text queries are the one query embedding here, projected; the budget is 2 and no other.
    """

    name = "llama_vid"
    guided = True

    def __init__(self, budget: float, dim: int) -> None:
        if budget != 2:
            raise UserError(f"llama_vid has 2 tokens a frame, whatever else is compared: got a budget of {budget:g}")
        super().__init__(budget)
        self.query, self.key = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def pool(
        self,
        features: Float[Tensor, "frames patches channels"],
        patches: Float[Tensor, "frames patches dim"],
        query: Float[Tensor, " dim"],
        count: int,
    ) -> Float[Tensor, "frames {count} channels"]:
        """Return the context token, then the content token."""
        scores = self.key(patches) @ self.query(normalize(query, dim=-1)) / patches.shape[-1] ** 0.5
        context = torch.einsum("fp,fpc->fc", scores.softmax(-1), features)
        return torch.stack([context, features.mean(1)], dim=1)

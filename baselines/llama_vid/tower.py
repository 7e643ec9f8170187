"""EVA-ViT-g: the class row and the patches of a frame after the last block, with no final norm.

Parameters bear the release's names, so its file loads as it is. Written out because the
one in transformers always ends in a norm and fuses the biases.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import gelu, linear, scaled_dot_product_attention

from baselines.llama_vid.config import Vision


class EvaTower(nn.Module):
    """The tower; for one chunk of frames it holds about 9 MB a frame at 7B size in half precision."""

    def __init__(self, sizes: Vision) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, sizes.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, sizes.patches + 1, sizes.width))
        convolution = nn.Conv2d(3, sizes.width, sizes.patch_size, stride=sizes.patch_size)
        self.patch_embed = nn.ModuleDict({"proj": convolution})
        self.blocks = nn.ModuleList(Block(sizes) for _ in range(sizes.blocks))

    def embed(self, pixels: Float[Tensor, "frames 3 side side"]) -> Float[Tensor, "frames rows width"]:
        """Return the class row and the patches, positions added, before the first block."""
        patches = self.patch_embed["proj"](pixels).flatten(2).transpose(1, 2)
        rows = torch.cat((self.cls_token.expand(len(pixels), -1, -1), patches), dim=1)
        return rows + self.pos_embed

    def forward(self, pixels: Float[Tensor, "frames 3 side side"]) -> Float[Tensor, "frames rows width"]:
        """Encode standardised pixels; rows are the class row and then the patches in reading order."""
        rows = self.embed(pixels)
        for block in self.blocks:
            rows = block(rows)
        return rows


class Block(nn.Module):
    """x + Attn(LN(x)), then x + MLP(LN(x))."""

    def __init__(self, sizes: Vision) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(sizes.width, eps=sizes.layer_norm_eps)
        self.attn = Attention(sizes)
        self.norm2 = nn.LayerNorm(sizes.width, eps=sizes.layer_norm_eps)
        inner, outer = nn.Linear(sizes.width, sizes.mlp_width), nn.Linear(sizes.mlp_width, sizes.width)
        self.mlp = nn.ModuleDict({"fc1": inner, "fc2": outer})

    def forward(self, rows: Float[Tensor, "frames rows width"]) -> Float[Tensor, "frames rows width"]:
        """Run attention, then the feed-forward."""
        rows = rows + self.attn(self.norm1(rows))
        return rows + self.feed(self.norm2(rows))

    def feed(self, rows: Float[Tensor, "frames rows width"]) -> Float[Tensor, "frames rows width"]:
        """Run the feed-forward alone."""
        return self.mlp["fc2"](gelu(self.mlp["fc1"](rows)))


class Attention(nn.Module):
    """Self-attention whose queries and values have biases; keys have none."""

    def __init__(self, sizes: Vision) -> None:
        super().__init__()
        self.heads = sizes.heads
        self.q_bias = nn.Parameter(torch.zeros(sizes.width))
        self.v_bias = nn.Parameter(torch.zeros(sizes.width))
        self.qkv = nn.Linear(sizes.width, 3 * sizes.width, bias=False)
        self.proj = nn.Linear(sizes.width, sizes.width)

    def project(self, rows: Float[Tensor, "frames rows width"]) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values, each (frames, heads, rows, head width)."""
        bias = torch.cat((self.q_bias, torch.zeros_like(self.q_bias), self.v_bias))
        parts = linear(rows, self.qkv.weight, bias).unflatten(-1, (3, self.heads, -1))
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        return query, key, value

    def merge(self, mixed: Float[Tensor, "frames heads rows head"]) -> Float[Tensor, "frames rows width"]:
        """Join the heads again."""
        return self.proj(mixed.transpose(1, 2).flatten(2))

    def forward(self, rows: Float[Tensor, "frames rows width"]) -> Float[Tensor, "frames rows width"]:
        """Attend with a kernel that holds no whole matrix."""
        return self.merge(scaled_dot_product_attention(*self.project(rows)))

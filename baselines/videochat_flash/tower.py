"""UMT-L, the video tower: attention over all patches of a clip of four frames together."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from baselines.videochat_flash.config import TowerConfig

STORED_GRID = 14  # patches a side that the positions were made for: 224 pixels of 16


def sinusoids(count: int, width: int) -> Tensor:
    """Return the fixed table (count, width): sine on even channels, cosine on odd ones; fp32, computed in fp64."""
    channel = torch.arange(width)
    angles = torch.arange(count, dtype=torch.float64)[:, None] / 10000 ** (2 * (channel // 2).double() / width)
    return torch.where(channel % 2 == 0, angles.sin(), angles.cos()).float()


def positions(frames: int, grid: int, width: int) -> Tensor:
    """Return (frames * grid * grid, width): the table of 14 x 14 patches a frame, resized where the grid is another."""
    table = sinusoids(frames * STORED_GRID**2, width)
    if grid == STORED_GRID:
        return table
    maps = table.view(frames, STORED_GRID, STORED_GRID, width).permute(0, 3, 1, 2)
    maps = functional.interpolate(maps, size=(grid, grid), mode="bicubic", align_corners=False)
    return maps.permute(0, 2, 3, 1).reshape(frames * grid**2, width)


class Attention(nn.Module):
    """Attention with biases on queries and values alone."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(width))
        self.v_bias = nn.Parameter(torch.zeros(width))
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Mix tokens (clips, tokens, width), each with all of its clip."""
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        mixed = functional.linear(tokens, self.qkv.weight, bias).unflatten(-1, (3, self.heads, -1))
        query, key, value = mixed.permute(2, 0, 3, 1, 4)  # each (clips, heads, tokens, head width)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention, then two linear layers, each behind its own norm and added to what came in."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, eps=config.block_eps)
        self.attn = Attention(config.width, config.heads)
        self.norm2 = nn.LayerNorm(config.width, eps=config.block_eps)
        self.mlp = nn.ModuleDict({
            "fc1": nn.Linear(config.width, config.intermediate),
            "fc2": nn.Linear(config.intermediate, config.width),
        })  # fmt: skip

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens of the same shape."""
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp["fc2"](functional.gelu(self.mlp["fc1"](self.norm2(tokens))))


class Tower(nn.Module):
    """Pixels of clips to patch features; the parameters have the release's names."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.config = config
        patch = (1, config.patch_size, config.patch_size)
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv3d(3, config.width, patch, patch)})
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.blocks))
        self.vision_layernorm = nn.LayerNorm(config.width, eps=config.final_eps)

    def patches(self, pixels: Tensor) -> Tensor:
        """Return (clips, frames * grid * grid, width) for pixels (clips, frames, 3, size, size), without positions."""
        return self.patch_embed["proj"](pixels.transpose(1, 2)).flatten(2).transpose(1, 2)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the features (clips, frames * grid * grid, width) of pixels (clips, frames, 3, size, size).

        One frame to a clip is the single-image mode, with positions of its own. Attention is fused: the most
        that is held besides weights is one block's hidden layer, 4 times the features.
        """
        table = positions(pixels.shape[1], self.config.grid, self.config.width)
        tokens = self.patches(pixels)
        tokens = tokens + table.to(tokens)
        for block in self.blocks:
            tokens = block(tokens)
        return self.vision_layernorm(tokens)

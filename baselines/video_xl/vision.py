"""From frames to visual tokens: CLIP's preprocessing and tower, the projector, 2x2 average pooling.

The tower stops at the layer the release selects and keeps no other layer's states; the
release keeps all 25 of every frame, 29.5 MB a frame. What is held here are the patches of
the frames handed over: the caller decides how many at a time.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, gelu, scaled_dot_product_attention

from baselines.video_xl.config import PixelConfig, VisionConfig
from niah.adapters.preprocess import centre_square, standardise


def pixels(frames: np.ndarray, config: PixelConfig, device: str | torch.device = "cpu") -> Tensor:
    """Preprocess (frames, height, width, 3) uint8 as CLIP does -> (frames, 3, side, side) float32."""
    return standardise(centre_square(frames, config.side), config.mean, config.std, device)


class ClipAttention(nn.Module):
    """Attention between the patches of a frame."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj = nn.Linear(size, size), nn.Linear(size, size)
        self.v_proj, self.out_proj = nn.Linear(size, size), nn.Linear(size, size)

    def forward(self, states: Tensor) -> Tensor:
        """Attend (frames, patches, dim)."""
        queries, keys, values = self.project(states)
        return self.out_proj(scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(2))

    def project(self, states: Tensor) -> list[Tensor]:
        """Return queries, keys and values, (frames, heads, patches, dim) each."""
        made = (project(states) for project in (self.q_proj, self.k_proj, self.v_proj))
        return [part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in made]


class ClipMlp(nn.Module):
    """CLIP's feed-forward layer."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.quick = config.activation == "quick_gelu"
        self.fc1 = nn.Linear(config.hidden, config.intermediate)
        self.fc2 = nn.Linear(config.intermediate, config.hidden)

    def forward(self, states: Tensor) -> Tensor:
        """Transform (frames, patches, dim)."""
        wide = self.fc1(states)
        return self.fc2(wide * torch.sigmoid(1.702 * wide) if self.quick else gelu(wide))


class ClipLayer(nn.Module):
    """One block of the tower."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(config.hidden, config.epsilon)
        self.self_attn = ClipAttention(config.hidden, config.heads)
        self.layer_norm2 = nn.LayerNorm(config.hidden, config.epsilon)
        self.mlp = ClipMlp(config)

    def forward(self, states: Tensor) -> Tensor:
        """Transform (frames, patches, dim)."""
        states = states + self.self_attn(self.layer_norm1(states))
        return states + self.mlp(self.layer_norm2(states))


class ClipTower(nn.Module):
    """CLIP's vision tower up to the selected layer."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.zeros(config.hidden))
        self.patch_embedding = nn.Conv2d(3, config.hidden, config.patch, config.patch, bias=False)
        self.position_embedding = nn.Embedding(config.side**2 + 1, config.hidden)
        self.pre_layrnorm = nn.LayerNorm(config.hidden, config.epsilon)  # the release's spelling
        self.layers = nn.ModuleList(ClipLayer(config) for _ in range(config.layers))

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return class tokens (frames, dim) and patches (frames, patches, dim) of (frames, 3, side, side) pixels."""
        states = self.embed(frames)
        for layer in self.layers:
            states = layer(states)
        return states[:, 0], states[:, 1:]

    def embed(self, frames: Tensor) -> Tensor:
        """Return what the first layer reads, hidden state 0: (frames, 1 + patches, dim)."""
        patches = self.patch_embedding(frames).flatten(2).transpose(1, 2)
        states = torch.cat([self.class_embedding.expand(len(frames), 1, -1), patches], dim=1)
        return self.pre_layrnorm(states + self.position_embedding.weight)


class Projector(nn.Sequential):
    """Two linear layers and GELU between them, from the tower's size to the language model's."""

    def __init__(self, config: VisionConfig, hidden: int) -> None:
        super().__init__(nn.Linear(config.hidden, hidden), nn.GELU(), nn.Linear(hidden, hidden))
        self.side, self.pool = config.side, config.pool

    def pooled(self, patches: Tensor) -> Tensor:
        """Project and pool (frames, patches, dim) -> (frames, tokens, hidden).

        The release pools last. Pooling commutes with the second linear layer, which so runs on a quarter.
        """
        return self[2](self.average(self[1](self[0](patches))))

    def average(self, patches: Tensor) -> Tensor:
        """Pool the square of patches, row by row; (frames, patches, dim) -> (frames, tokens, dim)."""
        square = patches.transpose(1, 2).unflatten(2, (self.side, self.side))
        return avg_pool2d(square, self.pool).flatten(2).transpose(1, 2)

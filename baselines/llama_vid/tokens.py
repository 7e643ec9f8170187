"""The paper's idea as functions of tensors: a frame's patches become one context token and its content.

Section 3.1 of arXiv 2311.17043. What the projections around them do is in `compressor`.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d


def patches_of(features: Float[Tensor, "frames rows width"]) -> Float[Tensor, "frames patches width"]:
    """Return the rows without the class row.

    The release knows a class row only by the number of rows being odd, so a grid
    with an odd side and no class row loses its first patch; so it does here.
    """
    return features[:, 1:] if features.shape[1] % 2 else features


def context_scores(
    asked: Float[Tensor, "frames queries width"], keys: Float[Tensor, "frames patches width"]
) -> Float[Tensor, "frames queries patches"]:
    """Return how much each query vector wants each patch, before the softmax."""
    return asked @ keys.transpose(1, 2) / keys.shape[-1] ** 0.5


def context_of(
    weights: Float[Tensor, "frames queries patches"], patches: Float[Tensor, "frames patches width"]
) -> Float[Tensor, "frames 1 width"]:
    """Return the patches as each query weighs them, averaged over the queries. Values are the raw patches."""
    return (weights @ patches).mean(dim=1, keepdim=True)


def content_of(
    patches: Float[Tensor, "frames patches width"], compress: str | None, grid: int | None
) -> Float[Tensor, "frames contents width"]:
    """Return the mean patch ("mean"), a grid x grid of pooled patches ("grid:G"), or every patch (None)."""
    if compress == "mean":
        return patches.mean(dim=1, keepdim=True)
    if grid is None:
        return patches
    side = int(patches.shape[1] ** 0.5)
    square = patches.transpose(1, 2).unflatten(2, (side, side))  # (frames, width, side, side)
    return avg_pool2d(square, side // grid).flatten(2).transpose(1, 2)


def interleave(
    context: Float[Tensor, "frames 1 hidden"], content: Float[Tensor, "frames contents hidden"]
) -> Float[Tensor, "tokens hidden"]:
    """Return [context, content...] of each frame in playing order."""
    return torch.cat((context, content), dim=1).flatten(0, 1)

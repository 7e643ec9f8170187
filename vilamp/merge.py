"""Differential feature merging: one token for a frame, weighted by what is relevant and new (Eq. 5-10)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize


def patch_saliency(
    patches: Float[Tensor, "frames patches dim"],
    anchor: Float[Tensor, "patches dim"] | None,
    query: Float[Tensor, " dim"],
    redundancy_weight: float,
) -> Float[Tensor, "frames patches"]:
    """Score each patch by relevance minus redundancy (Eq. 5-7).

    `anchor` holds the patches of the nearest preceding keyframe, compared position by position;
    None where no keyframe precedes, and redundancy is 0. `query` has any length but zero.
    """
    unit = normalize(patches, dim=-1)
    relevance = unit @ normalize(query, dim=-1)  # (frames, patches), Eq. 6
    if anchor is None:
        return relevance
    redundancy = torch.einsum("fpd,pd->fp", unit, normalize(anchor, dim=-1))  # Eq. 7
    return relevance - redundancy_weight * redundancy


def merge_features(
    features: Float[Tensor, "frames patches channels"],
    saliency: Float[Tensor, "frames patches"],
    temperature: float,
) -> Float[Tensor, "frames channels"]:
    """Pool each frame's patches into one token with weights softmax(saliency / temperature) (Eq. 8-10)."""
    weights = torch.softmax(saliency / temperature, dim=-1)  # (frames, patches)
    return torch.einsum("fp,fpc->fc", weights, features)

"""Differential feature merging: one token for a frame, weighted by what is relevant and new (Eq. 5-10)."""

from __future__ import annotations

from collections.abc import Sequence

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

    Args:
        patches: Patches of frames that share their anchor.
        anchor: Patches of the nearest preceding keyframe, compared position by position; None where no keyframe
            precedes, and redundancy is 0.
        query: Embedding of the question, of any length but zero.
        redundancy_weight: lambda of Eq. 5.
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
    weights = torch.softmax(saliency / temperature, dim=-1).to(features.dtype)  # (frames, patches)
    return torch.einsum("fp,fpc->fc", weights, features)


def patch_cosines(
    patches: Float[Tensor, "frames patches dim"], others: Float[Tensor, ...]
) -> Float[Tensor, "frames patches"]:
    """Return the cosine of each patch with a vector (dim), or position by position with (..., patches, dim).

    In single precision whatever the dtype: over a temperature of 0.01, half a percent is a factor of 1.6.
    Holds the patches and their products in single precision.
    """
    patches, others = patches.float(), others.float()
    lengths = patches.norm(dim=-1) * others.norm(dim=-1)  # (frames, patches)
    return (patches * others).sum(dim=-1) / lengths.clamp_min(1e-8)


def anchors(kept: Sequence[int], count: int, by_number: bool) -> list[int]:
    """Return for each of `count` frames the frame its patches are compared with, -1 before the first keyframe.

    That is the nearest keyframe up to it (Eq. 7), or, `by_number`, frame number j where that is the j-th
    keyframe: an indexing slip the released weights were trained with. An anchor is never later than its frame.
    """
    keyframes = set(kept)
    of_segment = range(len(keyframes)) if by_number else sorted(keyframes)  # the anchor after each keyframe
    found = []
    segment = -1
    for frame in range(count):
        segment += frame in keyframes
        found.append(-1 if segment < 0 else of_segment[segment])
    return found

"""From attention to the numbers of ViLaMP's Figures 3 and 4: how it concentrates, and how alike what it lies on is.

Attention is what the tokens behind the video pay to a visual token, mean over those tokens, heads and layers; shares
are of the attention on the video alone. Where the paper leaves a choice open it is made here: a frame's vector is the
mean of its tokens' features; its neighbours are the three nearest in rank; the random pair is the mean over all pairs,
which no draw can shift.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from niah.run.attention import VisualAttention
from niah.types import UserError

NEIGHBOURS = 3
TOP = 32  # frames of most attention, which Figure 4 takes for keyframes
PARTS = 100  # of the patches by attention: a row each, as there are thousands


@dataclass(frozen=True)
class FrameRow:
    """One frame: its rank by attention from 0, its share, its likeness to its neighbours in rank and to any other."""

    rank: int
    frame: int
    share: float
    similarity: float
    random: float  # mean over all pairs of frames


@dataclass(frozen=True)
class PatchRow:
    """One hundredth of the patches by falling attention; similarity is to the patch of the keyframe before."""

    part: int
    share: float
    similarity: float
    random: float  # mean over all pairs of a patch and a keyframe's patch


def attention_received(attended: VisualAttention) -> np.ndarray:
    """Return what each visual token receives, (tokens,), from one pass over the layers."""
    total, layers = np.zeros(len(attended.frames)), 0
    for layer in attended.layers:  # (heads, words, tokens)
        total += layer.mean(axis=(0, 1), dtype=np.float64)
        layers += 1
    if not total.sum() > 0:
        raise UserError(f"{layers} layers paid the video no attention: the adapter's attentions() is broken")
    return total / layers


def frame_rows(attended: VisualAttention, attention: np.ndarray) -> list[FrameRow]:
    """Return the frames by falling attention. Raises UserError with fewer than four, which lack neighbours."""
    numbers, sums, means = _by_frame(attended, attention)
    if len(numbers) <= NEIGHBOURS:
        raise UserError(f"a frame is compared with {NEIGHBOURS} others, got {len(numbers)} frames in all")
    order = np.argsort(-sums, kind="stable")
    shares, units = sums[order] / sums.sum(), _unit(means[order])
    among = units.sum(axis=0)
    count = len(units)
    pairs = float((among @ among - count) / (count * (count - 1)))
    return [
        FrameRow(rank, int(numbers[place]), float(shares[rank]), _likeness(units, rank), pairs)
        for rank, place in enumerate(order)
    ]


def patch_rows(attended: VisualAttention, attention: np.ndarray, top: int = TOP) -> list[PatchRow]:
    """Return the patches of all but the `top` frames by falling attention, in hundredths.

    Each is compared with the same patch of the last of those frames before its own, or of the first where none is
    before. Raises UserError unless every frame is there whole.
    """
    numbers, sums, _ = _by_frame(attended, attention)
    patches = np.bincount(np.searchsorted(numbers, attended.frames))
    if (attended.patches < 0).any() or len(set(patches)) > 1:
        raise UserError("patches are compared place by place, so every frame must be there whole: with vilamp, "
                        "--model_args keyframes=N,threshold=2 for N frames")  # fmt: skip
    if not top < len(numbers):
        raise UserError(f"{top} frames are keyframes and the others are looked at, got {len(numbers)} frames in all")
    shape = len(numbers), int(patches[0])
    order = np.lexsort((attended.patches, attended.frames))
    units = _unit(attended.features[order]).reshape(*shape, -1)  # (frames, patches, dim)
    attention = attention[order].reshape(shape)
    keys = np.sort(np.argsort(-sums, kind="stable")[:top])
    others = np.setdiff1d(np.arange(len(numbers)), keys)
    before = keys[np.maximum(np.searchsorted(keys, others) - 1, 0)]  # (others,) the keyframe each is compared with
    alike = np.einsum("fpd,fpd->fp", units[others], units[before]).ravel()
    paid = attention[others].ravel()
    pairs = float(units[others].mean(axis=(0, 1)) @ units[keys].mean(axis=(0, 1)))
    falling = np.argsort(-paid, kind="stable")
    return [
        PatchRow(number, float(paid[part].sum() / paid.sum()), float(alike[part].mean()), pairs)
        for number, part in enumerate(np.array_split(falling, PARTS))
        if len(part)
    ]


def _by_frame(attended: VisualAttention, attention: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the frames in playing order, what each receives, (frames,), and its mean features, (frames, dim)."""
    numbers, rows = np.unique(attended.frames, return_inverse=True)
    means = np.zeros((len(numbers), attended.features.shape[1]))
    np.add.at(means, rows, attended.features.astype(np.float64))
    return numbers, np.bincount(rows, weights=attention), means / np.bincount(rows)[:, None]


def _likeness(units: np.ndarray, rank: int) -> float:
    """Return the mean cosine of a frame with its neighbours in rank."""
    others = sorted((other for other in range(len(units)) if other != rank), key=lambda other: abs(other - rank))
    return float((units[others[:NEIGHBOURS]] @ units[rank]).mean())


def _unit(rows: np.ndarray) -> np.ndarray:
    """Return rows (..., dim) at unit length; a row of zeros stays one."""
    wide = rows.astype(np.float64)
    return wide / np.maximum(np.linalg.norm(wide, axis=-1, keepdims=True), 1e-12)

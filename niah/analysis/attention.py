"""From attention to the numbers of ViLaMP's Figures 3 and 4: how concentrated it is, how similar what it lies on.

Attention is what the tokens after the video pay to a visual token, averaged over those tokens, heads and layers; a
proportion is of the attention on the video alone. Where the paper leaves a choice open it is made here: a frame's
vector is the mean of its tokens' features; its neighbours are the three nearest in rank; the similarity of a random
pair is the mean over all pairs, so that no random draw can shift it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from niah.run.attention import VisualAttention
from niah.types import UserError

NEIGHBOURS = 3
TOP = 32  # frames with the most attention, which Figure 4 takes as keyframes
PARTS = 100  # the patches, sorted by attention, are averaged in so many parts: there are thousands


@dataclass(frozen=True)
class FrameRow:
    """One frame: its rank by attention from 0, its proportion of it, and its similarity to its neighbours in rank."""

    rank: int
    frame: int
    share: float
    similarity: float
    random: float  # mean similarity over all pairs of frames


@dataclass(frozen=True)
class PatchRow:
    """A hundredth of the patches, by falling attention; similarity is to the same patch of the keyframe before."""

    part: int
    share: float
    similarity: float
    random: float  # mean similarity over all pairs of a patch and a keyframe's patch


def attention_received(video: VisualAttention) -> np.ndarray:
    """Return what each visual token receives, (tokens,), in one pass over the layers."""
    total = np.zeros(len(video.frames))
    layers = 0
    for layer in video.layers:  # (heads, words, tokens)
        total += layer.mean(axis=(0, 1), dtype=np.float64)
        layers += 1
    if not total.sum() > 0:
        raise UserError(f"{layers} layers paid the video no attention: the adapter's attentions() is broken")
    return total / layers


def frame_rows(video: VisualAttention, attention: np.ndarray) -> list[FrameRow]:
    """Return the frames by falling attention. Raises UserError with fewer than four, which lack neighbours."""
    frames, received, means = _by_frame(video, attention)
    if len(frames) <= NEIGHBOURS:
        raise UserError(f"a frame is compared with {NEIGHBOURS} others, got {len(frames)} frames in all")
    order = np.argsort(-received, kind="stable")
    shares = received[order] / received.sum()
    units = _normalised(means[order])
    total = units.sum(axis=0)
    count = len(units)
    random = float((total @ total - count) / (count * (count - 1)))
    return [
        FrameRow(rank, int(frames[index]), float(shares[rank]), _neighbour_similarity(units, rank), random)
        for rank, index in enumerate(order)
    ]


def patch_rows(video: VisualAttention, attention: np.ndarray, top: int = TOP) -> list[PatchRow]:
    """Return the patches of all frames but the keyframes by falling attention, in hundredths.

    Keyframes are the `top` frames with the most attention. A patch is compared with the same patch of the last
    keyframe before its frame, or of the first keyframe if none is before. Raises UserError unless every frame is
    there with all its patches.
    """
    frames, received, _ = _by_frame(video, attention)
    patch_counts = np.bincount(np.searchsorted(frames, video.frames))
    if (video.patches < 0).any() or len(set(patch_counts)) > 1:
        raise UserError(
            "patches are compared one by one, so every frame must be there whole: let the model keep all frames at "
            "full resolution, for instance with --model_args keyframes=N,threshold=2 for N frames"
        )
    if not top < len(frames):
        raise UserError(f"{top} frames are keyframes and the others are looked at, got {len(frames)} frames in all")
    shape = len(frames), int(patch_counts[0])
    order = np.lexsort((video.patches, video.frames))
    units = _normalised(video.features[order]).reshape(*shape, -1)  # (frames, patches, dim)
    attention = attention[order].reshape(shape)
    keyframes = np.sort(np.argsort(-received, kind="stable")[:top])
    others = np.setdiff1d(np.arange(len(frames)), keyframes)
    before = keyframes[np.maximum(np.searchsorted(keyframes, others) - 1, 0)]  # (others,) what each is compared with
    similarity = np.einsum("fpd,fpd->fp", units[others], units[before]).ravel()
    paid = attention[others].ravel()
    random = float(units[others].mean(axis=(0, 1)) @ units[keyframes].mean(axis=(0, 1)))
    falling = np.argsort(-paid, kind="stable")
    return [
        PatchRow(number, float(paid[part].sum() / paid.sum()), float(similarity[part].mean()), random)
        for number, part in enumerate(np.array_split(falling, PARTS))
        if len(part)
    ]


def _by_frame(video: VisualAttention, attention: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the frames in temporal order, what each receives, (frames,), and its mean features, (frames, dim)."""
    frames, rows = np.unique(video.frames, return_inverse=True)
    means = np.zeros((len(frames), video.features.shape[1]))
    np.add.at(means, rows, video.features.astype(np.float64))
    return frames, np.bincount(rows, weights=attention), means / np.bincount(rows)[:, None]


def _neighbour_similarity(units: np.ndarray, rank: int) -> float:
    """Return the mean cosine of a frame with its neighbours in rank."""
    others = sorted((other for other in range(len(units)) if other != rank), key=lambda other: abs(other - rank))
    return float((units[others[:NEIGHBOURS]] @ units[rank]).mean())


def _normalised(rows: np.ndarray) -> np.ndarray:
    """Return rows (..., dim) at unit length; a row of zeros stays one."""
    wide = rows.astype(np.float64)
    return wide / np.maximum(np.linalg.norm(wide, axis=-1, keepdims=True), 1e-12)

"""Dynamic compression: more summary tokens where the picture changes. Off unless asked for.

The paper has it, the release does not. The paper cuts a video where the likeness of
neighbouring frames dips and does not say how many summary tokens an interval gets. Here each
gets those of a full window at the largest ratio, so far as the ratios allow: a short
interval, where much changes, is compressed less, and a still stretch as much as a plain window.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from niah.types import UserError

SPREAD = 0.5  # standard deviations above the mean at which a dip is a boundary


def likeness(classes: Tensor) -> Tensor:
    """Return the cosine between each frame's CLIP class token and the next one's; (frames, dim) -> (frames - 1,)."""
    unit = normalize(classes.float(), dim=-1)
    return (unit[:-1] * unit[1:]).sum(-1)


def depth_scores(similarity: Tensor) -> Tensor:
    """Return how deep each similarity lies below the peaks on both sides: (left peak + right peak - 2 s) / 2.

    A peak is where the climb from s ends, not the highest value of the video. (gaps,) -> (gaps,)
    """
    values = similarity.tolist()
    left, right = _peaks(values), _peaks(values[::-1])[::-1]
    return (torch.tensor(left) + torch.tensor(right) - 2 * torch.tensor(values)) / 2


def boundaries(similarity: Tensor, spread: float = SPREAD) -> list[int]:
    """Return the frames before which to cut: depth beyond the mean plus `spread` standard deviations."""
    if len(similarity) < 2:
        return []
    depth = depth_scores(similarity)
    threshold = depth.mean() + spread * depth.std(correction=0)
    return [gap + 1 for gap in (depth > threshold).nonzero()[:, 0].tolist()]


def intervals(frames: int, cuts: Sequence[int], limit: int) -> list[int]:
    """Return the lengths in frames of the intervals between cuts, none longer than `limit`."""
    edges = [0, *cuts, frames]
    lengths: list[int] = []
    for start, stop in zip(edges[:-1], edges[1:], strict=True):
        full, rest = divmod(stop - start, limit)
        lengths += [limit] * full + ([rest] if rest else [])
    return lengths


def ratio_of(length: int, window: int, ratios: Sequence[int]) -> int:
    """Return the largest ratio that divides an interval and leaves it as many summary tokens as a still window.

    An interval too short for that many gets the smallest ratio that divides it. Raises UserError where none does.
    """
    fitting = sorted(ratio for ratio in ratios if length % ratio == 0)
    if not fitting:
        raise UserError(f"an interval of {length} visual tokens can be divided by none of the ratios {list(ratios)}")
    budget = window // max(ratios)
    return max((ratio for ratio in fitting if length // ratio >= budget), default=fitting[0])


def compress(classes: Tensor, tokens: int, window: int, ratios: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return lengths (visual tokens) and ratios of the windows of a video of (frames, dim) class tokens.

    `tokens` is a frame's number of visual tokens. Raises UserError where there is no choice of ratios.
    """
    if len(set(ratios)) < 2:
        raise UserError(f"dynamic compression chooses between ratios, got only {list(ratios)}: give several (2/4/8)")
    if window < tokens:
        raise UserError(f"dynamic compression cuts between frames, but one has {tokens} tokens, a window {window}")
    lengths = [tokens * n for n in intervals(len(classes), boundaries(likeness(classes)), window // tokens)]
    return lengths, [ratio_of(length, window, ratios) for length in lengths]


def _peaks(values: Sequence[float]) -> list[float]:
    """Return for each value the peak reached by climbing to the left, itself included."""
    peaks: list[float] = []
    for number, value in enumerate(values):
        peaks.append(peaks[-1] if number and values[number - 1] >= value else value)
    return peaks

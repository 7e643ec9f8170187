"""Differential keyframe selection: relevant to the query, dissimilar to one another (Algorithm 1).

And what the released code adds: a floor of relevance, ties, and filling gaps up to exactly K.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from niah.types import UserError

FIRST_ROUND, LONGEST_ROUND = 256, 2048  # frames; a round is twice as long as the one before
BLOCK = 32  # frames compared with one another at once


def select_keyframes(
    frames: Float[Tensor, "frames dim"],
    query: Float[Tensor, " dim"],
    limit: int,
    threshold: float,
    floor: float = float("-inf"),
    keep_ties: bool = False,
) -> list[int]:
    """Select keyframes in order of relevance, skipping frames too similar to one already selected.

    Algorithm 1 of arXiv 2504.02438. Works in rounds: a round selects among the next frames in order, then all frames
    left are compared at once with those it selected. So a frame is read a few times however often the footage repeats
    itself, at most frames x limit products are computed and held, and rounds, which double in length, are few.

    Returns at most `limit` indices in temporal order. Raises UserError where a relevance is not finite: no order of
    frames would mean anything.

    Args:
        frames: Unit-length embeddings of all frames; of equally relevant ones the earlier comes first.
        query: Unit-length embedding of the question.
        limit: K, the number of keyframes at most.
        threshold: tau, the similarity from which on a frame is skipped.
        floor: Relevance below which the release selects nothing.
        keep_ties: Whether a frame exactly as similar as the threshold is selected, as in the release.
    """
    relevance = frames @ query  # (frames,)
    if not relevance.isfinite().all():
        broken = int((~relevance.isfinite()).sum())
        raise UserError(
            f"{broken} of {len(frames)} frames have no finite similarity to the query: embeddings overflowed "
            "or hold NaN; load with a wider dtype, and check the checkpoint's weights"
        )
    order = relevance.argsort(descending=True, stable=True)
    order = order[relevance[order] >= floor]
    kept: list[int] = []
    length = FIRST_ROUND
    while len(order) and len(kept) < limit:
        round_, order = order[:length], order[length:]
        new = round_[_select_round(frames[round_], limit - len(kept), threshold, keep_ties)]
        kept += new.tolist()
        if len(kept) < limit:
            order = order[_dissimilar(frames, frames[new], threshold, keep_ties)[order]]
        length = min(2 * length, LONGEST_ROUND)
    return sorted(kept)


def fill_gaps(kept: Sequence[int], count: int, limit: int) -> list[int]:
    """Add frames evenly between the `kept` of `count` frames until there are min(limit, count).

    The release's rule. With D the smallest spacing whose points, ceil(length / D) - 1 in each gap, fit into the
    budget, a gap gets its points at equal steps; what is left of the budget goes to the last gap's frames from its
    end, then to the gap before it. Returns indices in temporal order.
    Raises ValueError for `kept` that are not frames of the video, or twice the same.
    """
    if len(set(kept)) < len(kept) or any(not 0 <= frame < count for frame in kept):
        raise ValueError(f"kept frames are different ones of 0..{count - 1}, got {list(kept)}")
    budget = min(limit, count) - len(kept)
    if budget <= 0:
        return sorted(kept)
    gaps = _gaps(kept, count)
    longest = max(stop - start for start, stop in gaps)
    spacing = next(d for d in range(1, longest + 1) if _points(gaps, d) <= budget)
    filled = set(kept)
    for start, stop in gaps:
        points = _ceil(stop - start, spacing) - 1
        step = _ceil(stop - start, points + 1)
        filled.update(min(start + j * step, stop - 1) for j in range(1, points + 1))
    for start, stop in reversed(gaps):
        for frame in range(stop - 1, start - 1, -1):
            if len(filled) >= min(limit, count):
                return sorted(filled)
            filled.add(frame)
    return sorted(filled)


def _select_round(rows: Float[Tensor, "round dim"], room: int, threshold: float, keep_ties: bool) -> list[int]:
    """Return which of some frames are selected in their order, at most `room` from 1 up."""
    selected: list[int] = []
    waiting = torch.arange(len(rows), device=rows.device)
    while len(waiting):
        block, waiting = waiting[:BLOCK], waiting[BLOCK:]
        dissimilar = _below(rows[block] @ rows[block].T, threshold, keep_ties).tolist()
        new: list[int] = []
        for n, row in enumerate(dissimilar):
            if all(row[k] for k in new):
                new.append(n)
        chosen = block[new[: room - len(selected)]]
        selected += chosen.tolist()
        if len(selected) == room:
            break
        waiting = waiting[_dissimilar(rows, rows[chosen], threshold, keep_ties)[waiting]]
    return selected


def _dissimilar(
    frames: Float[Tensor, "frames dim"], kept: Float[Tensor, "kept dim"], threshold: float, keep_ties: bool
) -> Bool[Tensor, " frames"]:
    """Return True for frames that are similar to none of the kept ones, of which there is one at least."""
    return _below((frames @ kept.T).amax(dim=1), threshold, keep_ties)


def _below(similarity: Float[Tensor, ...], threshold: float, keep_ties: bool) -> Bool[Tensor, ...]:
    """Return True for similarities below the threshold, or at it where ties are kept."""
    return similarity <= threshold if keep_ties else similarity < threshold


def _gaps(kept: Sequence[int], count: int) -> list[tuple[int, int]]:
    """Return the longest stretches (start, stop) of frames that are not kept."""
    edges = [-1, *sorted(kept), count]
    return [(a + 1, b) for a, b in zip(edges, edges[1:], strict=False) if b - a > 1]


def _points(gaps: list[tuple[int, int]], spacing: int) -> int:
    return sum(_ceil(stop - start, spacing) - 1 for start, stop in gaps)


def _ceil(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)

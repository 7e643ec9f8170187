"""Differential keyframe selection: relevant to the query, unlike one another (Algorithm 1).

And what the released code does besides: a floor of relevance, ties, and filling gaps up to exactly K.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from niah.types import UserError

FIRST, LONGEST = 256, 2048  # frames a round: of the first one, and what doubling ends at
HEAD = 32  # frames compared with one another at once


def select_keyframes(
    frames: Float[Tensor, "frames dim"],
    query: Float[Tensor, " dim"],
    limit: int,
    threshold: float,
    floor: float = float("-inf"),
    keep_ties: bool = False,
) -> list[int]:
    """Take frames by falling relevance, skipping any too like one already taken.

    Algorithm 1 of arXiv 2504.02438. Rows of `frames` and `query` have unit length; frames of
    equal relevance are visited in playing order. Returns at most `limit` indices in playing
    order. The release also stops below `floor` of relevance, and with `keep_ties` takes a frame
    whose likeness equals the threshold.

    Goes in rounds: the next frames in turn are visited, then all that are left are compared at once with those
    newly kept. So a frame is read a few times however often the footage repeats itself, at most frames x limit
    products are made and held, and rounds, which double, are few.
    Raises UserError where a relevance is not finite: no order of frames would mean anything.
    """
    relevance = frames @ query  # (frames,)
    if not relevance.isfinite().all():
        broken = int((~relevance.isfinite()).sum())
        raise UserError(
            f"{broken} of {len(frames)} frames have no finite likeness to the query: embeddings overflowed "
            "or hold NaN; load with a wider dtype, and check the checkpoint's weights"
        )
    order = relevance.argsort(descending=True, stable=True)
    order = order[relevance[order] >= floor]
    kept: list[int] = []
    length = FIRST
    while len(order) and len(kept) < limit:
        turn, order = order[:length], order[length:]
        new = turn[_visit(frames[turn], limit - len(kept), threshold, keep_ties)]
        kept += new.tolist()
        if len(kept) < limit:
            order = order[_fresh(frames, frames[new], threshold, keep_ties)[order]]
        length = min(2 * length, LONGEST)
    return sorted(kept)


def fill_gaps(kept: Sequence[int], count: int, limit: int) -> list[int]:
    """Add frames evenly between the `kept` of `count` frames until there are min(limit, count).

    The release's rule. With D the smallest spacing whose points, ceil(length / D) - 1 in each run of
    frames not kept, fit into the budget, a run gets its points at equal steps; what is left of the budget
    goes to the last run's frames from its end, then to the run before it. Returns indices in playing order.
    Raises ValueError for `kept` that are no frames of the video, or twice the same.
    """
    if len(set(kept)) < len(kept) or any(not 0 <= frame < count for frame in kept):
        raise ValueError(f"kept frames are different ones of 0..{count - 1}, got {list(kept)}")
    budget = min(limit, count) - len(kept)
    if budget <= 0:
        return sorted(kept)
    runs = _runs(kept, count)
    longest = max(stop - start for start, stop in runs)
    spacing = next(d for d in range(1, longest + 1) if _points(runs, d) <= budget)
    filled = set(kept)
    for start, stop in runs:
        points = _ceil(stop - start, spacing) - 1
        step = _ceil(stop - start, points + 1)
        filled.update(min(start + j * step, stop - 1) for j in range(1, points + 1))
    for start, stop in reversed(runs):
        for frame in range(stop - 1, start - 1, -1):
            if len(filled) >= min(limit, count):
                return sorted(filled)
            filled.add(frame)
    return sorted(filled)


def _visit(rows: Float[Tensor, "turn dim"], room: int, threshold: float, keep_ties: bool) -> list[int]:
    """Return which rows are taken, at most `room` from 1 up, where they are visited in their order."""
    taken: list[int] = []
    waiting = torch.arange(len(rows), device=rows.device)
    while len(waiting):
        head, waiting = waiting[:HEAD], waiting[HEAD:]
        unlike = _unlike(rows[head] @ rows[head].T, threshold, keep_ties).tolist()
        new: list[int] = []
        for n, row in enumerate(unlike):
            if all(row[k] for k in new):
                new.append(n)
        fresh = head[new[: room - len(taken)]]
        taken += fresh.tolist()
        if len(taken) == room:
            break
        waiting = waiting[_fresh(rows, rows[fresh], threshold, keep_ties)[waiting]]
    return taken


def _fresh(
    frames: Float[Tensor, "frames dim"], kept: Float[Tensor, "kept dim"], threshold: float, keep_ties: bool
) -> Bool[Tensor, " frames"]:
    """Say which frames are like none of the kept ones, of which there is one at least."""
    return _unlike((frames @ kept.T).amax(dim=1), threshold, keep_ties)


def _unlike(similarity: Float[Tensor, ...], threshold: float, keep_ties: bool) -> Bool[Tensor, ...]:
    """Say which similarities are below the threshold, or at it where ties are kept."""
    return similarity <= threshold if keep_ties else similarity < threshold


def _runs(kept: Sequence[int], count: int) -> list[tuple[int, int]]:
    """Return the longest stretches (start, stop) of frames that are not kept."""
    edges = [-1, *sorted(kept), count]
    return [(a + 1, b) for a, b in zip(edges, edges[1:], strict=False) if b - a > 1]


def _points(runs: list[tuple[int, int]], spacing: int) -> int:
    return sum(_ceil(stop - start, spacing) - 1 for start, stop in runs)


def _ceil(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)

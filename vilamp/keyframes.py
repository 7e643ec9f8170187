"""Differential keyframe selection: relevant to the query, unlike one another (Algorithm 1)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def select_keyframes(
    frames: Float[Tensor, "frames dim"],
    query: Float[Tensor, " dim"],
    limit: int,
    threshold: float,
) -> list[int]:
    """Take frames by falling relevance, skipping any too like one already taken.

    Algorithm 1 of arXiv 2504.02438. Rows of `frames` and `query` have unit length; frames of
    equal relevance are visited in playing order. Returns at most `limit` indices in playing
    order. Costs one row of similarities per kept frame; holds a sorted copy of `frames`.
    """
    if len(frames) == 0:
        return []
    order = (frames @ query).argsort(descending=True, stable=True)
    ranked = frames[order]  # (frames, dim)
    allowed = ranked.new_ones(len(frames)).bool()  # not yet visited, and unlike every kept frame
    kept: list[int] = []
    while len(kept) < limit and allowed.any():
        first = int(allowed.int().argmax())
        kept.append(int(order[first]))
        allowed &= ranked @ ranked[first] < threshold
        allowed[first] = False  # also where the threshold lies above 1
    return sorted(kept)

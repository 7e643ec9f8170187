"""How much accuracy varies between needles and between haystacks, where each needle lies in several haystacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from niah.analysis.stats.regression import Observation


@dataclass(frozen=True)
class VarianceComponents:
    """Variances of single answers: between needle sources, between haystacks, and what is left."""

    needle: float
    haystack: float
    residual: float
    needles: int
    haystacks: int


def variance_components(observations: Sequence[Observation]) -> VarianceComponents | None:
    """Estimate the components by Henderson's first method (1953); None unless needles and haystacks are crossed.

    Four sums of squares are set equal to what they are on average under y = mean + needle + haystack + residual. An
    estimate below 0 is reported as 0. Values are (correct,).
    """
    outcome = np.array([one.values[0] for one in observations], float)
    needles = np.unique([one.source for one in observations], return_inverse=True)[1]
    haystacks = np.unique([one.haystack for one in observations], return_inverse=True)[1]
    counts = np.zeros((needles.max(initial=-1) + 1, haystacks.max(initial=-1) + 1))  # (needles, haystacks) cases
    np.add.at(counts, (needles, haystacks), 1)
    rows, columns = counts.sum(axis=1), counts.sum(axis=0)
    crossed = (counts > 0).sum() >= sum(counts.shape)  # of one needle or one haystack there are never so many cells
    if not crossed or len(outcome) <= sum(counts.shape):
        return None
    total = len(outcome)
    squares = [
        (outcome**2).sum(),
        (np.bincount(needles, outcome) ** 2 / rows).sum(),
        (np.bincount(haystacks, outcome) ** 2 / columns).sum(),
        outcome.sum() ** 2 / total,
    ]
    expected = np.array(  # columns: squared mean, needle, haystack, residual
        [
            [total, total, total, total],
            [total, total, (counts**2 / rows[:, None]).sum(), len(rows)],
            [total, (counts**2 / columns).sum(), total, len(columns)],
            [total, (rows**2).sum() / total, (columns**2).sum() / total, 1],
        ]
    )
    _, needle, haystack, residual = np.linalg.solve(expected, squares)
    found = [max(float(variance), 0.0) for variance in (needle, haystack, residual)]
    return VarianceComponents(*found, needles=len(rows), haystacks=len(columns))

"""How much single answers vary: between needles and haystacks, or from one drawn reply to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from niah.analysis.stats.observations import Observations, numbers_of


@dataclass(frozen=True)
class VarianceComponents:
    """Variances of single answers: between needle sources, between haystacks, and what is left."""

    needle: float
    haystack: float
    residual: float
    needles: int
    haystacks: int


def variance_components(observations: Observations) -> VarianceComponents | None:
    """Estimate the components by Henderson's first method (1953); None unless needles and haystacks are crossed.

    Four sums of squares are set equal to what they are on average under y = mean + needle + haystack + residual. An
    estimate below 0 is reported as 0. Values are (correct,).
    """
    outcome = observations.values[:, 0]
    needles, haystacks = numbers_of(observations.sources), numbers_of(observations.haystacks)
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


@dataclass(frozen=True)
class SamplingComponents:
    """Variances of single replies: between needle sources, between the cases of a source, between draws of a case."""

    needle: float  # of source and case together where no source has two cases
    case: float
    sampling: float
    needles: int
    cases: int

    @property
    def total(self) -> float:
        """Return the variance of a single reply."""
        return self.needle + self.case + self.sampling

    def standard_error(self, samples: float) -> float:
        """Return that of the mean over as many cases of as many needles, each drawn so often; all balanced."""
        return (self.needle / self.needles + (self.case + self.sampling / samples) / self.cases) ** 0.5


def sampling_components(draws: Sequence[tuple[str, Sequence[float]]]) -> SamplingComponents | None:
    """Split the variance of drawn replies by sums of squares (nested, unbalanced; Searle 1971, ch. 11).

    Sums of squares are set equal to what they are on average under y = mean + needle + case + draw; an estimate below
    0 is reported as 0. None where there is no second draw, or only one needle source.

    Args:
        draws: For each case its needle source and the scores of its replies.
    """
    totals = np.array([sum(scores) for _, scores in draws], float)  # (cases,)
    counts = np.array([len(scores) for _, scores in draws], float)  # (cases,)
    sources = np.unique([source for source, _ in draws], return_inverse=True)[1]
    per_needle = np.bincount(sources, counts)  # (needles,)
    number, needles, cases = counts.sum(), len(per_needle), len(counts)
    if needles < 2 or number <= cases:
        return None
    squares = [
        sum(score**2 for _, scores in draws for score in scores),
        (totals**2 / counts).sum(),
        (np.bincount(sources, totals) ** 2 / per_needle).sum(),
        totals.sum() ** 2 / number,
    ]
    of_cases = np.bincount(sources, counts**2)
    expected = np.array(  # columns: squared mean, needle, case, draw
        [
            [number, number, number, number],
            [number, number, number, cases],
            [number, number, (of_cases / per_needle).sum(), needles],
            [number, (per_needle**2).sum() / number, of_cases.sum() / number, 1],
        ]
    )
    known = [0, 1, 2, 3] if cases > needles else [0, 1, 3]  # the row and column of cases repeat those of needles
    found = np.linalg.solve(expected[np.ix_(known, known)], np.array(squares)[known])
    needle, *case, sampling = (max(float(variance), 0.0) for variance in found[1:])
    return SamplingComponents(needle, case[0] if case else 0.0, sampling, needles, cases)

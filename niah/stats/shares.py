"""Shares of right answers with their 95 % intervals, and two numbers made of shares: a gap and retention.

A cell asks each needle once and takes Wilson's interval. A marginal asks a needle many times: its interval is Wilson's for
as many independent answers as have the spread that resampled sources have. Percentiles of the resampled share itself
cover 91 % where they say 95 (20 sources, 25 cases each), and have no width where all sources agree.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import binomtest, norm, t
from statsmodels.stats.proportion import proportion_confint

from niah.stats.resample import Estimate, Observation, resample

Interval = tuple[float, float]


def wilson(correct: int, n: int) -> Interval | tuple[None, None]:
    """Return Wilson's 95 % interval; None where nothing was answered."""
    if n == 0:
        return None, None
    interval = binomtest(correct, n).proportion_ci(0.95, "wilson")
    return float(interval.low), float(interval.high)


def clustered(observations: Sequence[Observation], name: str) -> Interval | tuple[None, None]:
    """Return the 95 % interval of a share whose observations hold (right, 1); None with fewer than two sources."""
    found = resample(observations, _share, name)
    if found is None:
        return None, None
    count, spread = found.clusters, found.value * (1 - found.value)
    # Without spread there are as many answers as clusters: what they hold beyond is one answer again and again.
    answers = min(max(spread / found.error**2, 1.0), len(observations)) if found.error > 0 else count
    alpha = 2 * float(norm.sf(t.ppf(0.975, count - 1)))  # as wide as Student's t: the spread is itself estimated
    low, high = proportion_confint(found.value * answers, answers, alpha, "wilson")  # takes shares of an answer
    return max(float(low), 0.0), min(float(high), 1.0)


def gap(first: Sequence[Observation], second: Sequence[Observation], name: str) -> Estimate | None:
    """Return by how much the share of `first` exceeds that of `second`, over sources that have both.

    Two sources are added of which each of the two alone has one right, as for a difference between models.
    """
    both = [
        Observation(one.source, "", (*one.values, 0, 0) if part is first else (0, 0, *one.values))
        for part in (first, second)
        for one in _of(part, _common(first, second))
    ]
    sizes = [sum(one.values[place] for one in both) / max(len(_common(first, second)), 1) for place in (1, 3)]
    added = ((sizes[0], sizes[0], 0, sizes[1]), (0, sizes[0], sizes[1], sizes[1]))
    return resample(both, lambda sums: _share(sums[:2]) - _share(sums[2:]), name, added)


def retention(
    full: Sequence[Observation], blind: Sequence[Observation], alone: Sequence[Observation], name: str
) -> Estimate | None:
    """Return (full - blind) / (needle_only - blind) and its interval, over sources that have all three.

    None unless the 95 % interval of needle_only - blind lies above 0: a model that
    does not understand the clip by itself has nothing to retain.
    """
    parts, common = (full, blind, alone), _common(full, blind, alone)
    known = gap(_of(alone, common), _of(blind, common), name)
    if known is None or known.low <= 0:
        return None
    padded = [
        Observation(one.source, "", (*(0, 0) * place, *one.values, *(0, 0) * (2 - place)))
        for place, part in enumerate(parts)
        for one in _of(part, common)
    ]
    return resample(padded, _retained, name)


def _retained(sums: np.ndarray) -> np.ndarray:
    """Return retention; NaN for a resample in which the clip alone is no better than the question alone."""
    found, guessed, known = (_share(sums[place : place + 2]) for place in (0, 2, 4))
    apart = known > guessed
    return np.where(apart, (found - guessed) / np.where(apart, known - guessed, 1), np.nan)


def _share(sums: np.ndarray) -> np.ndarray:
    """Return right / answered; NaN where a resample holds no answer."""
    return np.divide(sums[0], sums[1], out=np.full(sums.shape[1:], np.nan), where=sums[1] > 0)


def _common(*parts: Sequence[Observation]) -> set[str]:
    return set.intersection(*({one.source for one in part} for part in parts))


def _of(part: Sequence[Observation], sources: set[str]) -> list[Observation]:
    return [one for one in part if one.source in sources]

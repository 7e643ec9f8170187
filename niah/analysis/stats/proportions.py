"""Shares of right answers with their 95 % intervals, and retention, which is made of shares.

A cell asks each needle once and takes Wilson's interval. A marginal asks a needle many times: its interval is
Wilson's for as many independent answers as have the spread that resampled sources have. Percentiles of the resampled
share itself cover 91 % where they say 95 (20 sources, 25 cases each), and have no width where all sources agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import binomtest, norm, t
from statsmodels.stats.proportion import proportion_confint

from niah.analysis.stats.bootstrap import Estimate, Observation, cluster_bootstrap, proportion
from niah.analysis.stats.paired import unpaired_difference

Interval = tuple[float, float]


def wilson_interval(correct: int, n: int) -> Interval | tuple[None, None]:
    """Return Wilson's 95 % interval; None where nothing was answered."""
    if n == 0:
        return None, None
    interval = binomtest(correct, n).proportion_ci(0.95, "wilson")
    return float(interval.low), float(interval.high)


def clustered_interval(observations: Sequence[Observation], name: str) -> Interval | tuple[None, None]:
    """Return the 95 % interval of a share whose observations hold (right, 1); None with fewer than two sources."""
    found = cluster_bootstrap(observations, proportion, name)
    if found is None:
        return None, None
    count, spread = found.clusters, found.value * (1 - found.value)
    # Without spread there are as many answers as clusters: what they hold beyond is one answer again and again.
    answers = min(max(spread / found.error**2, 1.0), len(observations)) if found.error > 0 else count
    alpha = 2 * float(norm.sf(t.ppf(0.975, count - 1)))  # as wide as Student's t: the spread is itself estimated
    interval: Any = proportion_confint(found.value * answers, answers, alpha, "wilson")  # takes shares of an answer
    return max(float(interval[0]), 0.0), min(float(interval[1]), 1.0)


def retention(
    full: Sequence[Observation], blind: Sequence[Observation], alone: Sequence[Observation], name: str
) -> Estimate | None:
    """Return (full - blind) / (needle_only - blind) and its interval, over sources that have all three.

    None unless the 95 % interval of needle_only - blind lies above 0: a model that
    does not understand the clip by itself has nothing to retain.
    """
    common = set.intersection(*({one.source for one in part} for part in (full, blind, alone)))
    parts = [[one for one in part if one.source in common] for part in (full, blind, alone)]
    known = unpaired_difference(parts[2], parts[1], name)
    if known is None or known.low <= 0:
        return None
    padded = [
        Observation(one.source, "", (*(0, 0) * place, *one.values, *(0, 0) * (2 - place)))
        for place, part in enumerate(parts)
        for one in part
    ]
    return cluster_bootstrap(padded, _retained, name)


def _retained(sums: np.ndarray) -> np.ndarray:
    """Return retention; NaN for a resample in which the clip alone is no better than the question alone."""
    found, guessed, known = (proportion(sums[place : place + 2]) for place in (0, 2, 4))
    apart = known > guessed
    return np.where(apart, (found - guessed) / np.where(apart, known - guessed, 1), np.nan)

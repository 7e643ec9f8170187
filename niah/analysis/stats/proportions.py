"""Proportions of correct answers with 95 % intervals, and retention, which is a ratio of such proportions.

A cell of the table asks each needle once: its interval is Wilson's. A marginal asks each needle many times: its
interval is Wilson's for the effective number of independent answers, which follows from the bootstrap's standard
error. Percentiles of the resampled proportion itself would cover 91 % instead of 95 % (20 sources, 25 cases each),
and would have no width where all sources agree.
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
    """Return Wilson's 95 % interval; None if nothing was answered."""
    if n == 0:
        return None, None
    interval = binomtest(correct, n).proportion_ci(0.95, "wilson")
    return float(interval.low), float(interval.high)


def clustered_interval(observations: Sequence[Observation], name: str) -> Interval | tuple[None, None]:
    """Return the 95 % interval of a proportion, clustered by needle source; None with fewer than two sources.

    The values of an observation are (correct, 1).
    """
    found = cluster_bootstrap(observations, proportion, name)
    if found is None:
        return None, None
    count = found.clusters
    variance = found.value * (1 - found.value)  # of one answer
    if found.standard_error > 0:
        effective = min(max(variance / found.standard_error**2, 1.0), len(observations))
    else:
        effective = count  # all sources agree: each repeats one answer
    alpha = 2 * float(norm.sf(t.ppf(0.975, count - 1)))  # Student's quantile, as the variance is itself estimated
    interval: Any = proportion_confint(found.value * effective, effective, alpha, "wilson")  # takes fractional counts
    return max(float(interval[0]), 0.0), min(float(interval[1]), 1.0)


def retention(
    full: Sequence[Observation], blind: Sequence[Observation], needle_only: Sequence[Observation], name: str
) -> Estimate | None:
    """Estimate (full - blind) / (needle_only - blind) over the sources that have all three.

    Returns None unless the 95 % interval of needle_only - blind lies above 0: a model that does not understand the
    clip by itself has nothing to retain. The values of an observation are (correct, 1).
    """
    common = set.intersection(*({one.source for one in part} for part in (full, blind, needle_only)))
    parts = [[one for one in part if one.source in common] for part in (full, blind, needle_only)]
    understood = unpaired_difference(parts[2], parts[1], name)
    if understood is None or understood.low <= 0:
        return None
    padded = [  # six sums: (correct, answered) of each condition
        Observation(one.source, "", (*(0, 0) * number, *one.values, *(0, 0) * (2 - number)))
        for number, part in enumerate(parts)
        for one in part
    ]
    return cluster_bootstrap(padded, _retention, name)


def _retention(sums: np.ndarray) -> np.ndarray:
    """Return retention; NaN for a resample in which the clip alone is answered no better than the question alone."""
    full, blind, needle_only = (proportion(sums[start : start + 2]) for start in (0, 2, 4))
    understood = needle_only > blind
    return np.where(understood, (full - blind) / np.where(understood, needle_only - blind, 1), np.nan)

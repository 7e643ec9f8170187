"""Proportions of correct answers with 95 % intervals, and retention, which is a ratio of such proportions.

A cell of the table asks each needle once: its interval is Wilson's. A marginal asks each needle many times: its
interval is that of Korn and Graubard, clustered by needle source.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, t

from niah.analysis.stats.korn_graubard import ClusteredShare, clopper_pearson, clustered_share, effective_size
from niah.analysis.stats.observations import Observations, concatenate
from niah.analysis.stats.paired import unpaired_difference
from niah.analysis.stats.regression import cluster_groups, fit, mean

Interval = tuple[float, float]


@dataclass(frozen=True)
class Retention:
    """(full - blind) / (needle_only - blind) with its 95 % interval; no interval where all sources agree."""

    value: float
    low: float | None
    high: float | None


def wilson_interval(correct: int, n: int) -> Interval | tuple[None, None]:
    """Return Wilson's 95 % interval; None if nothing was answered."""
    if n == 0:
        return None, None
    interval = binomtest(correct, n).proportion_ci(0.95, "wilson")
    return float(interval.low), float(interval.high)


def share_of(observations: Observations) -> ClusteredShare | None:
    """Return the share of correct answers clustered by needle source; None with fewer than two sources.

    Where haystacks are clusters, too (see `niah.analysis.stats.regression`), the variance is that of both ways
    together, and the kind with fewer clusters says what it rests on. Values are (correct,).
    """
    if len(set(observations.sources)) < 2:
        return None
    correct = observations.values[:, 0]
    shares = [
        clustered_share(np.bincount(clusters, correct), np.bincount(clusters))
        for clusters in cluster_groups(observations)
    ]
    crossed = mean(observations) if len(shares) > 1 else None
    if crossed is None:
        return shares[0]
    return dataclasses.replace(
        shares[0],
        variance=max(crossed.standard_error**2, *(share.variance for share in shares)),
        degrees_of_freedom=min(share.degrees_of_freedom for share in shares),
        effective_clusters=min(share.effective_clusters for share in shares),
        few=any(share.few for share in shares),
    )


def clustered_interval(observations: Observations) -> Interval | tuple[None, None]:
    """Return the 95 % interval of a proportion, clustered by needle source; None with fewer than two sources."""
    known = share_of(observations)
    return (None, None) if known is None else clopper_pearson(known.share, effective_size(known))


def retention(full: Observations, blind: Observations, needle_only: Observations) -> Retention | None:
    """Estimate (full - blind) / (needle_only - blind) over the sources that have all three.

    Returns None unless the 95 % interval of needle_only - blind lies above 0: a model that does not understand the
    clip by itself has nothing to retain. The interval is Fieller's: it holds the ratios r for which
    full - blind - r (needle_only - blind) is not significantly different from 0. Values are (correct,).
    """
    common = set.intersection(*(set(part.sources) for part in (full, blind, needle_only)))
    parts = [part.from_sources(common) for part in (full, blind, needle_only)]
    understood = unpaired_difference(parts[2], parts[1])
    if understood is None or understood.low <= 0:
        return None
    cases = concatenate(parts)
    design = np.repeat(np.eye(3), [len(part) for part in parts], axis=0)
    found = fit(cases, design, cases.values[:, 0], over_haystacks=False)
    if found is None:
        return None
    top, bottom = np.array([1.0, -1.0, 0.0]), np.array([0.0, -1.0, 1.0])
    value = float((top @ found.coefficients) / (bottom @ found.coefficients))
    quantile = float(t.ppf(0.975, found.degrees_of_freedom(bottom)))
    # Fieller: (top - r bottom)^2 = quantile^2 var(top - r bottom) is a r^2 - 2 b r + c = 0
    a, b, c = (
        float(one @ found.coefficients * (other @ found.coefficients)) - quantile**2 * found.covariance(one, other)
        for one, other in ((bottom, bottom), (top, bottom), (top, top))
    )
    root = max(b * b - a * c, 0.0) ** 0.5
    if a <= 0 or root < 1e-9 * a:  # not bounded, or all sources agree
        return Retention(value, None, None)
    return Retention(value, (b - root) / a, (b + root) / a)

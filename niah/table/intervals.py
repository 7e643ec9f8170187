"""How sure a share is: Wilson's interval, resampled needle sources, retention.

Resampling draws needle sources with replacement, 2,000 times, from a generator seeded
with the row's name. Where every source agrees its interval has no width: Wilson's does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
from scipy.stats import binomtest

RESAMPLES = 2000
EDGES = (2.5, 97.5)  # per cent
Counts = Mapping[str, tuple[int, int]]  # (correct, answered) by needle source


def wilson(correct: int, n: int) -> tuple[float, float] | tuple[None, None]:
    """Return Wilson's 95 % interval; None where nothing was answered."""
    if n == 0:
        return None, None
    interval = binomtest(correct, n).proportion_ci(0.95, "wilson")
    return float(interval.low), float(interval.high)


def clustered(counts: Counts, name: str) -> tuple[float, float] | tuple[None, None]:
    """Return the 95 % percentile interval of accuracy over resampled sources; None with fewer than two."""
    if len(counts) < 2:
        return None, None
    by_source = np.array([counts[source] for source in sorted(counts)], float)  # (sources, 2)
    drawn = by_source[_resamples(name, len(by_source))].sum(axis=1)  # (resamples, 2)
    low, high = np.percentile(drawn[:, 0] / drawn[:, 1], EDGES)
    return float(low), float(high)


def retention(
    full: Counts, blind: Counts, alone: Counts, name: str
) -> tuple[float, float, float] | tuple[None, None, None]:
    """Return (full - blind) / (needle_only - blind) and its interval, over sources that have all three.

    None unless the resampled 95 % interval of needle_only - blind lies above 0: a model that
    does not understand the clip by itself has nothing to retain.
    """
    sources = sorted(set(full) & set(blind) & set(alone))
    if len(sources) < 2:
        return None, None, None
    counts = np.array([[part[source] for source in sources] for part in (full, blind, alone)], float)
    drawn = counts[:, _resamples(name, len(sources))].sum(axis=2)  # (3, resamples, 2)
    found, guessed, known = drawn[..., 0] / drawn[..., 1]  # (resamples,) each
    if np.percentile(known - guessed, EDGES[0]) <= 0:
        return None, None, None
    apart = known > guessed  # a resample without a gap has no ratio; under 2.5 % of them
    low, high = np.percentile(((found - guessed) / np.where(apart, known - guessed, 1))[apart], EDGES)
    rates = counts[..., 0].sum(axis=1) / counts[..., 1].sum(axis=1)  # (3,)
    return float((rates[0] - rates[1]) / (rates[2] - rates[1])), float(low), float(high)


def _resamples(name: str, count: int) -> np.ndarray:
    """Return `count` indices below `count` with replacement, RESAMPLES times; the same for the same name."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).integers(0, count, (RESAMPLES, count))  # (resamples, count)

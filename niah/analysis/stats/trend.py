"""The slope of accuracy over length or depth: a least-squares line through correct (1) and wrong (0) answers.

A slope sums up a heatmap in one number; it does not claim that accuracy falls linearly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from niah.analysis.stats.bootstrap import RESAMPLES, Estimate, Observation, cluster_bootstrap
from niah.analysis.stats.paired import RESAMPLES as PAIRED_RESAMPLES


def slope(observations: Sequence[Observation], name: str) -> Estimate | None:
    """Estimate the slope of accuracy over x; the values of an observation are (x, correct).

    Returns None if x does not vary, if all clusters agree, or with fewer than two sources.
    """
    return _fit(observations, name)


def slope_difference(pairs: Sequence[Observation], name: str) -> Estimate | None:
    """Estimate the first model's slope minus the second's; values are (x, first correct, second correct).

    Returns None as `slope` does. As many resamples as for a paired difference, because the p-values are corrected
    together with those.
    """
    points = [Observation(p.source, p.haystack, (p.values[0], p.values[1] - p.values[2])) for p in pairs]
    return _fit(points, name, PAIRED_RESAMPLES)


def _fit(points: Sequence[Observation], name: str, resamples: int = RESAMPLES) -> Estimate | None:
    """Bootstrap the slope of points (x, y)."""
    if len({point.values[0] for point in points}) < 2:
        return None
    centre = float(np.mean([point.values[0] for point in points]))  # against cancellation in the sums of squares
    moments = []
    for point in points:
        x = point.values[0] - centre
        y = point.values[1]
        moments.append(Observation(point.source, point.haystack, (1.0, x, y, x * x, x * y)))
    found = cluster_bootstrap(moments, _slope, name, resamples)
    return found if found is not None and found.standard_error > 0 else None


def _slope(sums: np.ndarray) -> np.ndarray:
    """Return the least-squares slope; NaN for a resample in which x does not vary."""
    count, x, y, xx, xy = sums
    spread = count * xx - x * x
    varies = spread > 1e-9 * count * xx
    return np.where(varies, (count * xy - x * y) / np.where(varies, spread, 1), np.nan)

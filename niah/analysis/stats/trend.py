"""The slope of accuracy over length or depth: a least-squares line through right (1) and wrong (0).

It sums up a heatmap in one number; it does not say that the fall is straight.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from niah.analysis.stats.bootstrap import RESAMPLES, Estimate, Observation, cluster_bootstrap
from niah.analysis.stats.paired import RESAMPLES as COMPARED


def slope(observations: Sequence[Observation], name: str) -> Estimate | None:
    """Return the rise of accuracy per unit of x, of observations that hold (x, right).

    None where x never varies, where all clusters agree, and with fewer than two sources.
    """
    return _fit(observations, name)


def slope_difference(pairs: Sequence[Observation], name: str) -> Estimate | None:
    """Return the first model's slope less the second's, of observations that hold (x, right, other's right).

    None as for a slope. From as many resamples as a difference: it is corrected together with those.
    """
    points = [Observation(p.source, p.haystack, (p.values[0], p.values[1] - p.values[2])) for p in pairs]
    return _fit(points, name, COMPARED)


def _fit(points: Sequence[Observation], name: str, resamples: int = RESAMPLES) -> Estimate | None:
    if len({point.values[0] for point in points}) < 2:
        return None
    centre = float(np.mean([point.values[0] for point in points]))  # against cancellation in the sums of squares
    moments = []
    for point in points:
        x, y = point.values[0] - centre, point.values[1]
        moments.append(Observation(point.source, point.haystack, (1.0, x, y, x * x, x * y)))
    found = cluster_bootstrap(moments, _slope, name, resamples)
    return found if found is not None and found.error > 0 else None


def _slope(sums: np.ndarray) -> np.ndarray:
    """Return the least-squares slope; NaN for a resample in which x does not vary."""
    count, x, y, xx, xy = sums
    spread = count * xx - x * x
    varies = spread > 1e-9 * count * xx
    return np.where(varies, (count * xy - x * y) / np.where(varies, spread, 1), np.nan)

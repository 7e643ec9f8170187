"""The slope of accuracy over length or depth: a least-squares line through correct (1) and wrong (0) answers.

A slope sums up a heatmap in one number; it does not claim that accuracy falls linearly.
"""

from __future__ import annotations

import numpy as np

from niah.analysis.stats.observations import Observations
from niah.analysis.stats.regression import Estimate, fit


def slope(observations: Observations) -> Estimate | None:
    """Estimate the slope of accuracy over x; values are (x, correct).

    Returns None if x does not vary, if all clusters agree, or with fewer than two sources.
    """
    return _fit(observations, observations.values[:, 1]) if _varies(observations) else None


def slope_difference(pairs: Observations) -> Estimate | None:
    """Estimate the first model's slope minus the second's; values are (x, first correct, second correct).

    Returns None as `slope` does.
    """
    return _fit(pairs, pairs.values[:, 1] - pairs.values[:, 2]) if _varies(pairs) else None


def slope_within(observations: Observations) -> Estimate | None:
    """Estimate the slope over x that is left among cases of one group; values are (x, correct, group number).

    Every group has an intercept of its own, so what x does by moving cases between groups is left out. Returns None
    as `slope` does, and if x does not vary within any group.
    """
    if not _varies(observations):
        return None
    return _fit(observations, observations.values[:, 1], groups=observations.values[:, 2])


def _varies(points: Observations) -> bool:
    """Return whether there are two values of x."""
    return len(np.unique(points.values[:, 0])) > 1


def _fit(points: Observations, outcome: np.ndarray, groups: np.ndarray | None = None) -> Estimate | None:
    """Estimate the slope of an outcome over the first values, with an intercept for each group."""
    x = points.values[:, 0]
    labels = np.zeros(len(x)) if groups is None else groups
    intercepts = [(labels == label).astype(float) for label in np.unique(labels)]
    design = np.stack([x - x.mean(), *intercepts], axis=1)  # centred, so that lengths of thousands fit well
    fitted = fit(points, design, outcome)
    if fitted is None:
        return None
    found = fitted.contrast([1.0] + [0.0] * len(intercepts))
    return found if found.standard_error > 0 else None

"""The slope of accuracy over length or depth: a least-squares line through correct (1) and wrong (0) answers.

A slope sums up a heatmap in one number; it does not claim that accuracy falls linearly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from niah.analysis.stats.regression import Estimate, Observation, fit


def slope(observations: Sequence[Observation]) -> Estimate | None:
    """Estimate the slope of accuracy over x; the values of an observation are (x, correct).

    Returns None if x does not vary, if all clusters agree, or with fewer than two sources.
    """
    return _fit(observations, [one.values[1] for one in observations])


def slope_difference(pairs: Sequence[Observation]) -> Estimate | None:
    """Estimate the first model's slope minus the second's; values are (x, first correct, second correct).

    Returns None as `slope` does.
    """
    return _fit(pairs, [pair.values[1] - pair.values[2] for pair in pairs])


def slope_within(observations: Sequence[Observation]) -> Estimate | None:
    """Estimate the slope over x that is left among cases of one group; values are (x, correct, group number).

    Every group has an intercept of its own, so what x does by moving cases between groups is left out. Returns None
    as `slope` does, and if x does not vary within any group.
    """
    groups = np.array([one.values[2] for one in observations])
    return _fit(observations, [one.values[1] for one in observations], groups)


def _fit(points: Sequence[Observation], outcome: Sequence[float], groups: np.ndarray | None = None) -> Estimate | None:
    """Estimate the slope of an outcome over the first values, with an intercept for each group."""
    x = np.array([point.values[0] for point in points], float)
    if len(set(x.tolist())) < 2:
        return None
    labels = np.zeros(len(x)) if groups is None else groups
    intercepts = [(labels == label).astype(float) for label in np.unique(labels)]
    design = np.stack([x - x.mean(), *intercepts], axis=1)  # centred, so that lengths of thousands fit well
    fitted = fit(points, design, np.array(outcome, float))
    if fitted is None:
        return None
    found = fitted.contrast([1.0] + [0.0] * len(intercepts))
    return found if found.standard_error > 0 else None

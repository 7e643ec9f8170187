"""Power: the smallest detectable difference, which a test at level 5 % detects with 80 % power."""

from __future__ import annotations

from typing import Any

from scipy.optimize import brentq
from scipy.stats import binom, binomtest

ALPHA = 0.05
POWER = 0.8


def smallest_difference(standard_error: float, clusters: int) -> float:
    """Return the smallest difference that a test detects with 80 % power; at most 1.

    `standard_error` is that of the difference, over the `clusters` that are resampled. If it is 0, how much
    differences vary is unknown, and the answer is that of McNemar's test. With fewer than six clusters it is 1.
    """
    from statsmodels.stats.power import TTestPower  # here: importing it takes seconds

    if clusters < _min_unanimous():
        return 1.0
    if standard_error <= 0:
        return smallest_by_mcnemar(clusters)
    power = TTestPower().power
    # Not solve_power: with 73 or 120 clusters its root finder falls back and may return the root below 0. Between these
    # bounds SciPy's noncentral t is a number, and power goes from 5 % to more than 99 %.
    effect_size: Any = brentq(lambda effect: power(effect, clusters, ALPHA) - POWER, 1e-6, 6 / clusters**0.5)
    return min(float(effect_size) * standard_error * clusters**0.5, 1.0)


def smallest_by_mcnemar(pairs: int) -> float:
    """Return the smallest difference that McNemar's exact test detects with 80 % power; at most 1.

    It assumes the most favourable case, that one model is never correct where the other is wrong: even then at least
    six pairs must differ for the test to be significant.
    """
    needed = _min_unanimous()
    if pairs < needed:
        return 1.0
    found: Any = brentq(lambda share: binom.sf(needed - 1, pairs, share) - POWER, 0.0, 1.0)
    return float(found)


def _min_unanimous() -> int:
    """Return how many pairs or clusters, all on one side, are significant: six."""
    return next(count for count in range(1, 99) if binomtest(count, count).pvalue < ALPHA)

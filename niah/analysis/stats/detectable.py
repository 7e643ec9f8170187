"""Power: the smallest detectable difference, which a test at level 5 % detects with 80 % power."""

from __future__ import annotations

from typing import Any

from scipy.optimize import brentq
from scipy.special import betaincinv, nctdtr, stdtrit

ALPHA = 0.05
POWER = 0.8


def smallest_difference(standard_error: float, clusters: int) -> float:
    """Return the smallest difference that a test detects with 80 % power; at most 1.

    `standard_error` is that of the difference, over the `clusters` that are resampled. If it is 0, how much
    differences vary is unknown, and the answer is that of McNemar's test. With fewer than six clusters it is 1.
    """
    if clusters < _min_unanimous():
        return 1.0
    if standard_error <= 0:
        return smallest_by_mcnemar(clusters)
    # Between these bounds power goes from 5 % to more than 99 %.
    errors: Any = brentq(lambda errors: _t_test_power(errors, clusters - 1) - POWER, 1e-6, 6.0)
    return min(float(errors) * standard_error, 1.0)


def smallest_by_mcnemar(pairs: int) -> float:
    """Return the smallest difference that McNemar's exact test detects with 80 % power; at most 1.

    It assumes the most favourable case, that one model is never correct where the other is wrong: even then at least
    six pairs must differ for the test to be significant.
    """
    needed = _min_unanimous()
    if pairs < needed:
        return 1.0
    return float(betaincinv(needed, pairs - needed + 1, POWER))  # the share of which so many pairs are `needed` or more


def _t_test_power(errors: float, degrees: int) -> float:
    """Return the power of a two-sided t-test of a difference of so many standard errors."""
    critical = stdtrit(degrees, 1 - ALPHA / 2)
    return float(1 - nctdtr(degrees, errors, critical) + nctdtr(degrees, errors, -critical))


def _min_unanimous() -> int:
    """Return how many pairs or clusters, all on one side, are significant: six."""
    return next(count for count in range(1, 99) if 2 * 0.5**count < ALPHA)

"""The smallest difference a suite can detect: what two models must differ by to be told apart four times in five."""

from __future__ import annotations

from typing import Any

from scipy.optimize import brentq
from scipy.stats import binom, binomtest

ALPHA, POWER = 0.05, 0.8


def smallest_difference(error: float, clusters: int) -> float:
    """Return the smallest difference that a test at 5 % detects with power 80 %; at most 1.

    `error` is the standard error of the difference, over `clusters` that are drawn. Without an error nothing is known
    of how differences vary, and what McNemar's test would need is returned. With fewer than six clusters, nothing is.
    """
    from statsmodels.stats.power import TTestPower  # here: importing it takes seconds

    if clusters < _fewest():
        return 1.0
    if error <= 0:
        return smallest_by_mcnemar(clusters)
    size = TTestPower().solve_power(nobs=clusters, alpha=ALPHA, power=POWER, alternative="two-sided")
    return min(float(size) * error * clusters**0.5, 1.0)


def smallest_by_mcnemar(pairs: int) -> float:
    """Return the smallest difference of which McNemar's exact test, at 5 %, sees something with power 80 %; at most 1.

    That is if one model is never right where the other is wrong: six pairs must differ before the test can count.
    """
    wanted = _fewest()
    if pairs < wanted:
        return 1.0
    found: Any = brentq(lambda share: binom.sf(wanted - 1, pairs, share) - POWER, 0.0, 1.0)
    return float(found)


def _fewest() -> int:
    """Return how many pairs or clusters, all on one side, are more than luck."""
    return next(count for count in range(1, 99) if binomtest(count, count).pvalue < ALPHA)

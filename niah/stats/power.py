"""The smallest difference a suite can detect: what two models must differ by to be told apart four times in five."""

from __future__ import annotations

from scipy.optimize import brentq
from scipy.stats import binom, binomtest

ALPHA, POWER = 0.05, 0.8


def smallest_difference(error: float, clusters: int) -> float:
    """Return the smallest difference that is detected at 5 % with power 80 %; at most 1.

    `error` is the standard error of the difference, over `clusters` that are drawn. Never less than what so many
    sources could show if one model answered all of the differing ones: six must differ for a sign test to count.
    """
    from statsmodels.stats.power import TTestPower  # here: importing it takes seconds

    if clusters < 2:
        return 1.0
    size = TTestPower().solve_power(nobs=clusters, alpha=ALPHA, power=POWER, alternative="two-sided")
    return min(max(float(size) * error * clusters**0.5, _floor(clusters)), 1.0)


def _floor(clusters: int) -> float:
    """Return the share of sources that must differ, all in one direction, for McNemar's exact test to see it."""
    wanted = next(count for count in range(1, 99) if binomtest(count, count).pvalue < ALPHA)
    if clusters < wanted:
        return 1.0
    return float(brentq(lambda share: binom.sf(wanted - 1, clusters, share) - POWER, 0.0, 1.0))

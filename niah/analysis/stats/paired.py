"""Differences of proportions: two models on the same cases, or two conditions of one model.

If each needle source is asked about once, pairs are independent: the p-value is that of McNemar's exact test, and the
interval that of Bonett and Price (2012). They add one pair that only the first model answers correctly and one that
only the second does, so that two models that agree on 20 needles do not get an interval of width 0. Otherwise both
come from a linear probability model with a covariance clustered by needle source.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm

from niah.analysis.stats.detectable import smallest_by_mcnemar, smallest_difference
from niah.analysis.stats.observations import Observations, concatenate
from niah.analysis.stats.regression import Estimate, fit, mean

MCNEMAR = "exact McNemar"
REGRESSION = "paired t-test, clustered"


@dataclass(frozen=True)
class Difference:
    """The first model's accuracy minus the second's, on the `cases` that both answered.

    With fewer than two sources, interval, p-value and detectable difference are None: the variation between sources
    is unknown. `detectable` is the smallest difference that the test detects with 80 % power. Unless
    `haystacks_clustered`, the result holds for these haystacks only.
    """

    cases: int
    sources: int
    haystacks: int
    first: float
    second: float
    low: float | None
    high: float | None
    p_value: float | None
    method: str
    detectable: float | None
    haystacks_clustered: bool

    @property
    def value(self) -> float:
        """Return the difference."""
        return self.first - self.second


def paired_difference(pairs: Observations) -> Difference:
    """Compare two models on the cases that both answered; the values of a pair are (first correct, second correct).

    Raises ValueError if there is no case.
    """
    if not len(pairs):
        raise ValueError("a difference needs at least one case that both models answered")
    sources = set(pairs.sources)
    first, second = pairs.values.T
    found = mean(pairs.with_value(first - second))
    independent = len(sources) == len(pairs)
    low, high, p_value, detectable = None, None, None, None
    if found is not None and independent:
        low, high = _interval_of_pairs(pairs)
        p_value = _mcnemar(pairs)
        detectable = max(_detectable(found), smallest_by_mcnemar(found.clusters))
    elif found is not None:
        low, high = _interval(found)
        p_value = _p_value(found)
        detectable = _detectable(found)
    return Difference(
        cases=len(pairs),
        sources=len(sources),
        haystacks=len(set(pairs.haystacks) - {""}),
        first=float(first.sum()) / len(pairs),
        second=float(second.sum()) / len(pairs),
        low=low,
        high=high,
        p_value=p_value,
        method=MCNEMAR if independent else REGRESSION,
        detectable=detectable,
        haystacks_clustered=found is not None and found.haystacks_clustered and not independent,
    )


def unpaired_difference(first: Observations, second: Observations) -> Estimate | None:
    """Estimate the proportion of `first` minus that of `second`, over the sources that have both.

    Values are (correct,). Meant for two conditions of one model, whose numbers of cases may differ. Clusters are
    sources, never haystacks. Returns None with fewer than two sources.
    """
    common = set(first.sources) & set(second.sources)
    parts = [part.from_sources(common) for part in (first, second)]
    cases = concatenate(parts)
    if not len(cases):
        return None
    design = np.repeat(np.eye(2), [len(part) for part in parts], axis=0)  # a column for each condition
    fitted = fit(cases, design, cases.values[:, 0], over_haystacks=False)
    if fitted is None:
        return None
    found = fitted.contrast([1.0, -1.0])
    low, high = _interval(found)
    return dataclasses.replace(found, low=low, high=high, p_value=_p_value(found))


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for multiple comparisons by Holm's step-down method."""
    from statsmodels.stats.multitest import multipletests  # here: importing it takes two seconds

    if not p_values:
        return []
    corrected: Any = multipletests(p_values, method="holm")
    return [float(p) for p in corrected[1]]


def _detectable(found: Estimate) -> float:
    return smallest_difference(found.standard_error, found.clusters)


def _interval(found: Estimate) -> tuple[float, float]:
    """Return the interval of a difference; if all clusters agree, Bonett and Price's for one pair per cluster."""
    if found.standard_error > 0:
        return max(found.low, -1.0), min(found.high, 1.0)
    return _bonett_price(*_as_pairs(found))


def _p_value(found: Estimate) -> float:
    """Return the p-value of a difference; if all clusters agree, at least that of one pair per cluster."""
    if found.standard_error > 0:
        return found.p_value
    value, error = _adjusted(*_as_pairs(found))
    return max(found.p_value, float(2 * norm.sf(abs(value) / error)))


def _as_pairs(found: Estimate) -> tuple[float, float, int]:
    """Express a difference as (pairs only the first has correct, pairs only the second has, pairs), one a cluster."""
    count = found.clusters
    return max(found.value, 0.0) * count, max(-found.value, 0.0) * count, count


def _interval_of_pairs(pairs: Observations) -> tuple[float, float]:
    """Return Bonett and Price's interval of a difference over independent pairs."""
    first, second = pairs.values.T > 0
    return _bonett_price(int((first & ~second).sum()), int((second & ~first).sum()), len(pairs))


def _bonett_price(only_first: float, only_second: float, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a difference of paired proportions, from the numbers of discordant pairs."""
    value, error = _adjusted(only_first, only_second, n)
    half_width = float(norm.ppf(0.975)) * error
    return max(value - half_width, -1.0), min(value + half_width, 1.0)


def _adjusted(only_first: float, only_second: float, n: int) -> tuple[float, float]:
    """Return the difference of paired proportions and its standard error, with Bonett and Price's two added pairs."""
    first = (only_first + 1) / (n + 2)
    second = (only_second + 1) / (n + 2)
    return first - second, ((first + second - (first - second) ** 2) / (n + 2)) ** 0.5


def _mcnemar(pairs: Observations) -> float:
    """Return the p-value of McNemar's exact test."""
    from statsmodels.stats.contingency_tables import mcnemar  # here: importing it takes two seconds

    table = np.zeros((2, 2))
    np.add.at(table, tuple(pairs.values.T.astype(int)), 1)
    found: Any = mcnemar(table, exact=True)
    return float(found.pvalue)

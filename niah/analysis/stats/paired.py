"""Two models on the same cases: how much better one is, and whether that could be luck.

Where each needle source is asked about once, the p-value is McNemar's, exact, and the interval that of Bonett and Price
(2012), who add a pair that only the first model answers and one that only the second does: two models that agree on
20 needles are not known to be equal. Elsewhere both are the paired cluster bootstrap's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm

from niah.analysis.stats.bootstrap import Estimate, Observation, cluster_bootstrap, proportion
from niah.analysis.stats.detectable import smallest_by_mcnemar, smallest_difference

RESAMPLES = 10_000  # so that a p-value can be small enough to be corrected
MCNEMAR, BOOTSTRAP = "exact McNemar", "paired cluster bootstrap"


@dataclass(frozen=True)
class Pair:
    """Whether each of two models answered one case rightly."""

    source: str
    haystack: str
    first: bool
    second: bool


@dataclass(frozen=True)
class Difference:
    """The first model's share of right answers less the second's, on `cases` that both answered.

    None where there are fewer than two sources: then nothing is known of their spread. `detectable` is the smallest
    difference that would be seen four times in five; `generalises` tells whether haystacks were drawn too.
    """

    cases: int
    sources: int
    haystacks: int
    first: float
    second: float
    low: float | None
    high: float | None
    p: float | None
    method: str
    detectable: float | None
    generalises: bool

    @property
    def value(self) -> float:
        """Return the difference."""
        return self.first - self.second


def paired_difference(pairs: Sequence[Pair], name: str) -> Difference:
    """Compare two models on the cases both answered. Raises ValueError where there is none."""
    if not pairs:
        raise ValueError("a difference needs at least one case that both models answered")
    sources = {pair.source for pair in pairs}
    points = [Observation(pair.source, pair.haystack, (float(pair.first) - pair.second, 1.0)) for pair in pairs]
    found = cluster_bootstrap(points, proportion, name, RESAMPLES)
    once = len(sources) == len(pairs)
    low, high, p = None, None, None
    if found is not None:
        low, high = _once(pairs) if once else _interval(found)
        p = _mcnemar(pairs) if once else _p(found)
    return Difference(
        cases=len(pairs),
        sources=len(sources),
        haystacks=len({pair.haystack for pair in pairs} - {""}),
        first=sum(pair.first for pair in pairs) / len(pairs),
        second=sum(pair.second for pair in pairs) / len(pairs),
        low=low,
        high=high,
        p=p,
        method=MCNEMAR if once else BOOTSTRAP,
        detectable=None if found is None else _detectable(found, once),
        generalises=found is not None and found.generalises and not once,
    )


def unpaired_difference(first: Sequence[Observation], second: Sequence[Observation], name: str) -> Estimate | None:
    """Return by how much the share of `first` exceeds that of `second`, over sources that have both.

    Observations hold (right, 1); the two may be different numbers of cases, of one model. Haystacks are not drawn.
    """
    common = {one.source for one in first} & {one.source for one in second}
    both = [Observation(one.source, "", (*one.values, 0, 0)) for one in first if one.source in common]
    both += [Observation(one.source, "", (0, 0, *one.values)) for one in second if one.source in common]
    found = cluster_bootstrap(both, lambda sums: proportion(sums[:2]) - proportion(sums[2:]), name)
    if found is None:
        return None
    low, high = _interval(found)
    return dataclasses.replace(found, low=low, high=high)


def holm(ps: Sequence[float]) -> list[float]:
    """Return p-values corrected for being several, by Holm's step-down rule."""
    from statsmodels.stats.multitest import multipletests  # here: importing it takes two seconds

    if not ps:
        return []
    corrected: Any = multipletests(ps, method="holm")
    return [float(p) for p in corrected[1]]


def _detectable(found: Estimate, once: bool) -> float:
    """Return the smallest difference that would be seen four times in five."""
    smallest = smallest_difference(found.error, found.clusters)
    return max(smallest, smallest_by_mcnemar(found.clusters)) if once else smallest


def _interval(found: Estimate) -> tuple[float, float]:
    """Return the interval of a difference; where all clusters agree, that of as many pairs as there are clusters."""
    if found.error > 0:
        return max(found.low, -1.0), min(found.high, 1.0)
    return _bonett_price(*_as_pairs(found))


def _p(found: Estimate) -> float:
    """Return the p-value of a difference; where all clusters agree, no surer than the interval of as many pairs."""
    if found.error > 0:
        return found.p
    value, error = _smoothed(*_as_pairs(found))
    return max(found.p, float(2 * norm.sf(abs(value) / error)))


def _as_pairs(found: Estimate) -> tuple[float, float, int]:
    """Return a difference as how many pairs each side alone has right, of one pair for each cluster."""
    count = found.clusters
    return max(found.value, 0.0) * count, max(-found.value, 0.0) * count, count


def _once(pairs: Sequence[Pair]) -> tuple[float, float]:
    """Return the interval of a difference over independent pairs."""
    ahead = sum(pair.first and not pair.second for pair in pairs)
    behind = sum(pair.second and not pair.first for pair in pairs)
    return _bonett_price(ahead, behind, len(pairs))


def _bonett_price(first: float, second: float, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a difference of paired shares, from how many pairs each side alone has right."""
    value, error = _smoothed(first, second, n)
    half = float(norm.ppf(0.975)) * error
    return max(value - half, -1.0), min(value + half, 1.0)


def _smoothed(first: float, second: float, n: int) -> tuple[float, float]:
    """Return the difference of paired shares and its standard error, with Bonett and Price's two further pairs."""
    one, other = (first + 1) / (n + 2), (second + 1) / (n + 2)
    return one - other, ((one + other - (one - other) ** 2) / (n + 2)) ** 0.5


def _mcnemar(pairs: Sequence[Pair]) -> float:
    """Return the p-value of McNemar's exact test."""
    from statsmodels.stats.contingency_tables import mcnemar  # here: importing it takes two seconds

    table = np.zeros((2, 2))
    for pair in pairs:
        table[int(pair.first), int(pair.second)] += 1
    found: Any = mcnemar(table, exact=True)
    return float(found.pvalue)

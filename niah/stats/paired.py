"""Two models on the same cases: how much better one is, and whether that could be luck.

Where each needle source is asked about once, the p-value is McNemar's, exact. Elsewhere it is the paired cluster
bootstrap's. The interval is the bootstrap's in both, with two sources added of which each model alone answers one (as Bonett
and Price 2012 do): two models that agree on 20 needles are not known to be equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from niah.stats.power import smallest_difference
from niah.stats.resample import Observation, resample

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


def difference(pairs: Sequence[Pair], name: str) -> Difference:
    """Compare two models on the cases both answered. Raises ValueError where there is none."""
    if not pairs:
        raise ValueError("a difference needs at least one case that both models answered")
    sources = {pair.source for pair in pairs}
    weight = len(pairs) / len(sources)
    points = [Observation(pair.source, pair.haystack, (float(pair.first) - pair.second, 1.0)) for pair in pairs]
    found = resample(points, lambda sums: sums[0] / sums[1], name, [(weight, weight), (-weight, weight)])
    once = len(sources) == len(pairs)
    shares = [float(np.mean([getattr(pair, which) for pair in pairs])) for which in ("first", "second")]
    haystacks = len({pair.haystack for pair in pairs} - {""})
    method = MCNEMAR if once else BOOTSTRAP
    if found is None:
        return Difference(len(pairs), len(sources), haystacks, *shares, None, None, None, method, None, False)
    return Difference(
        len(pairs), len(sources), haystacks, *shares, found.low, found.high,
        _mcnemar(pairs) if once else _p(found.draws), method,
        smallest_difference(found.error, found.clusters), found.generalises,
    )  # fmt: skip


def holm(ps: Sequence[float]) -> list[float]:
    """Return p-values corrected for being several, by Holm's step-down rule."""
    from statsmodels.stats.multitest import multipletests  # here: importing it takes two seconds

    return [float(p) for p in multipletests(ps, method="holm")[1]] if ps else []


def _mcnemar(pairs: Sequence[Pair]) -> float:
    """Return the p-value of McNemar's exact test."""
    from statsmodels.stats.contingency_tables import mcnemar  # here: importing it takes two seconds

    table = np.zeros((2, 2))
    for pair in pairs:
        table[int(pair.first), int(pair.second)] += 1
    return float(mcnemar(table, exact=True).pvalue)


def _p(draws: np.ndarray) -> float:
    """Return twice the share of resamples beyond 0; never 0, because the resamples are counted."""
    beyond = min((draws <= 0).sum(), (draws >= 0).sum())
    return float(min(1.0, 2 * (beyond + 1) / (len(draws) + 1)))

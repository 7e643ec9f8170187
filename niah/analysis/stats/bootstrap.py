"""The cluster bootstrap: what is drawn with replacement, and the interval of a statistic of sums.

Drawn are the videos that needles were cut from; with 20 haystacks or more, haystacks too. Where every
source lies in one haystack only, drawing haystacks draws their needles: crossing the two would then count the same luck
twice. Otherwise both are drawn, independently (Owen 2007, "The pigeonhole bootstrap").

Percentiles of few clusters are too narrow, so they are taken at Hesterberg's widened level (2015, "What
teachers should know about the bootstrap", section 4.2). No resample lies beyond the lowest and the highest cluster,
though: of four clusters even the widened interval misses the truth one time in ten. Below 16 clusters an interval is
therefore no narrower than Student's t. Seeds are names: the same command prints the same bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import DegenerateDataWarning, bootstrap, norm, t

MIN_HAYSTACKS = 20  # at least, for them to be drawn: of fewer, the spread is not known
RESAMPLES = 2000
FEW = 16  # clusters: with fewer, percentiles alone are too narrow
ROUNDING = 1e-12  # of sums of shares; by less, nothing differs
Statistic = Callable[[np.ndarray], np.ndarray]  # (values, resamples) sums -> (resamples,)


@dataclass(frozen=True)
class Observation:
    """What one case adds to the sums that a statistic is made of; `haystack` is "" where it has none."""

    source: str
    haystack: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Estimate:
    """A statistic, its 95 % interval, and what the interval speaks for.

    `draws` are the statistic of each resample. `haystacks` counts those the cases lie in; `generalises` says
    whether they were drawn: if not, the interval speaks for these haystacks only.
    """

    value: float
    low: float
    high: float
    draws: np.ndarray  # (resamples,)
    clusters: int
    haystacks: int
    generalises: bool

    @property
    def error(self) -> float:
        """Return the standard error, corrected for the number of clusters; 0 where all draws agree."""
        if np.ptp(self.draws) < ROUNDING:  # of draws that are all 1/3 numpy's deviation is 5e-17
            return 0.0
        return float(np.std(self.draws) * np.sqrt(self.clusters / (self.clusters - 1)))

    @property
    def p(self) -> float:
        """Return the two-sided p-value of the statistic being 0: below 0.05 exactly where the interval leaves 0 out.

        But with fewer than six clusters never below 0.05: that all lie on one side is luck in 2 of 2^clusters samples.
        Never 0, because the resamples are counted.
        """
        beyond = min((self.draws <= ROUNDING).sum(), (self.draws >= -ROUNDING).sum())
        z = norm.ppf(min((beyond + 1) / (len(self.draws) + 1), 0.5))
        p = float(2 * t.cdf(z * np.sqrt((self.clusters - 1) / self.clusters), self.clusters - 1))
        if self.clusters < FEW and self.error > 0:
            p = max(p, float(2 * t.sf(abs(self.value) / self.error, self.clusters - 1)))
        return max(p, 0.5 ** (self.clusters - 1))


def cluster_bootstrap(
    observations: Sequence[Observation], statistic: Statistic, name: str, resamples: int = RESAMPLES
) -> Estimate | None:
    """Return a statistic of the sums of `values` with its interval; None with fewer than two sources.

    Resamples for which the statistic is NaN are left out. Where all clusters agree the interval has no width.
    """
    if len({one.source for one in observations}) < 2:
        return None
    haystacks = {one.haystack for one in observations}
    known = "" not in haystacks
    clusters, draw = _scheme(observations, known and len(haystacks) >= MIN_HAYSTACKS)

    def drawn(*parts: np.ndarray, axis: int) -> np.ndarray:
        return statistic(draw(*parts))

    with warnings.catch_warnings():  # of NaN draws, which are left out below
        warnings.simplefilter("ignore", DegenerateDataWarning)
        found = bootstrap(
            tuple(np.arange(count) for count in clusters),
            drawn,
            n_resamples=resamples,
            method="percentile",
            vectorized=True,
            rng=np.random.default_rng(seed_from_name(name)),
        )
    draws = found.bootstrap_distribution[~np.isnan(found.bootstrap_distribution)]
    sums = np.array([one.values for one in observations], float).sum(axis=0)[:, None]  # (values, 1)
    count = min(clusters)
    low, high = np.quantile(draws, (_tail(count), 1 - _tail(count)))
    return _widened(Estimate(
        float(statistic(sums)[0]), float(low), float(high), draws, count,
        len(haystacks - {""}), known and len(haystacks) >= MIN_HAYSTACKS,
    ))  # fmt: skip


def proportion(sums: np.ndarray) -> np.ndarray:
    """Return right / answered, the first two of some sums; NaN for a resample without an answer."""
    return np.divide(sums[0], sums[1], out=np.full(sums.shape[1:], np.nan), where=sums[1] > 0)


def seed_from_name(name: str) -> int:
    """Return the seed that a name stands for."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def _widened(found: Estimate) -> Estimate:
    """Return an estimate whose interval, of few clusters, is no narrower than Student's t."""
    if found.clusters >= FEW:
        return found
    half = float(t.ppf(0.975, found.clusters - 1)) * found.error
    return dataclasses.replace(found, low=min(found.low, found.value - half), high=max(found.high, found.value + half))


def _tail(clusters: int) -> float:
    """Return the share left out on each side: 2.5 % and, for few clusters, less."""
    return float(norm.cdf(-np.sqrt(clusters / (clusters - 1)) * t.ppf(0.975, clusters - 1)))


def _scheme(
    observations: Sequence[Observation], over_haystacks: bool
) -> tuple[tuple[int, ...], Callable[..., np.ndarray]]:
    """Return how many clusters of each kind there are, and what sums a draw of their numbers gives."""
    homes: dict[str, set[str]] = {}
    for one in observations:
        homes.setdefault(one.source, set()).add(one.haystack)
    nested = all(len(places) == 1 for places in homes.values())
    if over_haystacks and not nested:
        return _crossed(observations)
    names = [one.haystack if over_haystacks else one.source for one in observations]
    rows = {name: row for row, name in enumerate(sorted(set(names)))}
    sums = np.zeros((len(rows), len(observations[0].values)))  # (clusters, values)
    np.add.at(sums, [rows[name] for name in names], np.array([one.values for one in observations], float))
    return (len(rows),), lambda drawn: sums[drawn].sum(axis=-2).T


def _crossed(
    observations: Sequence[Observation],
) -> tuple[tuple[int, ...], Callable[..., np.ndarray]]:
    """Weigh each observation by how often its source was drawn times how often its haystack was."""
    sources, haystacks = (
        {name: place for place, name in enumerate(sorted({getattr(one, what) for one in observations}))}
        for what in ("source", "haystack")
    )
    sums = np.zeros((len(observations[0].values), len(sources), len(haystacks)))
    for one in observations:
        sums[:, sources[one.source], haystacks[one.haystack]] += one.values

    def draw(source: np.ndarray, haystack: np.ndarray) -> np.ndarray:
        weighted = _counts(source) @ sums  # (values, resamples, haystacks)
        return (weighted * _counts(haystack)).sum(axis=-1)

    return (len(sources), len(haystacks)), draw


def _counts(drawn: np.ndarray) -> np.ndarray:
    """Return how often each cluster was drawn, (resamples, clusters)."""
    resamples, count = drawn.shape
    flat = drawn + count * np.arange(resamples)[:, None]
    return np.bincount(flat.ravel(), minlength=resamples * count).reshape(resamples, count)

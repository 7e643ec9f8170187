"""The cluster bootstrap: resample needle sources (and haystacks), recompute a statistic of sums, take percentiles.

What is resampled. A needle is asked about at many lengths and depths, so its answers are correlated; clusters are the
videos that needles were cut from ("sources"). With `MIN_HAYSTACKS` haystacks or more, haystacks are resampled too. If
every source lies in one haystack only, the design is nested, and resampling haystacks resamples their needles with
them; crossing both would count the same variation twice. Otherwise the two are crossed and resampled independently
(Owen 2007, "The pigeonhole bootstrap").

Intervals. Percentile intervals of few clusters are too narrow, so percentiles are taken at Hesterberg's widened level
(2015, "What teachers should know about the bootstrap", section 4.2). No resample lies beyond the lowest and the
highest cluster, though: with four clusters even the widened interval misses the truth one time in ten. Below 16
clusters an interval is therefore at least as wide as Student's t.

The random seed is derived from a name, so the same command prints the same bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import DegenerateDataWarning, bootstrap, norm, t

MIN_HAYSTACKS = 20  # with fewer, the variation between haystacks cannot be estimated: they are taken as fixed
RESAMPLES = 2000
FEW_CLUSTERS = 16  # with fewer, percentiles alone are too narrow
ROUNDING = 1e-12  # differences of sums below this are rounding errors
Statistic = Callable[[np.ndarray], np.ndarray]  # (values, resamples) sums -> (resamples,)
Resample = Callable[..., np.ndarray]  # cluster numbers, (resamples, clusters) each -> (values, resamples) sums


@dataclass(frozen=True)
class Observation:
    """One case: its two clusters, and the numbers it adds to the sums that a statistic is computed from.

    `haystack` is "" for a case without one. Each function says which `values` it expects.
    """

    source: str
    haystack: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Estimate:
    """A statistic with its 95 % interval.

    `clusters` is the number resampled, of the smaller kind if two kinds were. `haystacks` is how many haystacks the
    cases lie in. Unless `haystacks_resampled`, the interval holds for these haystacks only.
    """

    value: float
    low: float
    high: float
    draws: np.ndarray  # (resamples,) the statistic of each resample
    clusters: int
    haystacks: int
    haystacks_resampled: bool

    @property
    def standard_error(self) -> float:
        """Return the standard error, corrected for the number of clusters; 0 if all resamples agree."""
        if np.ptp(self.draws) < ROUNDING:  # the standard deviation of draws that are all 1/3 is 5e-17, not 0
            return 0.0
        return float(np.std(self.draws) * np.sqrt(self.clusters / (self.clusters - 1)))

    @property
    def p_value(self) -> float:
        """Return the two-sided p-value for a true value of 0; it is below 0.05 exactly if the interval excludes 0.

        With fewer than six clusters it is never below 0.05: that all lie on one side happens by chance in 2 of
        2^clusters samples. It is never 0, because the number of resamples is finite.
        """
        beyond = min((self.draws <= ROUNDING).sum(), (self.draws >= -ROUNDING).sum())
        z = norm.ppf(min((beyond + 1) / (len(self.draws) + 1), 0.5))
        p = float(2 * t.cdf(z * np.sqrt((self.clusters - 1) / self.clusters), self.clusters - 1))
        if self.clusters < FEW_CLUSTERS and self.standard_error > 0:
            p = max(p, float(2 * t.sf(abs(self.value) / self.standard_error, self.clusters - 1)))
        return max(p, 0.5 ** (self.clusters - 1))


def cluster_bootstrap(
    observations: Sequence[Observation], statistic: Statistic, name: str, resamples: int = RESAMPLES
) -> Estimate | None:
    """Estimate a statistic of the sums of `values` and its interval; None with fewer than two sources.

    Resamples whose statistic is NaN are dropped. If all clusters agree, the interval has width 0.

    Args:
        observations: one per case; all have equally many values.
        statistic: takes sums, (values, resamples), to (resamples,).
        name: the random seed is derived from it.
        resamples: how many.
    """
    if len({one.source for one in observations}) < 2:
        return None
    haystacks = {one.haystack for one in observations}
    over_haystacks = "" not in haystacks and len(haystacks) >= MIN_HAYSTACKS
    cluster_counts, resample_sums = _clusters(observations, over_haystacks)

    def resampled_statistic(*cluster_numbers: np.ndarray, axis: int) -> np.ndarray:
        return statistic(resample_sums(*cluster_numbers))

    with warnings.catch_warnings():  # about NaN draws, which are dropped below
        warnings.simplefilter("ignore", DegenerateDataWarning)
        found = bootstrap(
            tuple(np.arange(count) for count in cluster_counts),
            resampled_statistic,
            n_resamples=resamples,
            method="percentile",
            vectorized=True,
            rng=np.random.default_rng(seed_from_name(name)),
        )
    draws = found.bootstrap_distribution[~np.isnan(found.bootstrap_distribution)]
    sums = np.array([one.values for one in observations], float).sum(axis=0)[:, None]  # (values, 1)
    clusters = min(cluster_counts)
    low, high = np.quantile(draws, (_tail(clusters), 1 - _tail(clusters)))
    estimate = Estimate(
        value=float(statistic(sums)[0]),
        low=float(low),
        high=float(high),
        draws=draws,
        clusters=clusters,
        haystacks=len(haystacks - {""}),
        haystacks_resampled=over_haystacks,
    )
    return _at_least_students_t(estimate)


def proportion(sums: np.ndarray) -> np.ndarray:
    """Return correct / answered, the first two sums; NaN for a resample without an answer."""
    return np.divide(sums[0], sums[1], out=np.full(sums.shape[1:], np.nan), where=sums[1] > 0)


def seed_from_name(name: str) -> int:
    """Derive a random seed from a name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def _at_least_students_t(estimate: Estimate) -> Estimate:
    """Widen the interval of an estimate from few clusters to Student's t where that is wider."""
    if estimate.clusters >= FEW_CLUSTERS:
        return estimate
    half_width = float(t.ppf(0.975, estimate.clusters - 1)) * estimate.standard_error
    return dataclasses.replace(
        estimate,
        low=min(estimate.low, estimate.value - half_width),
        high=max(estimate.high, estimate.value + half_width),
    )


def _tail(clusters: int) -> float:
    """Return the probability left out on each side: 2.5 %, and less for few clusters (Hesterberg)."""
    return float(norm.cdf(-np.sqrt(clusters / (clusters - 1)) * t.ppf(0.975, clusters - 1)))


def _clusters(observations: Sequence[Observation], over_haystacks: bool) -> tuple[tuple[int, ...], Resample]:
    """Return the number of clusters of each kind that is resampled, and the function from cluster numbers to sums."""
    haystacks_of: dict[str, set[str]] = {}
    for one in observations:
        haystacks_of.setdefault(one.source, set()).add(one.haystack)
    nested = all(len(haystacks) == 1 for haystacks in haystacks_of.values())
    if over_haystacks and not nested:
        return _crossed_clusters(observations)
    names = [one.haystack if over_haystacks else one.source for one in observations]
    rows = {name: row for row, name in enumerate(sorted(set(names)))}
    sums = np.zeros((len(rows), len(observations[0].values)))  # (clusters, values)
    np.add.at(sums, [rows[name] for name in names], np.array([one.values for one in observations], float))
    return (len(rows),), lambda numbers: sums[numbers].sum(axis=-2).T


def _crossed_clusters(observations: Sequence[Observation]) -> tuple[tuple[int, ...], Resample]:
    """Weight each observation by how often its source was drawn times how often its haystack was."""
    sources = {name: number for number, name in enumerate(sorted({one.source for one in observations}))}
    haystacks = {name: number for number, name in enumerate(sorted({one.haystack for one in observations}))}
    sums = np.zeros((len(observations[0].values), len(sources), len(haystacks)))
    for one in observations:
        sums[:, sources[one.source], haystacks[one.haystack]] += one.values

    def resample_sums(source_numbers: np.ndarray, haystack_numbers: np.ndarray) -> np.ndarray:
        weighted = _draw_counts(source_numbers) @ sums  # (values, resamples, haystacks)
        return (weighted * _draw_counts(haystack_numbers)).sum(axis=-1)

    return (len(sources), len(haystacks)), resample_sums


def _draw_counts(numbers: np.ndarray) -> np.ndarray:
    """Return how often each cluster was drawn, (resamples, clusters)."""
    resamples, count = numbers.shape
    flat = numbers + count * np.arange(resamples)[:, None]
    return np.bincount(flat.ravel(), minlength=resamples * count).reshape(resamples, count)

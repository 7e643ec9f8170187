"""Means, differences and slopes of clustered cases: least squares by statsmodels, with cluster-robust covariance.

A needle is asked about at many lengths and depths, so its answers are correlated: clusters are the videos that needles
were cut from ("sources"). With `MIN_HAYSTACKS` haystacks or more, haystacks are clusters too. If every source lies in
one haystack only, the design is nested, and the haystacks alone are the clusters: they hold the sources. Otherwise the
two are crossed, and the covariance is clustered both ways (Cameron, Gelbach and Miller 2011).

Few clusters. The sandwich covariance is too small by the leverage of the clusters, so it is scaled to be right on
average if answers were independent, and intervals are Student's t with the degrees of freedom of Bell and McCaffrey
(2002). With clusters of equal size and design both are exact: factor G / (G - 1), and G - 1 degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import t

from niah.analysis.stats.observations import Observations, numbers_of

MIN_HAYSTACKS = 20  # with fewer, the variation between haystacks cannot be estimated: they are taken as fixed
ROUNDING = 1e-9  # standard errors below this are rounding errors


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval, and the two-sided p-value for a true value of 0.

    `clusters` is the number of clusters, of the smaller kind if there are two. `haystacks` is how many haystacks the
    cases lie in. Unless `haystacks_clustered`, the interval holds for these haystacks only. If all clusters agree,
    `standard_error` is 0 and the interval has no width.
    """

    value: float
    low: float
    high: float
    p_value: float
    standard_error: float
    clusters: int
    haystacks: int
    haystacks_clustered: bool


@dataclass(frozen=True)
class ClusteredFit:
    """A least-squares fit of clustered cases, from which contrasts of coefficients are estimated."""

    design: np.ndarray  # (cases, coefficients)
    coefficients: np.ndarray
    groups: tuple[np.ndarray, ...]  # for each kind of cluster the number of each case's cluster, (cases,)
    covariances: tuple[np.ndarray, ...]  # the sandwich of each kind, uncorrected; with two kinds also that of both
    haystacks: int
    haystacks_clustered: bool

    def covariance(self, first: np.ndarray, second: np.ndarray) -> float:
        """Return the covariance of two contrasts, corrected as the variance of the second."""
        return float(first @ self.covariances[-1] @ second) * self._correction(second)[0]

    def degrees_of_freedom(self, contrast: np.ndarray) -> float:
        """Return the degrees of freedom of a contrast's standard error; at least 1."""
        return self._correction(contrast)[1]

    def contrast(self, contrast: Sequence[float]) -> Estimate:
        """Estimate a weighted sum of the coefficients."""
        weights = np.asarray(contrast, float)
        clusters = min(len(np.unique(group)) for group in self.groups)
        scale, degrees = self._correction(weights)
        variances = [float(weights @ covariance @ weights) * scale for covariance in self.covariances]
        error = max(0.0, *variances) ** 0.5  # clustering both ways is never taken to be more certain than one way
        error = error if error > ROUNDING else 0.0
        value = float(weights @ self.coefficients)
        half_width = float(t.ppf(0.975, degrees)) * error
        return Estimate(
            value=value,
            low=value - half_width,
            high=value + half_width,
            p_value=_p_value(value, error, degrees, clusters),
            standard_error=error,
            clusters=clusters,
            haystacks=self.haystacks,
            haystacks_clustered=self.haystacks_clustered,
        )

    def _correction(self, contrast: np.ndarray) -> tuple[float, float]:
        """Return by what the variance of a contrast is multiplied, and its degrees of freedom, for independent answers.

        Bell and McCaffrey 2002: the sandwich is a sum over clusters g of (a_g' e_g)^2, where a are the weights of the
        outcomes in the contrast and e the residuals; its mean and variance follow from the matrix of products of the
        vectors (I - H)_g' a_g. Clustered both ways, statsmodels corrects each part by itself.
        """
        if len(self.groups) > 1:
            return 1.0, float(min(len(np.unique(group)) for group in self.groups) - 1)
        inverse = np.linalg.inv(self.design.T @ self.design)
        weights = self.design @ inverse @ contrast  # (cases,)
        group = self.groups[0]  # pyright: ignore[reportGeneralTypeIssues]  # there is one at least
        squares: np.ndarray = np.bincount(group, weights**2)  # (clusters,)
        sums = np.stack([np.bincount(group, column * weights) for column in self.design.T], axis=1)
        # The products are diag(squares) - sums @ inverse @ sums.T, which is as large as the square of the clusters.
        hidden = sums @ inverse  # (clusters, coefficients)
        diagonal = (hidden * sums).sum(axis=1)
        inner = hidden.T @ sums  # (coefficients, coefficients)
        trace = max(float((squares - diagonal).sum()), 1e-12 * float(squares.sum()))
        total = float((squares**2 - 2 * squares * diagonal).sum() + (inner * inner.T).sum())
        total = max(total, trace**2 / len(squares))  # of so many eigenvalues; rounding may take it below
        return float(squares.sum()) / trace, max(trace**2 / total, 1.0)


def fit(
    observations: Observations, design: np.ndarray, outcome: np.ndarray, over_haystacks: bool = True
) -> ClusteredFit | None:
    """Fit outcomes (cases,) by a design (cases, coefficients); None with fewer than two sources or a singular design.

    Args:
        observations: one per case: its clusters. Their values are not read.
        design: a column for each coefficient.
        outcome: what is fitted.
        over_haystacks: whether haystacks are clusters, too, where there are enough of them.
    """
    if len(set(observations.sources)) < 2 or np.linalg.matrix_rank(design) < design.shape[1]:
        return None
    from statsmodels.regression.linear_model import OLS  # here: importing it takes two seconds

    clustered = over_haystacks and _enough_haystacks(observations)
    groups = cluster_groups(observations) if over_haystacks else [numbers_of(observations.sources)]
    model: Any = OLS(outcome, design)
    kinds = [*groups, np.stack(groups, axis=1)] if len(groups) > 1 else list(groups)
    fits: list[Any] = [
        model.fit(cov_type="cluster", cov_kwds={"groups": kind, "use_correction": len(groups) > 1}) for kind in kinds
    ]
    return ClusteredFit(
        design=design,
        coefficients=np.asarray(fits[0].params),
        groups=tuple(groups),
        covariances=tuple(np.asarray(found.cov_params()) for found in fits),
        haystacks=len(set(observations.haystacks) - {""}),
        haystacks_clustered=clustered,
    )


def mean(observations: Observations, over_haystacks: bool = True) -> Estimate | None:
    """Estimate the mean of the first values; None with fewer than two sources."""
    if not len(observations):
        return None
    found = fit(observations, np.ones((len(observations), 1)), observations.values[:, 0], over_haystacks)
    return None if found is None else found.contrast([1.0])


def cluster_groups(observations: Observations) -> list[np.ndarray]:
    """Return for each kind of cluster the number of each case's cluster, (cases,).

    Sources; with enough haystacks, haystacks if sources are nested in them, else both.
    """
    sources = numbers_of(observations.sources)
    if not _enough_haystacks(observations):
        return [sources]
    haystacks = numbers_of(observations.haystacks)
    pairs = sources * (haystacks.max() + 1) + haystacks
    nested = len(np.unique(pairs)) == sources.max() + 1
    return [haystacks] if nested else [sources, haystacks]


def _p_value(value: float, error: float, degrees: float, clusters: int) -> float:
    """Return the two-sided p-value; with fewer than six clusters it is never below 0.05.

    That all clusters lie on one side happens by chance in 2 of 2^clusters samples.
    """
    if abs(value) <= ROUNDING:
        return 1.0
    p = float(2 * t.sf(abs(value) / error, degrees)) if error else 0.0
    return max(p, 0.5 ** (clusters - 1))


def _enough_haystacks(observations: Observations) -> bool:
    """Return True if every case has a haystack and there are enough of them to estimate their variation."""
    haystacks = set(observations.haystacks)
    return "" not in haystacks and len(haystacks) >= MIN_HAYSTACKS

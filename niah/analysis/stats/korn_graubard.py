"""The Korn-Graubard interval of a proportion whose cases come in clusters: Clopper-Pearson at an effective sample size.

Korn and Graubard 1998, "Confidence intervals for proportions with small expected number of positive counts estimated
from survey data". The variance takes whole clusters (needle sources) as its units and is corrected for their leverage
(CR2, Bell and McCaffrey 2002), with Satterthwaite's degrees of freedom: a few sources that hold most cases count as the
few that they are.

Where hardly any source holds an error, the spread between sources is not known: 32 sources of which one holds an error
say nothing about how errors cluster. With fewer than ten sources that hold an error (or a right answer), the effective
sample size is therefore at most the effective number of sources.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import beta, t

FEW = 10  # sources that hold an error, or a right answer: with fewer their spread is not known


@dataclass(frozen=True)
class ClusteredShare:
    """A share of right answers, its variance between clusters, and what that variance rests on."""

    share: float
    variance: float
    degrees_of_freedom: float
    cases: int
    effective_clusters: float  # 1 / sum of squared shares of the cases: as many equal clusters weigh alike
    few: bool  # too few clusters hold an error, or a right answer


def clustered_share(right: np.ndarray, cases: np.ndarray) -> ClusteredShare:
    """Return the share of right answers over clusters.

    `right` and `cases` count right answers and all answers of each cluster, (clusters,); at least two clusters.
    """
    total = cases.sum()
    weight = cases / total  # of a cluster; also its leverage, as the model is one mean
    share = right.sum() / total
    residual = right - share * cases
    variance = (residual**2 / (1 - weight)).sum() / total**2
    # Satterthwaite's trace^2 / sum of squares of the matrix (diag(w) - w w') / sqrt((1 - w) (1 - w)'); the trace is 1.
    crossed = weight**2 / (1 - weight)
    squares = (weight**2).sum() + crossed.sum() ** 2 - (crossed**2).sum()
    return ClusteredShare(
        share=float(share),
        variance=float(variance),
        degrees_of_freedom=float(1 / squares),
        cases=int(total),
        effective_clusters=float(1 / (weight**2).sum()),
        few=bool(min((right < cases).sum(), (right > 0).sum()) < FEW),
    )


def effective_size(known: ClusteredShare) -> float:
    """Return as how many independent answers the clustered ones count, corrected for few degrees of freedom."""
    spread = known.share * (1 - known.share)
    if known.variance < 1e-12 * max(spread, 1e-12):  # all clusters agree: what a cluster holds is one answer
        return known.effective_clusters
    correction = t.ppf(0.975, known.cases - 1) / t.ppf(0.975, max(known.degrees_of_freedom, 1.0))
    size = min(spread / known.variance * correction**2, known.cases)
    return float(min(size, known.effective_clusters) if known.few else size)


def clopper_pearson(share: float, size: float) -> tuple[float, float]:
    """Return the exact binomial 95 % interval of a share; `size` need not be whole."""
    right = share * size
    wrong = size - right
    low = beta.ppf(0.025, right, wrong + 1) if right > 1e-9 else 0.0
    high = beta.ppf(0.975, right + 1, wrong) if wrong > 1e-9 else 1.0
    return float(low), float(high)


def korn_graubard(right: np.ndarray, cases: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of the share of right answers over clusters."""
    known = clustered_share(right, cases)
    return clopper_pearson(known.share, effective_size(known))


def p_above(known: ClusteredShare, chance: float) -> float:
    """Return the one-sided p-value that the share is not above chance: the lower limit as a test."""
    size = effective_size(known)
    right = known.share * size
    return float(beta.cdf(chance, right, size - right + 1)) if right > 1e-9 else 1.0

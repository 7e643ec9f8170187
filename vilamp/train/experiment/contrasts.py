"""What the experiment may conclude: accuracy with its spread over seeds, and contrasts between schemes.

The unit of replication is the seed, that is the training. Cases of one model say how well that model does, not how
well its scheme trains; so for intervals seeds are drawn with replacement, and haystacks with the needles that lie in
them. Percentiles of three seeds are too narrow for a verdict. That takes a t-test whose variance is that between
seeds plus that between haystacks, with Satterthwaite's degrees of freedom. Schemes are compared on the same cases and
seeds, as pairs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from niah.analysis.stats.bootstrap import seed_from_name as seed_of
from niah.analysis.stats.paired import holm
from niah.analysis.stats.proportions import wilson_interval
from vilamp.train.experiment.records import Answer

RESAMPLES = 4000
CHANCE = 0.25
LEAST = 2  # trained pairs of seeds for a verdict


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds, each seed's own, and the 95 % interval over seeds, haystacks and needles."""

    value: float
    low: float
    high: float
    seeds: dict[int, float]
    cases: int  # of one seed
    p: float | None  # two-sided, of the mean being 0; None for one seed, or where nothing varies


@dataclass(frozen=True)
class Contrast:
    """One scheme's accuracy less another's on the same cases; no spread where fewer than two pairs of seeds trained."""

    first: str
    second: str
    spread: Estimate | None
    corrected: float | None  # p after Holm

    @property
    def found(self) -> bool:
        """Say whether it counts as a finding: corrected p below 0.05, and all seeds on one side."""
        if self.spread is None or self.corrected is None:
            return False
        signs = {np.sign(value) for value in self.spread.seeds.values()}
        return self.corrected < 0.05 and len(signs) == 1 and 0 not in signs


@dataclass(frozen=True)
class Gate:
    """Whether a training learned to read the clips at all."""

    scheme: str
    budget: float
    seed: int
    right: int
    n: int

    @property
    def low(self) -> float:
        """Return the lower end of Wilson's 95 % interval."""
        return wilson_interval(self.right, self.n)[0] or 0.0

    @property
    def trained(self) -> bool:
        """Say whether needle_only accuracy lies above chance."""
        return self.low > CHANCE


def gates(answers: Iterable[Answer]) -> list[Gate]:
    """Return the gate of every training that was asked needle_only."""
    counts: dict[tuple[str, float, int], list[bool]] = defaultdict(list)
    for one in answers:
        if one.condition == "needle_only":
            counts[one.scheme, one.budget, one.seed].append(one.right)
    return [Gate(*key, sum(right), len(right)) for key, right in sorted(counts.items())]


def passed(answers: Sequence[Answer]) -> list[Answer]:
    """Leave out the answers of trainings that did not pass their gate."""
    trained = {(gate.scheme, gate.budget, gate.seed) for gate in gates(answers) if gate.trained}
    return [one for one in answers if (one.scheme, one.budget, one.seed) in trained]


def accuracy(answers: Sequence[Answer], name: str) -> Estimate | None:
    """Return the accuracy of answers of one scheme and budget; None without any."""
    return _spread({(one.seed, one.case): (one.haystack, float(one.right)) for one in answers}, name)


def difference(first: Sequence[Answer], second: Sequence[Answer], name: str) -> Estimate | None:
    """Return accuracy of `first` less that of `second` over the cases and seeds that both have."""
    others = {(one.seed, one.case): one.right for one in second}
    pairs = {
        (one.seed, one.case): (one.haystack, float(one.right) - float(others[one.seed, one.case]))
        for one in first
        if (one.seed, one.case) in others
    }
    return _spread(pairs, name)


def interaction(
    first: Sequence[Answer], others: Sequence[Sequence[Answer]], plus: set[str], minus: set[str], name: str
) -> Estimate | None:
    """Return (`first` - mean of `others`) over types in `plus`, less the same over types in `minus`.

    Only seeds that all schemes have. Both halves are means over their own cases.
    """
    seeds = set.intersection(*({one.seed for one in part} for part in (first, *others)))
    sizes = [len({one.case for one in first if one.type in kinds}) for kinds in (plus, minus)]
    if not seeds or 0 in sizes:
        return None
    whole = sum(sizes)
    values: dict[tuple[int, str], tuple[str, float]] = {}
    for part, weight in ((first, 1.0), *((other, -1.0 / len(others)) for other in others)):
        for one in part:
            if one.seed in seeds and one.type in plus | minus:
                sign = whole / sizes[0] if one.type in plus else -whole / sizes[1]
                haystack, so_far = values.get((one.seed, one.case), (one.haystack, 0.0))
                values[one.seed, one.case] = haystack, so_far + weight * sign * one.right
    return _spread(values, name)


def weighted_sum(parts: Sequence[tuple[float, Sequence[Answer]]], name: str) -> Estimate | None:
    """Return a sum of accuracies, each with its weight, over the seeds and cases that all parts have."""
    common = set.intersection(*({(one.seed, one.case) for one in part} for _, part in parts))
    values: dict[tuple[int, str], tuple[str, float]] = {}
    for weight, part in parts:
        for one in part:
            if (one.seed, one.case) in common:
                haystack, so_far = values.get((one.seed, one.case), (one.haystack, 0.0))
                values[one.seed, one.case] = haystack, so_far + weight * one.right
    return _spread(values, name)


def contrasts(answers: Sequence[Answer], first: str, others: Sequence[str], name: str) -> list[Contrast]:
    """Return `first` against each of the others, corrected for being several; answers are those that passed."""
    own = [one for one in answers if one.scheme == first]
    found = []
    for other in others:
        spread = difference(own, [one for one in answers if one.scheme == other], f"{name}/{first}/{other}")
        found.append((other, spread if spread is not None and len(spread.seeds) >= LEAST else None))
    ps = iter(holm([spread.p for _, spread in found if spread is not None and spread.p is not None]))
    return [
        Contrast(first, other, spread, None if spread is None or spread.p is None else next(ps))
        for other, spread in found
    ]


def _spread(values: dict[tuple[int, str], tuple[str, float]], name: str) -> Estimate | None:
    """Return mean and interval of values by (seed, case), each with its haystack ("" has none: its case stands alone).

    Seeds and haystacks are drawn independently and crossed; a draw's mean weighs every case by both counts.
    """
    if not values:
        return None
    seeds = sorted({seed for seed, _ in values})
    names = sorted({haystack or case for (_, case), (haystack, _) in values.items()})
    groups = {one: number for number, one in enumerate(names)}
    sums, counts = np.zeros((len(seeds), len(groups))), np.zeros((len(seeds), len(groups)))
    for (seed, case), (haystack, value) in values.items():
        place = seeds.index(seed), groups[haystack or case]
        sums[place] += value
        counts[place] += 1
    rng = np.random.default_rng(seed_of(name))
    drawn = [rng.multinomial(count, np.full(count, 1 / count), RESAMPLES) for count in (len(seeds), len(groups))]
    draws = [((drawn[0] @ part) * drawn[1]).sum(axis=1) for part in (sums, counts)]  # (resamples,) each
    low, high = np.quantile(draws[0][draws[1] > 0] / draws[1][draws[1] > 0], (0.025, 0.975))
    own = {seed: float(sums[n].sum() / counts[n].sum()) for n, seed in enumerate(seeds)}
    mean = float(sums.sum() / counts.sum())
    return Estimate(mean, float(low), float(high), own, int(counts[0].sum()), _p(sums, counts, mean))


def _p(sums: np.ndarray, counts: np.ndarray, mean: float) -> float | None:
    """Return the two-sided p of the mean being 0, from (seeds, groups) sums and counts."""
    seeds, groups = sums.shape
    if seeds < 2 or groups < 2:
        return None
    of_seeds = float(np.var(sums.sum(1) / counts.sum(1), ddof=1)) / seeds
    residuals = (sums - mean * counts).sum(0)  # (groups,) of a ratio's linearised sum
    of_groups = float((residuals**2).sum() / counts.sum() ** 2) * groups / (groups - 1)
    whole = of_seeds + of_groups
    if whole == 0:
        return None
    freedom = whole**2 / (of_seeds**2 / (seeds - 1) + of_groups**2 / (groups - 1))
    return float(2 * t.sf(abs(mean) / np.sqrt(whole), freedom))

"""What the experiment may conclude: accuracy with its spread over seeds, and contrasts between compressors.

The unit of replication is the training, that is the seed: cases of one model say how well that model does, not how
well its compressor trains. Intervals therefore resample seeds, and haystacks together with the needles in them.
Percentiles of three seeds are too narrow for a verdict, so that takes a t-test whose variance is that between seeds
plus that between haystacks, with Satterthwaite's degrees of freedom. Compressors are compared in pairs, on the same
cases and seeds.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from niah.analysis.stats.paired import holm
from niah.analysis.stats.proportions import wilson_interval
from vilamp.train.experiment.records import Answer

RESAMPLES = 4000
CHANCE = 0.25  # of four options
MIN_SEED_PAIRS = 2  # trained, for a verdict


@dataclass(frozen=True)
class ContrastEstimate:
    """A mean over seeds, with the 95 % interval over seeds, haystacks and needles."""

    value: float
    low: float
    high: float
    seeds: dict[int, float]  # each seed's own mean
    cases: int  # of one seed
    p: float | None  # two-sided, of the mean being 0; None for one seed, or where nothing varies


@dataclass(frozen=True)
class Contrast:
    """One compressor's accuracy less another's on the same cases."""

    first: str
    second: str
    estimate: ContrastEstimate | None  # None where fewer than two pairs of seeds trained
    corrected: float | None  # p after Holm's correction

    @property
    def found(self) -> bool:
        """Return True if it counts as a finding: corrected p below 0.05, and all seeds on one side of 0."""
        if self.estimate is None or self.corrected is None:
            return False
        signs = {np.sign(value) for value in self.estimate.seeds.values()}
        return self.corrected < 0.05 and len(signs) == 1 and 0 not in signs


@dataclass(frozen=True)
class Gate:
    """Whether a training learned to read clips at all: its accuracy where the needle clip is shown alone."""

    compressor: str
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
        """Return True if the accuracy is above chance."""
        return self.low > CHANCE


def gates(answers: Iterable[Answer]) -> list[Gate]:
    """Return the gate of every training that was asked needle_only."""
    counts: dict[tuple[str, float, int], list[bool]] = defaultdict(list)
    for one in answers:
        if one.condition == "needle_only":
            counts[one.compressor, one.budget, one.seed].append(one.right)
    return [Gate(*key, sum(right), len(right)) for key, right in sorted(counts.items())]


def passed(answers: Sequence[Answer]) -> list[Answer]:
    """Return the answers of trainings that passed their gate."""
    trained = {(gate.compressor, gate.budget, gate.seed) for gate in gates(answers) if gate.trained}
    return [one for one in answers if (one.compressor, one.budget, one.seed) in trained]


def accuracy(answers: Sequence[Answer], name: str) -> ContrastEstimate | None:
    """Return the accuracy of answers of one compressor and budget; None without any.

    `name` seeds the resampling, here and below.
    """
    return _estimate({(one.seed, one.case): (one.haystack, float(one.right)) for one in answers}, name)


def difference(first: Sequence[Answer], second: Sequence[Answer], name: str) -> ContrastEstimate | None:
    """Return accuracy of `first` less that of `second` over the cases and seeds that both have."""
    others = {(one.seed, one.case): one.right for one in second}
    pairs = {
        (one.seed, one.case): (one.haystack, float(one.right) - float(others[one.seed, one.case]))
        for one in first
        if (one.seed, one.case) in others
    }
    return _estimate(pairs, name)


def interaction(
    first: Sequence[Answer], others: Sequence[Sequence[Answer]], plus: set[str], minus: set[str], name: str
) -> ContrastEstimate | None:
    """Return a difference of differences: `first` less the mean of `others`, over some types less over others.

    Only seeds that all compressors have count. Both halves are means over their own cases.

    Args:
        first: The answers of one compressor.
        others: The answers of each compressor it is compared with.
        plus: The question types of the first difference.
        minus: Those of the difference that is subtracted.
        name: Seeds the resampling.
    """
    seeds = set.intersection(*({one.seed for one in part} for part in (first, *others)))
    sizes = [len({one.case for one in first if one.type in kinds}) for kinds in (plus, minus)]
    if not seeds or 0 in sizes:
        return None
    total = sum(sizes)
    type_weights = {**dict.fromkeys(minus, -total / sizes[1]), **dict.fromkeys(plus, total / sizes[0])}
    values: dict[tuple[int, str], tuple[str, float]] = {}
    for part, weight in ((first, 1.0), *((other, -1.0 / len(others)) for other in others)):
        for one in part:
            if one.seed in seeds and one.type in type_weights:
                haystack, so_far = values.get((one.seed, one.case), (one.haystack, 0.0))
                values[one.seed, one.case] = haystack, so_far + weight * type_weights[one.type] * one.right
    return _estimate(values, name)


def weighted_sum(parts: Sequence[tuple[float, Sequence[Answer]]], name: str) -> ContrastEstimate | None:
    """Return a weighted sum of accuracies over the seeds and cases that all parts have."""
    common = set.intersection(*({(one.seed, one.case) for one in part} for _, part in parts))
    values: dict[tuple[int, str], tuple[str, float]] = {}
    for weight, part in parts:
        for one in part:
            if (one.seed, one.case) in common:
                haystack, so_far = values.get((one.seed, one.case), (one.haystack, 0.0))
                values[one.seed, one.case] = haystack, so_far + weight * one.right
    return _estimate(values, name)


def contrasts(answers: Sequence[Answer], first: str, others: Sequence[str], name: str) -> list[Contrast]:
    """Return `first` against each of the others, corrected for being several.

    `answers` are those of trainings that passed their gate.
    """
    of_first = [one for one in answers if one.compressor == first]
    estimates: list[ContrastEstimate | None] = []
    for other in others:
        of_other = [one for one in answers if one.compressor == other]
        estimate = difference(of_first, of_other, f"{name}/{first}/{other}")
        enough = estimate is not None and len(estimate.seeds) >= MIN_SEED_PAIRS
        estimates.append(estimate if enough else None)
    corrected = iter(holm([one.p for one in estimates if one is not None and one.p is not None]))
    return [
        Contrast(first, other, one, None if one is None or one.p is None else next(corrected))
        for other, one in zip(others, estimates, strict=True)
    ]


def _estimate(values: Mapping[tuple[int, str], tuple[str, float]], name: str) -> ContrastEstimate | None:
    """Return mean and interval of values by (seed, case), each with its haystack.

    A case without a haystack ("") is a group of its own. Seeds and haystacks are resampled independently and crossed;
    a resample's mean weights every case by both counts.
    """
    if not values:
        return None
    seeds = sorted({seed for seed, _ in values})
    names = sorted({haystack or case for (_, case), (haystack, _) in values.items()})
    groups = {one: number for number, one in enumerate(names)}
    sums = np.zeros((len(seeds), len(groups)))
    counts = np.zeros((len(seeds), len(groups)))
    for (seed, case), (haystack, value) in values.items():
        place = seeds.index(seed), groups[haystack or case]
        sums[place] += value
        counts[place] += 1
    low, high = _interval(sums, counts, name)
    by_seed = {seed: float(sums[n].sum() / counts[n].sum()) for n, seed in enumerate(seeds)}
    mean = float(sums.sum() / counts.sum())
    return ContrastEstimate(mean, low, high, by_seed, int(counts[0].sum()), _p(sums, counts, mean))


def _interval(sums: np.ndarray, counts: np.ndarray, name: str) -> tuple[float, float]:
    """Return the 95 % interval of the mean, from (seeds, groups) sums and counts; `name` seeds the resampling."""
    rng = np.random.default_rng(_seed_from_name(name))
    seed_draws, group_draws = (rng.multinomial(size, np.full(size, 1 / size), RESAMPLES) for size in sums.shape)
    resampled_sums, resampled_counts = (((seed_draws @ part) * group_draws).sum(axis=1) for part in (sums, counts))
    some = resampled_counts > 0
    low, high = np.quantile(resampled_sums[some] / resampled_counts[some], (0.025, 0.975))
    return float(low), float(high)


def _p(sums: np.ndarray, counts: np.ndarray, mean: float) -> float | None:
    """Return the two-sided p of the mean being 0, from (seeds, groups) sums and counts."""
    seeds, groups = sums.shape
    if seeds < 2 or groups < 2:
        return None
    between_seeds = float(np.var(sums.sum(1) / counts.sum(1), ddof=1)) / seeds
    residuals = (sums - mean * counts).sum(0)  # (groups,) of a ratio's linearised sum
    between_groups = float((residuals**2).sum() / counts.sum() ** 2) * groups / (groups - 1)
    variance = between_seeds + between_groups
    if variance == 0:
        return None
    degrees = variance**2 / (between_seeds**2 / (seeds - 1) + between_groups**2 / (groups - 1))
    return float(2 * t.sf(abs(mean) / np.sqrt(variance), degrees))


def _seed_from_name(name: str) -> int:
    """Derive a random seed from a name, so that the same command prints the same numbers."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")

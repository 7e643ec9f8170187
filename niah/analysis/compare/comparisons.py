"""Pair runs case by case, and compare each pair: the primary comparison, and the secondary ones.

The primary comparison is the one a reader means beforehand: `full` over all cases. The secondary ones look at its
parts (types, lengths, depths), at slopes and at the controls; they are many, and corrected together for that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from niah.analysis.layout import format_depth, format_length
from niah.analysis.load import RunData
from niah.analysis.same_cases import case_differences, shared_cases
from niah.analysis.scored import ScoredCase, score_case
from niah.analysis.stats.observations import Observations
from niah.analysis.stats.paired import Difference, paired_difference
from niah.analysis.stats.regression import Estimate
from niah.analysis.stats.trend import slope_difference
from niah.option_scores import RULES
from niah.types import CONDITIONS, Case, UserError

Pair = tuple[ScoredCase, ScoredCase]


@dataclass(frozen=True)
class PairedRuns:
    """Two runs, and each case that both were asked, scored for (first, second)."""

    first: RunData
    second: RunData
    pairs: tuple[Pair, ...]

    def answered(self, condition: str | None = None) -> list[Pair]:
        """Return the cases that both answered, of one condition or all."""
        return [pair for pair in self.of(condition) if pair[0].answered and pair[1].answered]

    def of(self, condition: str | None) -> list[Pair]:
        """Return the cases of one condition, or all."""
        return [pair for pair in self.pairs if condition in (None, pair[0].case.condition)]

    def modes(self, condition: str) -> tuple[str, str]:
        """Return how each model's answers to one condition came about: generated, likelihood, scored by a rule."""
        found: tuple[set[str], set[str]] = (set(), set())
        for pair in self.answered(condition):
            for modes, one in zip(found, pair, strict=True):
                modes.add(f"scored by {one.scored_by}" if one.scored_by in RULES else one.scored_by)
        return ", ".join(sorted(found[0])), ", ".join(sorted(found[1]))

    def left_out(self, condition: str | None = None) -> str:
        """Describe how many cases of one condition, or all, have no answer, and why; empty if all have one."""
        parts = []
        for place, run in enumerate((self.first, self.second)):
            counts = Counter(pair[place].status for pair in self.of(condition) if not pair[place].answered)
            if counts:
                parts.append(f"{run.model} {', '.join(f'{n} {status}' for status, n in sorted(counts.items()))}")
        return "; ".join(parts)


@dataclass(frozen=True)
class SecondaryComparison:
    """A difference of accuracies, or of slopes in accuracy per `unit`."""

    what: str
    found: Difference | Estimate
    unit: str = ""


def pair_runs(runs: Sequence[RunData]) -> list[PairedRuns]:
    """Return every two of some runs, paired on the cases that all were asked.

    Raises UserError with fewer than two runs, if they share no case, if they follow different
    versions of the suite's rules, and if cases of one id differ.
    """
    if len(runs) < 2:
        raise UserError(f"a comparison needs two runs or more, got {len(runs)}; name another run of the same cases")
    for number, run in enumerate(runs):
        for other in runs[:number]:
            _refuse_incomparable(other, run)
    shared = shared_cases(runs)
    if not shared:
        raise UserError("no case was asked in all of these runs, so they cannot be compared; compare two at a time")
    cases = {case.id: case for case in runs[0].cases}
    scored = [[score_case(cases[name], run.records.get(name), run.score_by) for name in shared] for run in runs]
    return [
        PairedRuns(runs[i], runs[j], tuple(zip(scored[i], scored[j], strict=True)))
        for i, j in combinations(range(len(runs)), 2)
    ]


def compare_pairs(pairs: Sequence[Pair]) -> Difference:
    """Compare two models on some cases; one without an answer counts as wrong."""
    return paired_difference(
        Observations.of(
            (one.case.needle_source, one.case.haystack, (one.correct, other.correct)) for one, other in pairs
        )
    )


def primary_comparison(paired: PairedRuns) -> tuple[str, Difference]:
    """Return the first condition of which both answered a case, `full` if possible, and the comparison on it."""
    condition = next(known for known in CONDITIONS if paired.answered(known))
    return condition, compare_pairs(paired.answered(condition))


def secondary_comparisons(paired: PairedRuns) -> list[SecondaryComparison]:
    """Compare by type, length and depth of the primary condition, by its slopes, and on the other conditions."""
    primary = next(known for known in CONDITIONS if paired.answered(known))
    found = [SecondaryComparison(what, compare_pairs(part)) for what, part in _parts(paired, primary)]
    found += _slopes(paired, primary)
    for condition in CONDITIONS[CONDITIONS.index(primary) + 1 :]:
        answered = paired.answered(condition)
        if answered:
            found.append(SecondaryComparison(condition, compare_pairs(answered)))
    return found


def _refuse_incomparable(one: RunData, other: RunData) -> None:
    """Raise UserError if two runs are in one folder, follow other rules, or do not share their cases."""
    if one.folder.resolve() == other.folder.resolve():
        raise UserError(f"{one.folder} is named twice; a run compared with itself shows no difference, so name it once")
    if one.versions != other.versions:
        versions = " and ".join(", ".join(map(str, run.versions)) for run in (one, other))
        raise UserError(
            f"{one.folder} and {other.folder} follow versions {versions} of the suite's rules, whose needles lie at "
            "other places, so their accuracies cannot be compared: ask both models the same suite"
        )
    differ = case_differences(one, other)
    runs = f"{one.folder} ({one.model}, suite {one.suite}) and {other.folder} ({other.model}, suite {other.suite})"
    if len(differ.only_second) == len(other.cases):
        raise UserError(
            f"{runs} have no case in common, so their accuracies cannot be compared: ask both models the same suite"
        )
    if differ.changed:
        raise UserError(
            f"{runs} have {len(differ.changed)} cases of one name that differ ({differ.changed[0]}): their suites are "
            "not the same, so their accuracies cannot be compared; ask both models the cases of one folder"
        )


def _parts(paired: PairedRuns, condition: str) -> Iterator[tuple[str, list[Pair]]]:
    """Yield the types, lengths and depths that a condition's answered cases fall into, in order, if several."""
    layout, by = paired.first.layout, paired.first.layout.grouping
    axes: tuple[tuple[str, Iterable[str], Callable[[Case], str | None], Callable[[str], str]], ...] = (
        ("", sorted({case.type for case in paired.first.cases}), lambda case: case.type, str),
        ("length ", layout.length_labels()[by], lambda case: layout.length_label(case, by), format_length),
        (f"{layout.row} ", layout.depth_labels(), layout.depth_label, format_depth),
    )
    answered = sorted(paired.answered(condition), key=lambda pair: (pair[0].case.length, pair[0].case.depth or 0.0))
    for prefix, labels, label_of, written in axes:
        parts: dict[str | None, list[Pair]] = {}
        for pair in answered:
            parts.setdefault(label_of(pair[0].case), []).append(pair)
        asked = [label for label in labels if label in parts]
        if len(asked) > 1:
            yield from ((f"{condition}, {prefix}{written(label)}", parts[label]) for label in asked)


def _slopes(paired: PairedRuns, condition: str) -> Iterator[SecondaryComparison]:
    """Yield the difference of the two models' slopes, over length and over depth."""
    axes = {
        ("length", "per 1,000 frames"): lambda case: case.length / 1000,
        ("depth", "from depth 0 to 1"): paired.first.layout.nominal_depth,
    }
    for (axis, unit), x in axes.items():
        found = slope_difference(
            Observations.of(
                (one.case.needle_source, one.case.haystack, (x(one.case), one.correct, other.correct))
                for one, other in paired.answered(condition)
                if x(one.case) is not None and one.case.haystack
            )
        )
        if found is not None:
            yield SecondaryComparison(f"slope over {axis}", found, unit)

"""Which cases two runs are compared on, and their comparisons: the primary one and the secondary ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from niah.analysis.checks.between_runs import shared
from niah.analysis.layout import format_length
from niah.analysis.load import RunData
from niah.analysis.stats.bootstrap import Estimate, Observation
from niah.analysis.stats.paired import Difference, Pair, paired_difference
from niah.analysis.stats.trend import slope_difference
from niah.analysis.table import ScoredCase, score_case
from niah.types import CONDITIONS, UserError


@dataclass(frozen=True)
class PairedRuns:
    """Two runs and what became of each case that both were asked, as (first, second)."""

    first: RunData
    second: RunData
    outcomes: tuple[tuple[ScoredCase, ScoredCase], ...]

    def answered(self) -> list[tuple[ScoredCase, ScoredCase]]:
        """Return the cases that both answered."""
        return [pair for pair in self.outcomes if pair[0].status == pair[1].status == "ok"]

    def unanswered(self, condition: str | None = None) -> str:
        """Return in words how many cases, of one condition or all, are left out, and why; nothing where none is."""
        own = [pair for pair in self.outcomes if condition in (None, pair[0].case.condition)]
        parts = []
        for place, run in enumerate((self.first, self.second)):
            counts = Counter(pair[place].status for pair in own if pair[place].status != "ok")
            if counts:
                parts.append(f"{run.model} {', '.join(f'{n} {status}' for status, n in sorted(counts.items()))}")
        return "; ".join(parts)


def pair_runs(runs: Sequence[RunData]) -> list[PairedRuns]:
    """Return each pair of runs on the cases that all were asked.

    Raises UserError where there are not two runs, where they share no case, and where cases of one name differ.
    """
    if len(runs) < 2:
        raise UserError(f"a comparison needs two runs or more, got {len(runs)}; name another run of the same cases")
    for place, run in enumerate(runs):
        for other in runs[:place]:
            _refuse(other, run)
    common = shared(runs)
    if not common:
        raise UserError("no case was asked in all of these runs, so they cannot be compared; compare two at a time")
    known = {case.id: case for case in runs[0].cases}
    scored = [[score_case(known[name], run.records.get(name)) for name in common] for run in runs]
    return [
        PairedRuns(runs[i], runs[j], tuple(zip(scored[i], scored[j], strict=True)))
        for i in range(len(runs))
        for j in range(i + 1, len(runs))
    ]


def pairs(outcomes: Sequence[tuple[ScoredCase, ScoredCase]]) -> list[Pair]:
    """Return what the statistics need of cases that both models answered."""
    return [Pair(one.case.needle_source, one.case.haystack, one.correct, other.correct) for one, other in outcomes]


def _refuse(one: RunData, other: RunData) -> None:
    """Raise UserError where two runs are of one folder, or cannot be laid side by side."""
    if one.folder.resolve() == other.folder.resolve():
        raise UserError(f"{one.folder} is named twice; a run differs from itself by nothing")
    known = {case.id: case for case in one.cases}
    same = [case for case in other.cases if case.id in known]
    named = f"{one.folder} ({one.model}, suite {one.suite}) and {other.folder} ({other.model}, suite {other.suite})"
    if not same:
        raise UserError(
            f"{named} have no case in common, so their accuracies cannot be compared: ask both models the same suite"
        )
    differing = [case.id for case in same if known[case.id] != case]
    if differing:
        raise UserError(
            f"{named} have {len(differing)} cases of one name that differ ({differing[0]}): their suites are not the "
            "same, so their accuracies cannot be compared; ask both models the cases of one folder"
        )


Both = list[tuple[ScoredCase, ScoredCase]]


@dataclass(frozen=True)
class Line:
    """One further comparison: of shares, or of slopes in shares per `unit`."""

    what: str
    found: Difference | Estimate
    unit: str = ""


def primary(match: PairedRuns) -> tuple[str, Difference]:
    """Return the condition compared above all, and how: `full` wherever both answered such a case."""
    answered = match.answered()
    condition = next(known for known in CONDITIONS if any(one.case.condition == known for one, _ in answered))
    part = [pair for pair in answered if pair[0].case.condition == condition]
    return condition, paired_difference(pairs(part), _name(match, condition))


def further(match: PairedRuns) -> list[Line]:
    """Return the other comparisons: by type, length and depth of the first condition, its slopes, the controls."""
    answered = match.answered()
    first, _ = primary(match)
    part = [pair for pair in answered if pair[0].case.condition == first]
    lines = [
        Line(what, paired_difference(pairs(both), _name(match, what))) for what, both in _parts(match, first, part)
    ]
    lines += _slopes(match, part)
    for condition in CONDITIONS[CONDITIONS.index(first) + 1 :]:
        both = [pair for pair in answered if pair[0].case.condition == condition]
        if both:
            lines.append(Line(condition, paired_difference(pairs(both), _name(match, condition))))
    return lines


def _parts(match: PairedRuns, condition: str, part: Both) -> Iterator[tuple[str, Both]]:
    """Yield the parts that a condition's cases fall into, where they fall into more than one."""
    layout = match.first.layout
    by = layout.grouping
    keys = {
        "": lambda one: one.case.type,
        "length ": lambda one: format_length(layout.length_label(one.case, by) or ""),
        "depth ": lambda one: layout.depth_label(one.case) or "",
    }
    for prefix, key in keys.items():
        groups: dict[str, Both] = {}
        for pair in sorted(part, key=lambda pair: (pair[0].case.length, pair[0].case.depth or 0.0)):
            groups.setdefault(key(pair[0]), []).append(pair)
        if len(groups) > 1:
            yield from ((f"{condition}, {prefix}{label}", both) for label, both in groups.items() if label)


def _slopes(match: PairedRuns, part: Both) -> Iterator[Line]:
    """Yield how much less one model's accuracy falls than the other's, over length and over depth."""
    axes = {
        ("length", "per 1,000 frames"): lambda case: case.length / 1000,
        ("depth", "from depth 0 to 1"): match.first.layout.nominal_depth,
    }
    for (axis, unit), x in axes.items():
        points = [
            Observation(one.case.needle_source, one.case.haystack, (x(one.case), one.correct, other.correct))
            for one, other in part
            if x(one.case) is not None and one.case.haystack
        ]
        found = slope_difference(points, _name(match, f"slope over {axis}"))
        if found is not None:
            yield Line(f"slope over {axis}", found, unit)


def _name(match: PairedRuns, what: str) -> str:
    """Return what resampling is seeded with."""
    return "/".join(("compare", match.first.model, match.second.model, match.first.suite, what))

"""Which cases two runs can be compared on; runs that share none are refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from niah.analysis.checks.between_runs import shared
from niah.analysis.load import Run
from niah.analysis.stats.paired import Pair
from niah.analysis.table import Outcome, outcome
from niah.types import UserError


@dataclass(frozen=True)
class Match:
    """Two runs and what became of each case that both were asked, as (first, second)."""

    first: Run
    second: Run
    outcomes: tuple[tuple[Outcome, Outcome], ...]

    def answered(self) -> list[tuple[Outcome, Outcome]]:
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


def match(runs: Sequence[Run]) -> list[Match]:
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
    scored = [[outcome(known[name], run.records.get(name)) for name in common] for run in runs]
    return [
        Match(runs[i], runs[j], tuple(zip(scored[i], scored[j], strict=True)))
        for i in range(len(runs))
        for j in range(i + 1, len(runs))
    ]


def pairs(outcomes: Sequence[tuple[Outcome, Outcome]]) -> list[Pair]:
    """Return what the statistics need of cases that both models answered."""
    return [Pair(one.case.needle_source, one.case.haystack, one.right, other.right) for one, other in outcomes]


def _refuse(one: Run, other: Run) -> None:
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

"""Which cases two runs share, and in which they differ: only runs of the same cases can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from niah.analysis.load import RunData


@dataclass(frozen=True)
class CaseDifferences:
    """Ids of the cases that only one of two runs was asked, and of those that both were asked in different form."""

    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    changed: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.only_first or self.only_second or self.changed)


def case_differences(first: RunData, second: RunData) -> CaseDifferences:
    """Return in which cases two runs differ; the result is falsy if they were asked the same."""
    one = {case.id: case for case in first.cases}
    other = {case.id: case for case in second.cases}
    return CaseDifferences(
        only_first=tuple(name for name in one if name not in other),
        only_second=tuple(name for name in other if name not in one),
        changed=tuple(name for name, case in other.items() if name in one and one[name] != case),
    )


def shared_cases(runs: Sequence[RunData]) -> list[str]:
    """Return the ids of the cases that all runs were asked and that are equal in all, in the first run's order."""
    others = [{case.id: case for case in run.cases} for run in runs[1:]]
    return [case.id for case in runs[0].cases if all(cases.get(case.id) == case for cases in others)]

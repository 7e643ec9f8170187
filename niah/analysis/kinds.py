"""Split runs by what their cases ask: an accuracy over several kinds of questions would mean nothing.

A run of one kind stays as it is, and nothing is said of kinds. Of a run with several, each part has the kind in its
model's name, and is tabulated, drawn, checked and compared by itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from niah.analysis.load import RunData
from niah.types import KINDS, SINGLE


def split_kinds(runs: Sequence[RunData]) -> list[RunData]:
    """Return each run, or a part of it for each kind of question where it asks several."""
    return [part for run in runs for part in _parts(run)]


def group_kinds(runs: Sequence[RunData]) -> list[list[RunData]]:
    """Group the parts of runs by kind: only those of one kind can be set side by side."""
    groups = ([run for run in runs if run.kind == kind] for kind in KINDS)
    return [group for group in groups if group]


def _parts(run: RunData) -> list[RunData]:
    """Return the parts of one run."""
    kinds = [kind for kind in KINDS if any(case.kind == kind for case in run.cases)]
    if kinds in ([], [SINGLE]) or len(kinds) == 1 and run.kind == kinds[0]:
        return [run]
    return [_part(run, kind) for kind in kinds]


def _part(run: RunData, kind: str) -> RunData:
    """Return the cases of one kind and their records."""
    cases = tuple(case for case in run.cases if case.kind == kind)
    names = {case.id for case in cases}
    return dataclasses.replace(
        run,
        model=f"{run.model} ({kind})",
        kind=kind,
        layout=dataclasses.replace(run.layout, kind=kind),
        cases=cases,
        records={name: record for name, record in run.records.items() if name in names},
    )

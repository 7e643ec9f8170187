"""Split runs by what their cases ask: an accuracy over several kinds of questions would mean nothing.

A run of one kind stays as it is, and nothing is said of kinds. Of a run with several, each part has the kind in its
model's name, and is tabulated, drawn, checked and compared by itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from niah.analysis.load import RunData
from niah.types import KINDS, SINGLE, UserError


def split_kinds(runs: Sequence[RunData]) -> list[RunData]:
    """Return each run, or a part of it for each kind of question where it asks several."""
    return [part for run in runs for part in _parts(run)]


def only_kind(runs: Sequence[RunData], kind: str) -> list[RunData]:
    """Return the part of each run that asks one kind of question. Raises UserError for a run that does not ask it."""
    for run in runs:
        asked = [known for known in KINDS if any(case.kind == known for case in run.cases)]
        if kind not in asked:
            raise UserError(
                f"{run.folder} asks no question of kind {kind}, but {', '.join(asked)}: name one of these with --kind, "
                "or leave the run out"
            )
    return [part for part in split_kinds(runs) if all(case.kind == kind for case in part.cases)]


def group_kinds(runs: Sequence[RunData]) -> list[list[RunData]]:
    """Group the parts of runs by kind: only those of one kind can be set side by side."""
    groups = ([run for run in runs if run.kind == kind] for kind in KINDS)
    return [group for group in groups if group]


def base_model(run: RunData) -> str:
    """Return the name of a run's model without the kind that a part of a run has in it."""
    return run.model.removesuffix(f" ({run.kind})")


def _parts(run: RunData) -> list[RunData]:
    """Return the parts of one run."""
    asked = {case.kind for case in run.cases}
    kinds = [kind for kind in KINDS if kind in asked]
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

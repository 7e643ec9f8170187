"""Runs that ask the same cases in several settings, as points to draw: accuracy, Hit@k, and which setting it was.

What a model was set to is read from its records, which say it as its replies told it; a model that tells nothing is
known by the arguments it was given.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from niah.analysis.layout import ALL, Layout
from niah.analysis.load import RunData, join_shards, read_run
from niah.analysis.table import Row, table_rows
from niah.types import Case, Record, UserError


@dataclass(frozen=True)
class ModelSettings:
    """What one run's model was set to; None where its records do not tell."""

    compressor: str | None
    keyframes: int | None  # K, or how many frames it shows whole
    temperature: float | None  # alpha
    threshold: float | None  # tau


@dataclass(frozen=True)
class StudyPoint:
    """One run, one question type, one length ("all" among both): accuracy of `full`, and how often it kept the needle.

    Intervals are 95 % over the videos needles were cut from, Wilson's where each is asked once. `tokens` is the mean
    number the language model read.
    """

    model: str
    suite: str
    compressor: str | None
    keyframes: int | None
    temperature: float | None
    threshold: float | None
    type: str
    length: str
    n: int
    failed: int
    accuracy: float | None
    low: float | None
    high: float | None
    chance: float | None
    kept: int
    hits: int
    hit_share: float | None
    hit_chance: float | None
    tokens: float | None


def study_points(folders: Sequence[Path], same_cases: bool = True) -> list[StudyPoint]:
    """Return the points of some runs, shards put together, by run, type and length.

    Raises UserError where a run cannot be read or has no `full` case, or, with `same_cases`, where two were not asked
    the same.
    """
    runs = [read_run(folder) for folder in folders]
    for run in runs:
        if not _full(run):
            raise UserError(f"{run.folder} was asked no full case, and these studies are of full cases: leave it out")
    if same_cases:
        _refuse_others(runs)
    return [point for run in join_shards(runs) for point in _points(run)]


def setting(run: RunData) -> ModelSettings:
    """Return what a run's model was set to. Raises UserError where its records disagree."""
    answers = _answers(run, _full(run))
    told = {json.dumps(dict(record.settings), sort_keys=True) for record in answers}
    if len(told) > 1:
        raise UserError(f"the records of {run.folder} tell of {len(told)} settings; run it again with --fresh")
    said: dict[str, Any] = json.loads(told.pop()) if told else {}
    counts = [len(record.frames_kept) for record in answers if record.frames_kept]
    return ModelSettings(
        said.get("compressor"),
        said.get("keyframes", said.get("frames", max(counts, default=None))),
        said.get("temperature", said.get("behaviour.temperature")),
        said.get("threshold"),
    )


def _points(run: RunData) -> list[StudyPoint]:
    """Return the points of one run."""
    about = dataclasses.asdict(setting(run))
    return [
        _point(run, row, about)
        for row in table_rows([run])
        if row.condition == "full" and row.depth == ALL and row.length_by != "bin" and row.n + row.failed
    ]


def _point(run: RunData, row: Row, about: dict[str, Any]) -> StudyPoint:
    """Return one row of the table as a point."""
    cases = [case for case in _full(run) if _counts(row, run.layout, case)]
    once = len({case.needle_source for case in cases}) == len(cases)
    low, high = (row.low, row.high) if once or row.cluster_low is None else (row.cluster_low, row.cluster_high)
    tokens = [record.language_tokens for record in _answers(run, cases) if record.language_tokens]
    return StudyPoint(
        run.model, run.suite, **about, type=row.type, length=row.length, n=row.n, failed=row.failed,
        accuracy=row.accuracy, low=low, high=high, chance=row.chance, kept=row.kept, hits=row.hits,
        hit_share=row.hit_share, hit_chance=row.hit_chance, tokens=statistics.fmean(tokens) if tokens else None,
    )  # fmt: skip


def _counts(row: Row, layout: Layout, case: Case) -> bool:
    """Tell whether a `full` case counts for a row of all depths."""
    return row.type in (ALL, case.type) and (
        row.length == ALL or layout.length_label(case, row.length_by) == row.length
    )


def _full(run: RunData) -> list[Case]:
    return [case for case in run.cases if case.condition == "full"]


def _answers(run: RunData, cases: Sequence[Case]) -> list[Record]:
    """Return the records of some cases that hold an answer."""
    known = [run.records[case.id] for case in cases if case.id in run.records]
    return [record for record in known if record.status == "ok"]


def _refuse_others(runs: Sequence[RunData]) -> None:
    """Refuse runs whose `full` cases differ: their numbers would not compare."""
    asked = [set(_full(run)) for run in runs]
    for run, cases in zip(runs, asked, strict=True):
        if run.suite != runs[0].suite or cases != asked[0]:
            raise UserError(
                f"{run.folder} was asked {len(cases)} full cases of suite {run.suite}, {runs[0].folder} "
                f"{len(asked[0])} of suite {runs[0].suite}, {len(cases & asked[0])} of them the same: "
                "only runs of the same cases compare"
            )

"""Read runs of the same cases with different model settings, as points to draw: accuracy, Hit@k and the settings.

A model's settings are read from its records, where its replies reported them; a model that reports none is known by
the arguments it was given.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from niah.analysis.kinds import only_kind
from niah.analysis.layout import ALL, Layout
from niah.analysis.load import RunData, join_shards, read_run
from niah.analysis.table import Row, table_rows
from niah.types import SINGLE, Case, Record, UserError


@dataclass(frozen=True)
class ModelSettings:
    """The settings of one run's model; None where its records do not report them."""

    compressor: str | None
    keyframes: int | None  # K, or the number of frames kept whole
    temperature: float | None  # alpha
    threshold: float | None  # tau


@dataclass(frozen=True)
class StudyPoint:
    """Accuracy of the `full` cases of one run, question type and length, and how often the needle was kept.

    Type and length may be "all". Intervals are 95 %, clustered by needle source, or Wilson's where each source is asked
    about once. `tokens` is the mean number of tokens the language model read.
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


def study_points(folders: Sequence[Path], same_cases: bool = True, kind: str = SINGLE) -> list[StudyPoint]:
    """Return the points of some runs, with shards joined, by run, type and length.

    Of runs that ask several kinds of questions, one is taken. Raises UserError where a run cannot be read, does not ask
    that kind or has no `full` case, or, with `same_cases`, where two runs were asked different cases.
    """
    runs = only_kind([read_run(folder) for folder in folders], kind)
    for run in runs:
        if not _full(run):
            raise UserError(f"{run.folder} was asked no full case, and these studies are of full cases: leave it out")
    if same_cases:
        _refuse_different_cases(runs)
    return [point for run in join_shards(runs) for point in _points(run)]


def model_settings(run: RunData) -> ModelSettings:
    """Return the settings of a run's model. Raises UserError where its records disagree."""
    answers = _answers(run, _full(run))
    reported = {json.dumps(dict(record.settings), sort_keys=True) for record in answers}
    if len(reported) > 1:
        raise UserError(
            f"the records of {run.folder} report {len(reported)} different settings; run it again with --fresh"
        )
    settings: dict[str, Any] = json.loads(reported.pop()) if reported else {}
    counts = [len(record.frames_kept) for record in answers if record.frames_kept]
    return ModelSettings(
        settings.get("compressor"),
        settings.get("keyframes", settings.get("frames", max(counts, default=None))),
        settings.get("temperature", settings.get("behaviour.temperature")),
        settings.get("threshold"),
    )


def _points(run: RunData) -> list[StudyPoint]:
    """Return the points of one run."""
    settings = dataclasses.asdict(model_settings(run))
    return [
        _point(run, row, settings)
        for row in table_rows([run])
        if row.condition == "full" and row.depth == ALL and row.length_by != "bin" and row.n + row.failed
    ]


def _point(run: RunData, row: Row, settings: dict[str, Any]) -> StudyPoint:
    """Return one row of the results table as a point."""
    cases = [case for case in _full(run) if _counts(row, run.layout, case)]
    once_each = len({case.needle_source for case in cases}) == len(cases)
    low, high = (row.low, row.high) if once_each or row.cluster_low is None else (row.cluster_low, row.cluster_high)
    tokens = [record.language_tokens for record in _answers(run, cases) if record.language_tokens]
    return StudyPoint(
        run.model, run.suite, **settings, type=row.type, length=row.length, n=row.n, failed=row.failed,
        accuracy=row.accuracy, low=low, high=high, chance=row.chance, kept=row.kept, hits=row.hits,
        hit_share=row.hit_share, hit_chance=row.hit_chance, tokens=statistics.fmean(tokens) if tokens else None,
    )  # fmt: skip


def _counts(row: Row, layout: Layout, case: Case) -> bool:
    """Return True if a `full` case counts in a row over all depths."""
    return row.type in (ALL, case.type) and (
        row.length == ALL or layout.length_label(case, row.length_by) == row.length
    )


def _full(run: RunData) -> list[Case]:
    return [case for case in run.cases if case.condition == "full"]


def _answers(run: RunData, cases: Sequence[Case]) -> list[Record]:
    """Return the records of some cases that have an answer."""
    known = [run.records[case.id] for case in cases if case.id in run.records]
    return [record for record in known if record.status == "ok"]


def _refuse_different_cases(runs: Sequence[RunData]) -> None:
    """Raise UserError for runs whose `full` cases differ: their numbers could not be compared."""
    asked = [set(_full(run)) for run in runs]
    for run, cases in zip(runs, asked, strict=True):
        if run.suite != runs[0].suite or cases != asked[0]:
            raise UserError(
                f"{run.folder} was asked {len(cases)} full cases of suite {run.suite}, {runs[0].folder} "
                f"{len(asked[0])} of suite {runs[0].suite}, {len(cases & asked[0])} of them the same: "
                "only runs of the same cases can be compared"
            )

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

from niah.table import Row, Run, join, read_run, rows
from niah.table.groups import ALL
from niah.types import Record, UserError


@dataclass(frozen=True)
class Setting:
    """What one run's model was set to; None where its records do not tell."""

    compressor: str | None
    keyframes: int | None  # K, or how many frames it shows whole
    temperature: float | None  # alpha
    threshold: float | None  # tau


@dataclass(frozen=True)
class Point:
    """One run, one question type, one length ("all" among both): accuracy of `full`, and how often it kept the needle.

    Intervals are 95 % over the videos needles were cut from, Wilson's where each is asked once. `tokens` is the mean
    number the language model read.
    """

    model: str
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


def points(folders: Sequence[Path], same_cases: bool = True) -> list[Point]:
    """Return the points of some runs, by run, type and length.

    Raises UserError where a run cannot be read, or, with `same_cases`, where two were not asked the same.
    """
    runs = [read_run(folder) for folder in folders]
    if same_cases:
        _refuse_others(runs)
        runs = join(runs)  # of the same cases none is a shard: two of one model get names of their own
    return [point for run in runs for point in _points(run)]


def setting(run: Run) -> Setting:
    """Return what a run's model was set to. Raises UserError where its records disagree."""
    told = {json.dumps(dict(record.settings), sort_keys=True) for record in _answered(run)}
    if len(told) > 1:
        raise UserError(f"the records of {run.folder} tell of {len(told)} settings; run it again with --fresh")
    said: dict[str, Any] = json.loads(told.pop()) if told else {}
    counts = [len(record.frames_kept) for record in _answered(run) if record.frames_kept]
    return Setting(
        said.get("compressor"),
        said.get("keyframes", said.get("frames", max(counts, default=None))),
        said.get("temperature", said.get("behaviour.temperature")),
        said.get("threshold"),
    )


def _points(run: Run) -> list[Point]:
    """Return the points of one run."""
    about = dataclasses.asdict(setting(run))
    lengths = {case.id: str(case.length) for case in run.cases}
    found = []
    for row in rows([run]):
        if row.condition != "full" or row.depth != ALL or row.length_by == "bin" or not row.n + row.failed:
            continue
        types = {case.id for case in run.cases if row.type in (ALL, case.type)}
        own = [record for record in _answered(run) if record.case in types]
        counts = [r.language_tokens for r in own if row.length in (ALL, lengths[r.case]) and r.language_tokens]
        found.append(_point(run, row, about, statistics.fmean(counts) if counts else None))
    return found


def _point(run: Run, row: Row, about: dict[str, Any], tokens: float | None) -> Point:
    """Return one row of the table as a point."""
    own = [case for case in run.cases if case.condition == "full" and row.type in (ALL, case.type)]
    once = len({case.needle_source for case in own}) == len(own)
    low, high = (row.low, row.high) if once or row.cluster_low is None else (row.cluster_low, row.cluster_high)
    return Point(
        run.model, **about, type=row.type, length=row.length, n=row.n, failed=row.failed, accuracy=row.accuracy,
        low=low, high=high, chance=row.chance, kept=row.kept, hits=row.hits, hit_share=row.hit_share,
        hit_chance=row.hit_chance, tokens=tokens,
    )  # fmt: skip


def _answered(run: Run) -> list[Record]:
    """Return the records of `full` cases that hold an answer."""
    full = [run.records[case.id] for case in run.cases if case.condition == "full" and case.id in run.records]
    return [record for record in full if record.status == "ok"]


def _refuse_others(runs: Sequence[Run]) -> None:
    """Refuse runs whose `full` cases differ: their numbers would not compare."""
    asked = [{case for case in run.cases if case.condition == "full"} for run in runs]
    for run, cases in zip(runs, asked, strict=True):
        if run.suite != runs[0].suite or cases != asked[0]:
            raise UserError(
                f"{run.folder} was asked {len(cases)} full cases of suite {run.suite}, {runs[0].folder} "
                f"{len(asked[0])} of suite {runs[0].suite}, {len(cases & asked[0])} of them the same: "
                "only runs of the same cases compare"
            )

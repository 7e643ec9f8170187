"""Compute the data of the page: every score and interval comes from here, none is computed in the browser.

Several runs of one suite ask the same cases, so each distinct case is written once, and runs refer to it by its index
in the list.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import seaborn
from matplotlib.colors import to_hex

from niah.analysis.checks.runs import check_runs
from niah.analysis.layout import format_length
from niah.analysis.load import RunData
from niah.analysis.scored import ScoredCase
from niah.analysis.shown import HEAD, shown_rows
from niah.analysis.stats.regression import MIN_HAYSTACKS
from niah.analysis.table import Row, table_rows
from niah.clock import format_clock
from niah.figures.plotting import text_colour
from niah.option_scores import chance
from niah.report.charts import chart_specs
from niah.report.pictures import FramePictures, strip
from niah.types import CONDITIONS, LETTERS, Case

STEPS = 100  # of the colour scale: one for each percent


def page_data(runs: Sequence[RunData], pictures: FramePictures) -> dict[str, Any]:
    """Return everything the page shows; `runs` are as `niah.analysis.load.join_shards` returns them."""
    indices: dict[tuple[str, Case], int] = {}
    for run in runs:
        for case in run.cases:
            indices.setdefault((run.suite, case), len(indices))
    rows_by_model = {run.model: table_rows([run]) for run in runs}
    colours = line_colours(runs)
    return {
        "letters": LETTERS,
        "conditions": [name for name in CONDITIONS if any(case.condition == name for _, case in indices)],
        "shown_columns": HEAD,
        "types": sorted({case.type for _, case in indices}),
        "palette": palette(),
        "checks": [{"level": failed.level, "text": failed.text} for failed in check_runs(runs)],
        "runs": [_run(run, rows_by_model[run.model], indices, colours[run.model]) for run in runs],
        "cases": [_case(suite, case) for suite, case in indices],
        "pictures": _pictures(pictures),
        "notes": [*_interval_notes(runs), *pictures.notes],
        "charts": chart_specs(runs, rows_by_model, colours),
    }


def _interval_notes(runs: Sequence[RunData]) -> list[str]:
    """Return notes on what intervals clustered by needle source do not generalise to."""
    notes = []
    for run in runs:
        count = len({case.haystack for case in run.cases if case.haystack})
        if 0 < count < MIN_HAYSTACKS:
            notes.append(
                f"Suite {run.suite} has {count} haystack{'s' * (count > 1)}, fewer than {MIN_HAYSTACKS}: intervals "
                "clustered by needle source generalise to other needles in these haystacks, not to other haystacks."
            )
    return list(dict.fromkeys(notes))


def palette() -> list[tuple[str, str]]:
    """Return (background, text colour) of each percent of accuracy, as in the figures."""
    shades = [matplotlib.colormaps["viridis"](step / STEPS) for step in range(STEPS + 1)]
    return [(to_hex(shade), to_hex(text_colour(shade))) for shade in shades]


def line_colours(runs: Sequence[RunData]) -> dict[str, str]:
    """Return the colour of each model's lines, as in the figures."""
    colours = seaborn.color_palette("colorblind", len(runs)).as_hex()
    return {run.model: colour for run, colour in zip(runs, colours, strict=True)}


def _run(run: RunData, rows: Sequence[Row], indices: Mapping[tuple[str, Case], int], colour: str) -> dict[str, Any]:
    """Return one run: its axes, its cells, and the outcome of each of its cases."""
    columns = run.layout.length_labels()
    chances = [chance(case) for case in run.cases]
    return {
        "model": run.model,
        "suite": run.suite,
        "colour": colour,
        "asked": len(run.records),
        "chance": sum(chances) / len(chances) if chances else None,
        "lengths": {by: [[label, format_length(label)] for label in labels] for by, labels in columns.items()},
        "kind": run.kind,
        "row": run.layout.row,
        "depths": list(run.layout.depth_labels()),
        "cells": [_cell(row) for row in rows],
        "shown": [list(row) for row in shown_rows(run)],
        "answers": [
            {
                "case": indices[run.suite, case],
                "length": {by: run.layout.length_label(case, by) for by in columns},
                "depth": run.layout.depth_label(case),
                **_answer(scored),
            }
            for case, scored in zip(run.cases, run.scored, strict=True)
        ],
    }


def _cell(row: Row) -> dict[str, Any]:
    """Return one row of the results table without its empty fields."""
    fields = dataclasses.asdict(row)
    del fields["model"], fields["suite"]
    return {key: _rounded(value) for key, value in fields.items() if value is not None}


def _answer(scored: ScoredCase) -> dict[str, Any]:
    """Return the outcome of one case."""
    case, record = scored.case, scored.record
    if record is None:
        return {"status": scored.status}
    fields = {
        "status": record.status,
        "right": scored.correct if record.status == "ok" else None,
        "letter": scored.letter,
        "unanswered": scored.unanswered or None,
        "overlap": round(scored.overlap, 3) if case.asks_interval else None,
        "reply": record.reply,
        "scores": record.option_scores and [round(score, 5) for score in record.option_scores],
        "likelihoods": record.option_likelihoods and [dataclasses.asdict(one) for one in record.option_likelihoods],
        "scored_by": scored.scored_by if scored.scored_by != record.mode else None,
        "mode": record.mode,
        "kept": list(record.frames_kept),
        "used": record.frames_used,
        "needle_kept": case.needle_frames(record.frames_kept),
        "needle_used": record.needle_frames_used,
        "tokens": record.language_tokens,
        "frame_size": record.frame_size,
        "frame_times": record.frame_times,
        "finish_reason": record.finish_reason,
        "detail": record.detail or None,
        "first": _seconds(record.measured.get("seconds_to_first_token")),
        "reused": record.measured.get("reused_frames"),
    }
    return {key: value for key, value in fields.items() if value is not None}


def _case(suite: str, case: Case) -> dict[str, Any]:
    """Return one case with its right answer, which the page shows."""
    return {
        "id": case.id,
        "suite": suite,
        "kind": case.kind,
        "condition": case.condition,
        "needle": case.needle,
        "type": case.type,
        "haystack": case.haystack,
        "length": case.length,
        "depth": case.depth,
        "needles": [[placed.needle, placed.start, placed.stop] for placed in case.needles],
        "spans": [[span.source, span.start, span.stop] for span in case.timeline],
        "fps": case.fps,
        "question": case.question,
        "options": list(case.options),
        "answer": case.answer,
        "shown": " to ".join(format_clock(second, 1) for second in case.shown_seconds) if case.asks_interval else None,
        "repeats": case.repeats,
        "strip": list(strip(case)),
    }


def _pictures(pictures: FramePictures) -> dict[str, dict[str, dict[int, str]]]:
    """Return pictures by suite, source and frame number."""
    nested: dict[str, dict[str, dict[int, str]]] = {}
    for (suite, source, number), encoded in pictures.encoded.items():
        nested.setdefault(suite, {}).setdefault(source, {})[number] = encoded
    return nested


def _rounded(value: Any) -> Any:
    """Round a float to more digits than the page shows; return any other value as it is."""
    return round(value, 5) if isinstance(value, float) else value


def _seconds(measured: float | None) -> float | None:
    """Return a time rounded, or None where none was measured."""
    return None if measured is None else round(measured, 5)

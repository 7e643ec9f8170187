"""Compute the data of the page: every score and interval comes from here, none is computed in the browser.

Several runs of one suite ask the same cases, so each distinct case is one row: the case, then the answer of every run.
Rows are packed in two parts, as a page with all of many cases would open slowly: what lists and filters need, and the
details, some rows at a time, which the page unpacks when one of them is opened.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import matplotlib
import msgspec
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
from niah.report.pictures import strip
from niah.types import CONDITIONS, LETTERS, Case

STEPS = 100  # of the colour scale: one for each percent
PACK = 500  # rows whose details are unpacked together: fewer take more room, more open later
Rows = Mapping[tuple[str, Case], Sequence[ScoredCase | None]]  # by suite and case; of every run


def page_data(runs: Sequence[RunData]) -> dict[str, Any]:
    """Return everything the page shows but pictures; `runs` are as `niah.analysis.load.join_shards` returns them."""
    rows = _rows(runs)
    rows_by_model = {run.model: table_rows([run]) for run in runs}
    colours = line_colours(runs)
    details = _joined(rows, runs, _case_details, _answer_details)
    return {
        "letters": LETTERS,
        "conditions": [name for name in CONDITIONS if any(case.condition == name for _, case in rows)],
        "shown_columns": HEAD,
        "types": sorted({case.type for _, case in rows}),
        "palette": palette(),
        "checks": [{"level": failed.level, "text": failed.text} for failed in check_runs(runs)],
        "runs": [_run(run, rows_by_model[run.model], colours[run.model]) for run in runs],
        "rows": _packed(_joined(rows, runs, _case_summary, _answer_summary)),
        "details": [_packed(islice(details, PACK)) for _ in range(0, len(rows), PACK)],
        "pack": PACK,
        "notes": _interval_notes(runs),
        "charts": chart_specs(runs, rows_by_model, colours),
    }


def _rows(runs: Sequence[RunData]) -> Rows:
    """Return each distinct case of some runs once, and how every run answered it; None where it was not to."""
    rows: dict[tuple[str, Case], list[ScoredCase | None]] = {}
    for number, run in enumerate(runs):
        for scored in run.scored:
            rows.setdefault((run.suite, scored.case), [None] * len(runs))[number] = scored
    return rows


def _joined(
    rows: Rows,
    runs: Sequence[RunData],
    of_case: Callable[[str, Case], Any],
    of_answer: Callable[[RunData, ScoredCase], Any],
) -> Iterator[list[Any]]:
    """Yield a part of each row: of the case, and of the answer of every run or None."""
    for (suite, case), answers in rows.items():
        pairs = zip(runs, answers, strict=True)
        yield [of_case(suite, case), *(None if scored is None else of_answer(run, scored) for run, scored in pairs)]


def _packed(rows: Iterable[Any]) -> str:
    """Return rows as JSON, deflated, in base64."""
    rows = list(rows)
    try:
        text = msgspec.json.encode(rows)
    except UnicodeEncodeError:  # a lone surrogate, which UTF-8 cannot encode
        text = json.dumps(rows, separators=(",", ":"), allow_nan=False).encode()
    return base64.b64encode(zlib.compress(text)).decode()


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


def _run(run: RunData, rows: Sequence[Row], colour: str) -> dict[str, Any]:
    """Return one run: its axes and its cells."""
    chances = [chance(case) for case in run.cases]
    return {
        "model": run.model,
        "suite": run.suite,
        "colour": colour,
        "asked": len(run.records),
        "cases": len(run.cases),
        "chance": sum(chances) / len(chances) if chances else None,
        "lengths": {
            by: [[label, format_length(label)] for label in labels] for by, labels in run.layout.length_labels().items()
        },
        "kind": run.kind,
        "row": run.layout.row,
        "depths": list(run.layout.depth_labels()),
        "cells": [_cell(row) for row in rows],
        "shown": [list(row) for row in shown_rows(run)],
    }


def _cell(row: Row) -> dict[str, Any]:
    """Return one row of the results table without its empty fields."""
    fields = dataclasses.asdict(row)
    del fields["model"], fields["suite"]
    return {key: _rounded(value) for key, value in fields.items() if value is not None}


def _case_summary(suite: str, case: Case) -> dict[str, Any]:
    """Return what lists and filters need of a case, and what finds the controls beside it."""
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
        "copies": len(case.needles),
        "question": case.question,
    }


def _answer_summary(run: RunData, scored: ScoredCase) -> dict[str, Any]:
    """Return in which cell an answer counts, and whether it is right."""
    layout, case = run.layout, scored.case
    return {
        "length": {by: layout.length_label(case, by) for by in layout.length_labels()},
        "depth": layout.depth_label(case),
        "status": scored.status,
        **_known(
            right=scored.correct if scored.answered else None,
            letter=scored.letter,
            unanswered=scored.unanswered or None,
        ),
    }


def _case_details(suite: str, case: Case) -> dict[str, Any]:
    """Return what else is shown of a case that is opened, its right answer included."""
    return {
        "needles": [[placed.needle, placed.start, placed.stop] for placed in case.needles],
        "spans": [[span.source, span.start, span.stop] for span in case.timeline],
        "options": case.options,
        "answer": case.answer,
        "shown": " to ".join(format_clock(second, 1) for second in case.shown_seconds) if case.asks_interval else None,
        "strip": strip(case),
    }


def _answer_details(run: RunData, scored: ScoredCase) -> dict[str, Any]:
    """Return what else is shown of an answer."""
    case, record = scored.case, scored.record
    if record is None:
        return {}
    return _known(
        overlap=round(scored.overlap, 3) if case.asks_interval else None,
        reply=record.reply,
        scores=record.option_scores and [round(score, 5) for score in record.option_scores],
        likelihoods=record.option_likelihoods and [dataclasses.asdict(one) for one in record.option_likelihoods],
        scored_by=scored.scored_by if scored.scored_by != record.mode else None,
        mode=record.mode,
        kept=record.frames_kept,
        used=record.frames_used,
        needle_kept=case.needle_frames(record.frames_kept),
        needle_used=record.needle_frames_used,
        tokens=record.language_tokens,
        frame_size=record.frame_size,
        frame_times=record.frame_times,
        finish_reason=record.finish_reason,
        detail=record.detail or None,
        first=_seconds(record.measured.get("seconds_to_first_token")),
        reused=record.measured.get("reused_frames"),
    )


def _known(**fields: Any) -> dict[str, Any]:
    """Return the fields that are not None."""
    return {key: value for key, value in fields.items() if value is not None}


def _rounded(value: Any) -> Any:
    """Round a float to more digits than the page shows; return any other value as it is."""
    return round(value, 5) if isinstance(value, float) else value


def _seconds(measured: float | None) -> float | None:
    """Return a time rounded, or None where none was measured."""
    return None if measured is None else round(measured, 5)

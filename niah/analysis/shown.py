"""What a model was really shown at each length: frames of how many, their pixels, tokens, times, replies that were cut.

Two models that are "asked the same cases" may be shown a tenth of the frames, or frames of a tenth of the pixels. A
heatmap does not say so; this table does, from what records hold.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from niah.analysis.layout import format_length
from niah.analysis.load import RunData
from niah.analysis.paragraphs import paragraphs
from niah.analysis.table import median_frame_size
from niah.scoring import CUT_SHORT
from niah.types import Case, Record

HEAD = ("length", "frames", "pixels", "tokens a frame", "tokens", "times", "cut short")
UNKNOWN = "?"


def shown_summary(runs: Sequence[RunData]) -> str:
    """Return a paragraph for each run whose records say how frames were shown."""
    return paragraphs(runs, "what the model was shown, as medians", _lines)


def _lines(run: RunData) -> list[str]:
    """Return the lines of a run, one for each length; none if no record says at which size frames were shown."""
    rows = shown_rows(run)
    if not rows:
        return []
    table = [HEAD, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in table]


def shown_rows(run: RunData) -> list[tuple[str, ...]]:
    """Return what `HEAD` names for each length; nothing if no record says at which size frames were shown."""
    by = run.layout.grouping
    answered = [
        (case, run.records[case.id])
        for case in run.cases_of("full")
        if case.id in run.records and run.records[case.id].status == "ok"
    ]
    if not any(record.frame_size for _, record in answered):
        return []
    rows: list[tuple[str, ...]] = []
    for label in run.layout.length_labels()[by]:
        asked = [(case, record) for case, record in answered if run.layout.length_label(case, by) == label]
        if asked:
            rows.append((format_length(label), *_cells(asked)))
    return rows


def _cells(asked: Sequence[tuple[Case, Record]]) -> tuple[str, ...]:
    """Return what the answers at one length were made from, in the order of `HEAD` without the length."""
    records = [record for _, record in asked]
    size = median_frame_size(records)
    times = {record.frame_times for record in records if record.frame_times is not None}
    cut = sum(record.finish_reason == CUT_SHORT for record in records)
    return (
        f"{_median(record.frames_used for record in records)} of {_median(case.length for case, _ in asked)}",
        UNKNOWN if size is None else f"{size[0]}x{size[1]}",
        _median(record.settings.get("tokens_per_frame") for record in records),
        _median(record.language_tokens for record in records),
        " and ".join("yes" if given else "no" for given in sorted(times, reverse=True)) or UNKNOWN,
        f"{cut} of {len(records)}",
    )


def _median(values: Iterable[object]) -> str:
    """Return the median of the numbers among some values; "?" without any."""
    numbers = [value for value in values if isinstance(value, int | float)]
    return f"{statistics.median_low(numbers):,}" if numbers else UNKNOWN

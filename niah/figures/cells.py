"""The numbers a heatmap shows: one panel per model, with the accuracy, n and status of every cell."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from niah.analysis.layout import ALL, DEPTH_BIN_LABELS, LENGTH_BIN_LABELS, Layout
from niah.analysis.load import RunData
from niah.analysis.table import Row, table_rows
from niah.figures.gate import Shares, readable_part
from niah.figures.published import published_heatmaps
from niah.option_scores import chance
from niah.suite.design import PAPER_LENGTHS

PAPER = "paper"


@dataclass(frozen=True)
class HeatmapCell:
    """One cell; `status` is ok, partial (some cases have no answer), oom, failed, missing (not asked), or unread.

    Cells are unread where the model reads none of the question types on clips alone (`niah.figures.gate`).
    """

    model: str
    suite: str
    condition: str
    length: str
    depth: str
    status: str
    accuracy: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    correct: int | None = None
    oom: int = 0
    error: int = 0
    timeout: int = 0
    missing: int = 0


@dataclass(frozen=True)
class HeatmapPanel:
    """One model's heatmap; `chance` is None for published numbers, which do not report it.

    `note` says which question types it leaves out, and why.
    """

    model: str
    suite: str
    lengths: tuple[str, ...]
    depths: tuple[str, ...]
    cells: tuple[HeatmapCell, ...]
    chance: float | None
    note: str = ""
    margins: tuple[HeatmapCell, ...] = ()  # over all depths, over all lengths, and over both
    row: str = "depth"  # what the rows are: depth, distance or copies
    frame_sizes: tuple[tuple[int, int] | None, ...] = ()  # by length, (height, width) in pixels; None: not reported


def left_out(runs: Sequence[RunData], style: str, condition: str) -> list[str]:
    """Return the names of the runs that have no panel."""
    shown = [run for run in _on_axes(runs, style) if _has_panel(run, _grouping(run, style), condition)]
    return [run.model for run in runs if run.model not in {one.model for one in shown}]


def heatmap_panels(
    runs: Sequence[RunData], style: str, condition: str, read: Mapping[str, Shares] | None = None
) -> list[HeatmapPanel]:
    """Return a panel for each run that has cases of the condition within the range of the axes.

    With `read`, the clips that each model reads alone, a panel shows only the types of question that pass the gate.
    """
    made = (_gated_panel(run, _grouping(run, style), condition, read) for run in _on_axes(runs, style))
    return [panel for panel in made if panel is not None]


def _on_axes(runs: Sequence[RunData], style: str) -> Sequence[RunData]:
    """Return the runs that a style can show, laid out as it shows them."""
    if style != PAPER:
        return runs
    return [
        dataclasses.replace(run, layout=Layout("paper", PAPER_LENGTHS)) for run in runs if run.layout.row == "depth"
    ]


def _grouping(run: RunData, style: str) -> str:
    """Return how a style groups lengths."""
    return "bin" if style == PAPER else run.layout.grouping


def _has_panel(run: RunData, by: str, condition: str) -> bool:
    """Return True if a run has a case of the condition within the range of the axes."""
    asked = (case for case in run.cases if case.condition == condition)
    return any(run.layout.length_label(case, by) in run.layout.length_labels()[by] for case in asked)


def _gated_panel(run: RunData, by: str, condition: str, read: Mapping[str, Shares] | None) -> HeatmapPanel | None:
    """Return one run's panel of the types that its model reads; one of unread cells where there is none."""
    panel = _panel(run, by, condition)
    if panel is None or read is None:
        return panel
    part, note = readable_part(run, read)
    if any(case.condition == condition for case in part.cases):
        readable = _panel(part, by, condition)
        return None if readable is None else dataclasses.replace(readable, note=note)
    return empty_panel(panel, panel.model, "unread", note)


def empty_panel(pattern: HeatmapPanel, model: str, status: str, note: str) -> HeatmapPanel:
    """Return the panel of a model that reads no type of question, or was not asked, with the cells of another panel."""
    cells = (
        HeatmapCell(model, cell.suite, cell.condition, cell.length, cell.depth, status, None) for cell in pattern.cells
    )
    return dataclasses.replace(pattern, model=model, cells=tuple(cells), note=note, margins=())


def published_panels() -> list[HeatmapPanel]:
    """Return the panels of Figure 2 of ViLaMP's paper."""
    found = []
    for model, depths in published_heatmaps().items():
        cells = [
            HeatmapCell(model, "ViLaMP's Figure 2", "full", length, depth, "ok", accuracy)
            for depth, line in zip(DEPTH_BIN_LABELS, depths, strict=True)
            for length, accuracy in zip(LENGTH_BIN_LABELS, line, strict=True)
        ]
        found.append(HeatmapPanel(model, "ViLaMP's Figure 2", LENGTH_BIN_LABELS, DEPTH_BIN_LABELS, tuple(cells), None))
    return found


def _panel(run: RunData, by: str, condition: str) -> HeatmapPanel | None:
    """Return one run's panel, or None where it has no case to show."""
    if not _has_panel(run, by, condition):
        return None
    rows = table_rows([run], condition, ALL)
    own = [row for row in rows if row.length_by == by]
    cells = tuple(_cell(row) for row in own if row.depth != ALL)
    margins = [row for row in rows if row.length_by == ALL or (row.length_by == by and row.depth == ALL)]
    sizes = {
        row.length: (row.frame_height, row.frame_width)
        for row in own
        if row.depth == ALL and row.frame_height is not None and row.frame_width is not None
    }
    lengths = run.layout.length_labels()[by]
    asked = [case for case in run.cases if case.condition == condition]
    floor = sum(chance(case) for case in asked) / len(asked)
    return HeatmapPanel(
        model=run.model,
        suite=run.suite,
        lengths=lengths,
        depths=run.layout.depth_labels(),
        cells=cells,
        chance=floor,
        margins=tuple(map(_cell, margins)),
        row=run.layout.row,
        frame_sizes=tuple(map(sizes.get, lengths)),
    )


def _cell(row: Row) -> HeatmapCell:
    """Return one row of the results table as a cell."""
    if row.n:
        status = "partial" if row.failed else "ok"
    elif row.oom:
        status = "oom"
    else:
        status = "failed" if row.error + row.timeout else "missing"
    return HeatmapCell(
        row.model, row.suite, row.condition, row.length, row.depth, status,
        row.accuracy, row.low, row.high, row.n, row.correct, row.oom, row.error, row.timeout, row.missing,
    )  # fmt: skip

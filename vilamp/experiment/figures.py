"""Accuracy against tokens, and heatmaps by scheme."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from niah.figures.cells import Cell, Panel
from niah.figures.draw import LOOKS
from niah.figures.heatmap import default_heatmap
from niah.stats import wilson
from vilamp.experiment.config import Experiment
from vilamp.experiment.contrasts import CHANCE
from vilamp.experiment.records import Answer

if TYPE_CHECKING:
    from vilamp.experiment.analyse import Row

MARKS = "osD^vP*Xh<>dp"


def draw_accuracy(experiment: Experiment, rows: Sequence[Row], folder: Path) -> None:
    """Draw accuracy against tokens at the longest trained length, and beside it every length beyond, labelled so."""
    trained = max(experiment.course.lengths)
    beyond = sorted({length for part in experiment.asked for length in part.lengths if length > trained})
    chosen = [row for row in rows if row.condition == "full" and row.type == "all"]
    lengths = [length for length in (trained, *beyond) if any(row.length == str(length) for row in chosen)]
    if not lengths:
        return
    with matplotlib.rc_context(LOOKS):
        figure = Figure(figsize=(5.2 * len(lengths), 4.4), layout="constrained")
        drawn: list[Row] = []
        for axes, length in zip(figure.subplots(1, len(lengths), squeeze=False)[0], lengths, strict=True):
            own = [row for row in chosen if row.length == str(length)]
            _curves(axes, experiment, own)
            told = "the longest trained" if length == trained else "EXTRAPOLATION: no scheme was trained here"
            axes.set_title(f"{length} frames ({told})", fontsize=10)
            drawn += own
        if any(row.seed == "all" for row in drawn):  # else no training passed its gate
            figure.axes[0].legend(frameon=False, fontsize=8)
        figure.supxlabel(
            "line: mean of the trainings that passed needle_only, bar: 95 % over seeds, haystacks and needles; "
            "small dots: single seeds", fontsize=7.5, color="#444444",
        )  # fmt: skip
        _save(figure, folder / "accuracy", [dataclasses.asdict(row) for row in drawn])


def _curves(axes: Axes, experiment: Experiment, rows: Sequence[Row]) -> None:
    """Draw a curve for each scheme; schemes stand beside one another at a budget, so that bars can be told apart."""
    schemes = [s for s in (*experiment.schemes, *experiment.further) if any(row.scheme == s for row in rows)]
    for number, scheme in enumerate(schemes):
        shift = 1.0 + 0.025 * (number - (len(schemes) - 1) / 2)
        own = sorted((row for row in rows if row.scheme == scheme), key=lambda row: row.budget)
        mean = [row for row in own if row.seed == "all"]
        colour, mark = f"C{number}", MARKS[number % len(MARKS)]
        if mean:
            xs, ys = [row.budget * shift for row in mean], [row.accuracy for row in mean]
            bars = [[row.accuracy - row.low for row in mean], [row.high - row.accuracy for row in mean]]
            axes.errorbar(xs, ys, bars, color=colour, marker=mark, markersize=6, capsize=2, label=scheme, linewidth=1.3)
        single = [row for row in own if row.seed != "all"]
        places = [row.budget * shift for row in single], [row.accuracy for row in single]
        axes.plot(*places, ".", color=colour, markersize=4, alpha=0.6)
    axes.axhline(CHANCE, color="#888888", linewidth=0.8, linestyle=":")
    right = axes.get_yaxis_transform()  # across the axes, at the height of an accuracy
    axes.text(0.99, CHANCE + 0.008, "chance", ha="right", fontsize=7.5, color="#666666", transform=right)
    budgets = sorted({row.budget for row in rows})
    axes.set_xscale("log")
    axes.set_xticks(budgets, [f"{budget:g}" for budget in budgets])
    axes.minorticks_off()
    axes.set(xlabel="visual tokens a frame", ylabel="accuracy", ylim=(0, 1.0))
    axes.yaxis.set_major_formatter(PercentFormatter(1))


def draw_heatmaps(experiment: Experiment, answers: Sequence[Answer], folder: Path) -> None:
    """Draw accuracy over length and depth of each scheme at the primary budget, over the seeds that trained."""
    budget = experiment.budgets[0].tokens
    own = [one for one in answers if one.budget == budget and one.condition == "full" and one.depth is not None]
    lengths = tuple(str(length) for length in sorted({one.length for one in own}))
    depths = tuple(f"{depth:g}" for depth in sorted({one.depth for one in own if one.depth is not None}))
    schemes = [s for s in (*experiment.schemes, *experiment.further) if any(one.scheme == s for one in own)]
    if not schemes:
        return
    panels = []
    for scheme in schemes:
        seeds = len({one.seed for one in own if one.scheme == scheme})
        name = f"{scheme}, {budget:g} tokens a frame, {seeds} seed{'s' if seeds > 1 else ''}"
        some = [one for one in own if one.scheme == scheme]
        cells = tuple(_cell(name, experiment, some, length, depth) for length in lengths for depth in depths)
        panels.append(Panel(name, experiment.name, lengths, depths, cells, CHANCE))
    with matplotlib.rc_context(LOOKS):
        cells = [dataclasses.asdict(cell) for panel in panels for cell in panel.cells]
        _save(default_heatmap(panels, "full"), folder / "heatmap", cells)


def _cell(name: str, experiment: Experiment, answers: Sequence[Answer], length: str, depth: str) -> Cell:
    """Return one cell: answers of all seeds, whose interval takes them for independent."""
    right = [one.right for one in answers if str(one.length) == length and f"{one.depth:g}" == depth]
    if not right:
        return Cell(name, experiment.name, "full", length, depth, "missing", None)
    low, high = wilson(sum(right), len(right))
    share = sum(right) / len(right)
    return Cell(name, experiment.name, "full", length, depth, "ok", share, low, high, len(right), sum(right))


def _save(figure: Figure, stem: Path, rows: Sequence[dict]) -> None:
    """Write a figure and its numbers, with nothing in it that changes from day to day."""
    figure.savefig(stem.with_suffix(".png"), dpi=160, facecolor="white", metadata={"Software": None})
    figure.savefig(stem.with_suffix(".svg"), facecolor="white", metadata={"Date": None})
    pd.DataFrame(rows).to_csv(stem.with_suffix(".csv"), index=False, float_format="%.4f", lineterminator="\n")

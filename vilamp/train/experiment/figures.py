"""Draw the figures of the experiment: accuracy over tokens, length and wording, and a heatmap for each compressor.

The committed figures call compressors "schemes"; their text stays as it is, so that they redraw byte for byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from niah.analysis.stats.proportions import wilson_interval
from niah.figures.cells import HeatmapCell, HeatmapPanel
from niah.figures.heatmap import default_heatmap
from niah.figures.plotting import RC_PARAMS, add_footnote, draw_interval_line, interval_arms, save_figure
from niah.suite.footage.wording import WORDINGS
from vilamp.train.experiment.config import Experiment
from vilamp.train.experiment.contrasts import CHANCE
from vilamp.train.experiment.records import FLOAT_FORMAT, Answer, to_mappings

if TYPE_CHECKING:
    from vilamp.train.experiment.analyse import TableRow

MARKERS = "osD^vP*Xh<>dp"
CLIP_ALONE = "clip alone"
LOWER_ROW = "lower row: further schemes, one seed, in no contrast"
PANEL_TITLES = {"all": "all questions", "motion": "questions on motion", "digit": "questions on digits"}


def draw_accuracy(experiment: Experiment, rows: Sequence[TableRow], folder: Path) -> None:
    """Draw accuracy over tokens at the longest trained length, and beside it at every longer length.

    Further compressors have one budget, and so no curve: they get a panel of their own, at the longest trained length.
    """
    trained = experiment.course.longest
    beyond = sorted({length for part in experiment.asked for length in part.lengths if length > trained})
    overall = [row for row in rows if row.condition == "full" and row.type == "all"]
    compared = [row for row in overall if row.compressor in experiment.schemes]
    at = str(trained), "all"
    further = [row for row in overall if row.compressor in experiment.further and (row.length, row.seed) == at]
    lengths = [length for length in (trained, *beyond) if any(row.length == str(length) for row in compared)]
    if not lengths:
        return
    with matplotlib.rc_context(RC_PARAMS):
        count = len(lengths) + bool(further)
        figure = Figure(figsize=(4.6 * count, 4.4), layout="constrained")
        panels = list(figure.subplots(1, count, squeeze=False)[0])
        drawn: list[TableRow] = []
        for axes, length in zip(panels, lengths, strict=False):
            of_length = [row for row in compared if row.length == str(length)]
            _draw_curves(axes, experiment, of_length)
            note = "the longest trained" if length == trained else "EXTRAPOLATION: nobody was trained here"
            axes.set_title(f"{length:,} frames\n{note}", fontsize=10)
            drawn += of_length
        if further:
            drawn += _draw_points(panels[-1], experiment, further)
            panels[-1].set_title(f"{trained:,} frames\nfurther schemes, one seed, in no contrast", fontsize=10)
        _add_legend(panels[len(lengths) - 1])
        _explain(figure, "small dots: single seeds")
        save_figure(figure, folder / "accuracy", to_mappings(drawn), FLOAT_FORMAT)


def draw_questions(experiment: Experiment, rows: Sequence[TableRow], folder: Path) -> None:
    """Draw accuracy over how questions name their target, at the primary budget and the longest trained length."""
    budget = experiment.primary.budget
    length = str(experiment.course.longest)
    at = "full", length, budget, "all"
    shown = [row for row in rows if (row.condition, row.length, row.budget, row.seed) == at]
    groups = _groups(experiment, shown)
    if not groups:
        return
    base_types = experiment.course.base_types
    with matplotlib.rc_context(RC_PARAMS):
        figure = Figure(figsize=(9.6, 3.8 * len(groups) + 0.4), layout="constrained")
        panels = figure.subplots(len(groups), len(base_types), sharey=True, squeeze=False)
        drawn: list[TableRow] = []
        for panel_row, compressors in zip(panels, groups, strict=True):
            for axes, base in zip(panel_row, base_types, strict=True):
                places = {f"{base}-{wording}": place for place, wording in enumerate(WORDINGS)}
                of_base = [row for row in shown if row.type in places]
                drawn += _draw_lines(axes, of_base, compressors, [places[row.type] for row in of_base])
                axes.set_xticks(range(len(WORDINGS)), WORDINGS)
                axes.set(title=f"{base}: {budget:g} tokens a frame, {length} frames", xlabel="how the target is told")
            _add_legend(panel_row[-1])
        _explain(figure, LOWER_ROW if len(groups) > 1 else "")
        save_figure(figure, folder / "questions", to_mappings(drawn), FLOAT_FORMAT)


def draw_lengths(experiment: Experiment, rows: Sequence[TableRow], folder: Path) -> None:
    """Draw accuracy over haystack length, from the clip alone to the longest trained, at the primary budget."""
    budget = experiment.primary.budget
    ticks = [CLIP_ALONE, *map(str, sorted({stage.length for stage in experiment.course.rungs} - {0}))]
    shown = [row for row in rows if (row.budget, row.seed) == (budget, "all")]
    groups = _groups(experiment, shown)
    if not groups:
        return
    types = ("all", *experiment.course.base_types)
    with matplotlib.rc_context(RC_PARAMS):
        figure = Figure(figsize=(12.6, 3.8 * len(groups) + 0.4), layout="constrained")
        panels = figure.subplots(len(groups), len(types), sharey=True, squeeze=False)
        drawn: list[TableRow] = []
        for panel_row, compressors in zip(panels, groups, strict=True):
            for axes, kind in zip(panel_row, types, strict=True):
                of_type = [row for row in shown if row.type == kind and _length_label(row) in ticks]
                places = [ticks.index(_length_label(row)) for row in of_type]
                drawn += _draw_lines(axes, of_type, compressors, places)
                axes.set_xticks(range(len(ticks)), ticks)
                title = PANEL_TITLES.get(kind, f"questions on {kind}")
                axes.set(title=f"{title}: {budget:g} tokens a frame", xlabel="frames of the haystack")
            _add_legend(panel_row[-1])
        more = f"; {LOWER_ROW}" if len(groups) > 1 else ""
        _explain(figure, f"every scheme was trained at every length shown{more}")
        save_figure(figure, folder / "lengths", to_mappings(drawn), FLOAT_FORMAT)


def _length_label(row: TableRow) -> str:
    """Return the tick of a row's length; empty for conditions that are not drawn over length."""
    return {"needle_only": CLIP_ALONE, "full": row.length}.get(row.condition, "")


def _present(experiment: Experiment, found: Sequence[TableRow] | Sequence[Answer]) -> list[str]:
    """Return the compressors that something was found of, in the order of the config."""
    names = {one.compressor for one in found}
    return [name for name in (*experiment.schemes, *experiment.further) if name in names]


def _groups(experiment: Experiment, found: Sequence[TableRow]) -> list[list[str]]:
    """Return the compressors found, one list for each row of panels: those of the contrasts, then the further ones."""
    present = _present(experiment, found)
    groups = [[one for one in present if one in names] for names in (experiment.schemes, experiment.further)]
    return [group for group in groups if group]


def _explain(figure: Figure, more: str) -> None:
    """Write below a figure what lines and bars are, wrapped to its width."""
    parts = ("line: mean of the trainings that passed needle_only", "bar: 95 % over seeds, haystacks and needles", more)
    text = "; ".join(part for part in parts if part)
    add_footnote(figure, text, letters_per_inch=14, fontsize=7.5, color="#444444")


def _add_legend(axes: Axes) -> None:
    """Name the compressors beside a plot; there are none where no training passed its gate."""
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=8)


def _draw_lines(
    axes: Axes, rows: Sequence[TableRow], compressors: Sequence[str], places: Sequence[int]
) -> list[TableRow]:
    """Draw a line for each compressor over ticks, slightly beside one another; return the rows in the order drawn.

    `places` holds the tick of each row.
    """
    drawn: list[TableRow] = []
    for number, compressor in enumerate(compressors):
        points = sorted(
            ((place, row) for place, row in zip(places, rows, strict=True) if row.compressor == compressor),
            key=lambda point: point[0],
        )
        shift = 0.05 * (number - (len(compressors) - 1) / 2)
        line = [row for _, row in points]
        _draw_line(axes, [place + shift for place, _ in points], line, number, compressor)
        drawn += line
    _set_accuracy_axis(axes)
    return drawn


def _draw_line(axes: Axes, xs: Sequence[float], rows: Sequence[TableRow], number: int, compressor: str) -> None:
    """Draw one compressor's line with its intervals."""
    ys = [row.accuracy for row in rows]
    arms = interval_arms(ys, [row.low for row in rows], [row.high for row in rows])
    marker = MARKERS[number % len(MARKERS)]
    draw_interval_line(axes, xs, ys, arms, colour=f"C{number}", label=compressor, marker=marker, markersize=6)


def _set_accuracy_axis(axes: Axes) -> None:
    """Scale an axis from 0 to 1, and mark where chance is."""
    axes.axhline(CHANCE, color="#888888", linewidth=0.8, linestyle=":")
    right = axes.get_yaxis_transform()  # across the axes, at the height of an accuracy
    axes.text(0.01, CHANCE - 0.035, "chance", fontsize=7.5, color="#666666", transform=right)
    axes.set(ylabel="accuracy", ylim=(0, 1.02))
    axes.yaxis.set_major_formatter(PercentFormatter(1))


def _draw_curves(axes: Axes, experiment: Experiment, rows: Sequence[TableRow]) -> None:
    """Draw a curve over budgets for each compressor, slightly beside one another so that bars can be told apart."""
    compressors = _present(experiment, rows)
    budgets = sorted({row.budget for row in rows})
    width = budgets[-1] / budgets[0] * 1.7
    for number, compressor in enumerate(compressors):
        shift = width ** (0.015 * (number - (len(compressors) - 1) / 2))
        of_compressor = sorted((row for row in rows if row.compressor == compressor), key=lambda row: row.budget)
        mean = [row for row in of_compressor if row.seed == "all"]
        if mean:
            _draw_line(axes, [row.budget * shift for row in mean], mean, number, compressor)
        single = [row for row in of_compressor if row.seed != "all"]
        xs = [row.budget * shift for row in single]
        axes.plot(xs, [row.accuracy for row in single], ".", color=f"C{number}", markersize=4, alpha=0.6)
    axes.set_xscale("log")
    axes.set_xlim(budgets[0] / width**0.08, budgets[-1] * width**0.08)
    seeds = {budget: len({row.seed for row in rows if row.budget == budget} - {"all"}) for budget in budgets}
    axes.set_xticks(budgets, [f"{budget:g}\n{seeds[budget]}" for budget in budgets])
    axes.minorticks_off()
    axes.set_xlabel("visual tokens a frame; below: seeds trained")
    _set_accuracy_axis(axes)


def _draw_points(axes: Axes, experiment: Experiment, rows: Sequence[TableRow]) -> list[TableRow]:
    """Draw a point for each compressor that has one budget alone; return their rows in the order drawn."""
    by_compressor = {row.compressor: row for row in rows}
    compressors = _present(experiment, rows)
    for number, compressor in enumerate(compressors):
        _draw_line(axes, [number], [by_compressor[compressor]], number, compressor)
    axes.set_xticks(range(len(compressors)), compressors, rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_xlabel(f"{experiment.primary.budget:g} visual tokens a frame")
    _set_accuracy_axis(axes)
    return [by_compressor[compressor] for compressor in compressors]


def draw_heatmaps(experiment: Experiment, answers: Sequence[Answer], folder: Path) -> None:
    """Draw accuracy over length and depth for each compressor at the primary budget, over the seeds that trained."""
    budget = experiment.primary.budget
    shown = [one for one in answers if one.budget == budget and one.condition == "full" and one.depth is not None]
    lengths = tuple(str(length) for length in sorted({one.length for one in shown}))
    depths = tuple(f"{depth:g}" for depth in sorted({one.depth for one in shown if one.depth is not None}))
    compressors = _present(experiment, shown)
    if not compressors:
        return
    suite = f"{experiment.name} (extrapolation beyond {experiment.course.longest} frames)"
    panels = []
    for compressor in compressors:
        of_compressor = [one for one in shown if one.compressor == compressor]
        seeds = len({one.seed for one in of_compressor})
        name = f"{compressor}, {budget:g} tokens a frame, {seeds} seed{'s' if seeds > 1 else ''}"
        cells = tuple(_cell(name, experiment, of_compressor, length, depth) for length in lengths for depth in depths)
        panels.append(HeatmapPanel(name, suite, lengths, depths, cells, CHANCE))
    with matplotlib.rc_context(RC_PARAMS):
        cells = [cell for panel in panels for cell in panel.cells]
        save_figure(default_heatmap(panels, "full"), folder / "heatmap", cells, FLOAT_FORMAT)


def _cell(name: str, experiment: Experiment, answers: Sequence[Answer], length: str, depth: str) -> HeatmapCell:
    """Return one cell over the answers of all seeds; its interval treats them as independent."""
    right = [one.right for one in answers if str(one.length) == length and f"{one.depth:g}" == depth]
    if not right:
        return HeatmapCell(name, experiment.name, "full", length, depth, "missing", None)
    low, high = wilson_interval(sum(right), len(right))
    share = sum(right) / len(right)
    return HeatmapCell(name, experiment.name, "full", length, depth, "ok", share, low, high, len(right), sum(right))

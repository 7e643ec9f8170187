"""Accuracy against tokens, over length and by phrasing of the question, and heatmaps by scheme."""

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
from niah.figures.plotting import RC_PARAMS, add_footnote, save_figure
from niah.suite.footage.wording import WORDINGS
from vilamp.train.experiment.config import Experiment
from vilamp.train.experiment.contrasts import CHANCE
from vilamp.train.experiment.records import Answer

if TYPE_CHECKING:
    from vilamp.train.experiment.analyse import TableRow

MARKS = "osD^vP*Xh<>dp"
CSV_FLOATS = "%.4f"
FURTHER = "lower row: further schemes, one seed, in no contrast"


def draw_accuracy(experiment: Experiment, rows: Sequence[TableRow], folder: Path) -> None:
    """Draw accuracy against tokens at the longest trained length, and beside it every length beyond, labelled so.

    Further schemes have one budget, and so no curve: they stand in a panel of their own, at the longest trained length.
    """
    trained = experiment.course.longest
    beyond = sorted({length for part in experiment.asked for length in part.lengths if length > trained})
    whole = [row for row in rows if row.condition == "full" and row.type == "all"]
    chosen = [row for row in whole if row.scheme in experiment.schemes]
    at = str(trained), "all"
    more = [row for row in whole if row.scheme in experiment.further and (row.length, row.seed) == at]
    lengths = [length for length in (trained, *beyond) if any(row.length == str(length) for row in chosen)]
    if not lengths:
        return
    with matplotlib.rc_context(RC_PARAMS):
        count = len(lengths) + bool(more)
        figure = Figure(figsize=(4.6 * count, 4.4), layout="constrained")
        places = list(figure.subplots(1, count, squeeze=False)[0])
        drawn: list[TableRow] = []
        for axes, length in zip(places, lengths, strict=False):
            own = [row for row in chosen if row.length == str(length)]
            _curves(axes, experiment, own)
            told = "the longest trained" if length == trained else "EXTRAPOLATION: nobody was trained here"
            axes.set_title(f"{length:,} frames\n{told}", fontsize=10)
            drawn += own
        if more:
            drawn += _points(places[-1], experiment, more)
            places[-1].set_title(f"{trained:,} frames\nfurther schemes, one seed, in no contrast", fontsize=10)
        _legend(places[len(lengths) - 1])
        _explain(figure, "small dots: single seeds")
        save_figure(figure, folder / "accuracy", drawn, CSV_FLOATS)


def draw_questions(experiment: Experiment, rows: Sequence[TableRow], folder: Path) -> None:
    """Draw accuracy over how much the question tells, at the primary budget and the longest trained length."""
    budget, length = experiment.budgets[0].tokens, str(experiment.course.longest)
    own = [
        row for row in rows
        if (row.condition, row.length, row.budget, row.seed) == ("full", length, budget, "all")
    ]  # fmt: skip
    lines = _lines(experiment, own)
    if not lines:
        return
    with matplotlib.rc_context(RC_PARAMS):
        figure = Figure(figsize=(9.6, 3.8 * len(lines) + 0.4), layout="constrained")
        drawn: list[TableRow] = []
        for plots, schemes in zip(figure.subplots(len(lines), 2, sharey=True, squeeze=False), lines, strict=True):
            for axes, base in zip(plots, ("motion", "digit"), strict=True):
                for number, scheme in enumerate(schemes):
                    found = {row.type: row for row in own if row.scheme == scheme}
                    chosen = [found[f"{base}-{told}"] for told in WORDINGS if f"{base}-{told}" in found]
                    xs = [WORDINGS.index(row.type.split("-")[1]) + _beside(number, schemes) for row in chosen]
                    _bars(axes, xs, chosen, number, scheme)
                    drawn += chosen
                axes.set_xticks(range(len(WORDINGS)), WORDINGS)
                _accuracies(axes)
                axes.set(title=f"{base}: {budget:g} tokens a frame, {length} frames", xlabel="how the target is told")
            _legend(plots[-1])
        _explain(figure, FURTHER if len(lines) > 1 else "")
        save_figure(figure, folder / "questions", drawn, CSV_FLOATS)


def draw_lengths(experiment: Experiment, rows: Sequence[TableRow], folder: Path) -> None:
    """Draw accuracy over the haystack's length, from the clip alone to the longest trained, at the primary budget."""
    budget = experiment.budgets[0].tokens
    ticks = ["clip alone", *map(str, sorted({rung.length for rung in experiment.course.rungs} - {0}))]
    own = [row for row in rows if (row.budget, row.seed) == (budget, "all")]
    lines = _lines(experiment, own)
    if not lines:
        return
    told = {"all": "all questions", "motion": "questions on motion", "digit": "questions on digits"}
    with matplotlib.rc_context(RC_PARAMS):
        figure = Figure(figsize=(12.6, 3.8 * len(lines) + 0.4), layout="constrained")
        drawn: list[TableRow] = []
        for plots, schemes in zip(figure.subplots(len(lines), 3, sharey=True, squeeze=False), lines, strict=True):
            for axes, kind in zip(plots, told, strict=True):
                for number, scheme in enumerate(schemes):
                    found = {
                        ticks[0] if row.condition == "needle_only" else row.length: row
                        for row in own
                        if row.scheme == scheme and row.type == kind and row.condition in ("needle_only", "full")
                    }
                    at = [place for place, tick in enumerate(ticks) if tick in found]
                    chosen = [found[ticks[place]] for place in at]
                    _bars(axes, [place + _beside(number, schemes) for place in at], chosen, number, scheme)
                    drawn += chosen
                axes.set_xticks(range(len(ticks)), ticks)
                _accuracies(axes)
                axes.set(title=f"{told[kind]}: {budget:g} tokens a frame", xlabel="frames of the haystack")
            _legend(plots[-1])
        more = f"; {FURTHER}" if len(lines) > 1 else ""
        _explain(figure, f"every scheme was trained at every length shown{more}")
        save_figure(figure, folder / "lengths", drawn, CSV_FLOATS)


def _present(experiment: Experiment, found: Sequence[TableRow] | Sequence[Answer]) -> list[str]:
    """Return the schemes that something was found of, in the order of the config."""
    there = {one.scheme for one in found}
    return [scheme for scheme in (*experiment.schemes, *experiment.further) if scheme in there]


def _lines(experiment: Experiment, found: Sequence[TableRow]) -> list[list[str]]:
    """Return the schemes of the contrasts, then the further ones, as far as they are there: one line of plots each."""
    there = _present(experiment, found)
    lines = [[one for one in there if one in named] for named in (experiment.schemes, experiment.further)]
    return [line for line in lines if line]


def _beside(number: int, schemes: Sequence[str]) -> float:
    """Return how far beside its place a scheme stands, so that bars can be told apart."""
    return 0.05 * (number - (len(schemes) - 1) / 2)


def _explain(figure: Figure, more: str) -> None:
    """Say below a figure what lines and bars are, in lines as short as it is wide."""
    parts = ("line: mean of the trainings that passed needle_only", "bar: 95 % over seeds, haystacks and needles", more)
    text = "; ".join(part for part in parts if part)
    add_footnote(figure, text, letters_per_inch=14, fontsize=7.5, color="#444444")


def _legend(axes: Axes) -> None:
    """Name the schemes beside a plot; there are none where no training passed its gate."""
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=8)


def _bars(axes: Axes, xs: Sequence[float], rows: Sequence[TableRow], number: int, scheme: str) -> None:
    """Draw one scheme's line with its intervals."""
    ys = [row.accuracy for row in rows]
    bars = [[row.accuracy - row.low for row in rows], [row.high - row.accuracy for row in rows]]
    mark = MARKS[number % len(MARKS)]
    axes.errorbar(xs, ys, bars, color=f"C{number}", marker=mark, markersize=6, capsize=2, label=scheme, linewidth=1.3)


def _accuracies(axes: Axes) -> None:
    """Scale an axis from 0 to 1, and say where chance is."""
    axes.axhline(CHANCE, color="#888888", linewidth=0.8, linestyle=":")
    right = axes.get_yaxis_transform()  # across the axes, at the height of an accuracy
    axes.text(0.01, CHANCE - 0.035, "chance", fontsize=7.5, color="#666666", transform=right)
    axes.set(ylabel="accuracy", ylim=(0, 1.02))
    axes.yaxis.set_major_formatter(PercentFormatter(1))


def _curves(axes: Axes, experiment: Experiment, rows: Sequence[TableRow]) -> None:
    """Draw a curve for each scheme; schemes stand beside one another at a budget, so that bars can be told apart."""
    schemes, budgets = _present(experiment, rows), sorted({row.budget for row in rows})
    wide = budgets[-1] / budgets[0] * 1.7
    for number, scheme in enumerate(schemes):
        shift = wide ** (0.015 * (number - (len(schemes) - 1) / 2))
        own = sorted((row for row in rows if row.scheme == scheme), key=lambda row: row.budget)
        mean = [row for row in own if row.seed == "all"]
        if mean:
            _bars(axes, [row.budget * shift for row in mean], mean, number, scheme)
        single = [row for row in own if row.seed != "all"]
        places = [row.budget * shift for row in single], [row.accuracy for row in single]
        axes.plot(*places, ".", color=f"C{number}", markersize=4, alpha=0.6)
    axes.set_xscale("log")
    axes.set_xlim(budgets[0] / wide**0.08, budgets[-1] * wide**0.08)
    seeds = {budget: len({row.seed for row in rows if row.budget == budget} - {"all"}) for budget in budgets}
    axes.set_xticks(budgets, [f"{budget:g}\n{seeds[budget]}" for budget in budgets])
    axes.minorticks_off()
    axes.set_xlabel("visual tokens a frame; below: seeds trained")
    _accuracies(axes)


def _points(axes: Axes, experiment: Experiment, rows: Sequence[TableRow]) -> list[TableRow]:
    """Draw a point for each scheme that has one budget alone; return their rows in the order drawn."""
    found = {row.scheme: row for row in rows}
    schemes = _present(experiment, rows)
    for number, scheme in enumerate(schemes):
        _bars(axes, [number], [found[scheme]], number, scheme)
    axes.set_xticks(range(len(schemes)), schemes, rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_xlabel(f"{experiment.budgets[0].tokens:g} visual tokens a frame")
    _accuracies(axes)
    return [found[scheme] for scheme in schemes]


def draw_heatmaps(experiment: Experiment, answers: Sequence[Answer], folder: Path) -> None:
    """Draw accuracy over length and depth of each scheme at the primary budget, over the seeds that trained."""
    budget = experiment.budgets[0].tokens
    own = [one for one in answers if one.budget == budget and one.condition == "full" and one.depth is not None]
    lengths = tuple(str(length) for length in sorted({one.length for one in own}))
    depths = tuple(f"{depth:g}" for depth in sorted({one.depth for one in own if one.depth is not None}))
    schemes = _present(experiment, own)
    if not schemes:
        return
    panels, suite = [], f"{experiment.name} (extrapolation beyond {experiment.course.longest} frames)"
    for scheme in schemes:
        seeds = len({one.seed for one in own if one.scheme == scheme})
        name = f"{scheme}, {budget:g} tokens a frame, {seeds} seed{'s' if seeds > 1 else ''}"
        some = [one for one in own if one.scheme == scheme]
        cells = tuple(_cell(name, experiment, some, length, depth) for length in lengths for depth in depths)
        panels.append(HeatmapPanel(name, suite, lengths, depths, cells, CHANCE))
    with matplotlib.rc_context(RC_PARAMS):
        cells = [cell for panel in panels for cell in panel.cells]
        save_figure(default_heatmap(panels, "full"), folder / "heatmap", cells, CSV_FLOATS)


def _cell(name: str, experiment: Experiment, answers: Sequence[Answer], length: str, depth: str) -> HeatmapCell:
    """Return one cell: answers of all seeds, whose interval takes them for independent."""
    right = [one.right for one in answers if str(one.length) == length and f"{one.depth:g}" == depth]
    if not right:
        return HeatmapCell(name, experiment.name, "full", length, depth, "missing", None)
    low, high = wilson_interval(sum(right), len(right))
    share = sum(right) / len(right)
    return HeatmapCell(name, experiment.name, "full", length, depth, "ok", share, low, high, len(right), sum(right))

"""Draw accuracy over what it cost: the language model's tokens, and seconds, of each run.

Of models, or of one model with several settings (`niah run --sweep`): which buys most with a token, or with a second.
Only `full` cases that have an answer count. Tokens and seconds are medians of a case; seconds are from file to answer,
so they are those of one machine, and of runs that reuse no features.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, PercentFormatter

from niah.analysis.kinds import split_kinds
from niah.analysis.load import RunData, join_shards
from niah.analysis.stats.proportions import clustered_interval, wilson_interval
from niah.analysis.table import observations, score_cases
from niah.figures.plotting import CHANCE_LINE, RC_PARAMS, draw_interval_line, interval_arms, save_figure

AXES = {"tokens": "tokens of the language model", "seconds": "seconds from file to answer"}


@dataclass(frozen=True)
class TradeOffPoint:
    """One run: its accuracy, and what a case cost; None where it was not reported."""

    label: str  # what tells the run from the others
    suite: str
    n: int
    accuracy: float
    low: float | None
    high: float | None
    chance: float
    frames: int  # shown, median
    tokens: float | None
    seconds: float | None


def draw_trade_off(runs: Sequence[RunData], folder: Path) -> list[Path]:
    """Draw the runs that have an answer into a folder; return PNG, SVG and CSV, nothing where no run has any."""
    points = trade_off_points(runs)
    drawn = [name for name in AXES if any(getattr(point, name) for point in points)]
    if not drawn:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(RC_PARAMS):
        figure = Figure(figsize=(1.4 + 4.2 * len(drawn), 4.4), layout="constrained")
        panels = figure.subplots(1, len(drawn), squeeze=False, sharey=True)[0]
        for axes, name in zip(panels, drawn, strict=True):
            _draw_panel(axes, points, name)
        panels[0].set_ylabel("accuracy, full")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", fontsize=8, frameon=False)
        return save_figure(figure, folder / "trade_off", points)


def trade_off_points(runs: Sequence[RunData]) -> list[TradeOffPoint]:
    """Return a point for each run with answers to `full` cases."""
    whole = split_kinds(join_shards(runs))
    return [point for run, label in zip(whole, _labels(whole), strict=True) if (point := _point(run, label))]


def _point(run: RunData, label: str) -> TradeOffPoint | None:
    """Return a run's point; None without an answer."""
    answered = [one for one in score_cases(run, "full") if one.answered]
    records = [one.record for one in answered if one.record is not None]
    if not answered:
        return None
    correct = sum(one.correct for one in answered)
    low, high = clustered_interval(observations(answered))
    if low is None:
        low, high = wilson_interval(correct, len(answered))
    return TradeOffPoint(
        label=label,
        suite=run.suite,
        n=len(answered),
        accuracy=correct / len(answered),
        low=low,
        high=high,
        chance=sum(one.chance for one in answered) / len(answered),
        frames=statistics.median_low([record.frames_used for record in records]),
        tokens=_median([record.language_tokens for record in records]),
        seconds=_median([record.measured.get("file_to_answer_seconds") for record in records]),
    )


def _labels(runs: Sequence[RunData]) -> list[str]:
    """Return what tells runs apart: the settings in which those of one model differ, else their names."""
    models = {run.decides["model"] for run in runs}
    settings = [run.decides["model_args"] for run in runs]
    differing = sorted(
        name
        for name in {name for one in settings for name in one}
        if len({repr(one.get(name)) for one in settings}) > 1
    )
    if len(models) > 1 or not differing:
        return [run.model for run in runs]
    return [", ".join(f"{name}={one.get(name)}" for name in differing) for one in settings]


def _draw_panel(axes: Axes, points: Sequence[TradeOffPoint], name: str) -> None:
    """Draw accuracy over one cost, on a scale of ratios."""
    for point, colour in zip(points, seaborn.color_palette("husl", len(points)).as_hex(), strict=True):
        cost = getattr(point, name)
        if cost:
            arms = interval_arms([point.accuracy], [point.low], [point.high])
            draw_interval_line(axes, [cost], [point.accuracy], arms, colour=colour, label=point.label)
    for floor in {round(point.chance, 4) for point in points}:
        axes.axhline(floor, **CHANCE_LINE)
    _set_scale(axes, [getattr(point, name) for point in points if getattr(point, name)])
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel(f"{AXES[name]} (median)")
    axes.spines[["top", "right"]].set_visible(False)


def _set_scale(axes: Axes, costs: Sequence[float]) -> None:
    """Set a scale of ratios between round numbers, 1, 2 and 5 of each power of ten, which are its ticks."""
    low, high = (math.floor(math.log10(cost)) for cost in (min(costs), max(costs)))
    rounds = [digit * 10.0**power for power in range(low - 1, high + 2) for digit in (1, 2, 5)]
    first = max(number for number in rounds if number <= min(costs))
    last = min(number for number in rounds if number >= max(costs) and number > first)
    ticks = [number for number in rounds if first <= number <= last]
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{number:,g}" for number in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    margin = (last / first) ** 0.05
    axes.set_xlim(first / margin, last * margin)


def _median(values: Sequence[float | None]) -> float | None:
    """Return the median of the numbers among some values; None without any."""
    numbers = [value for value in values if value is not None]
    return statistics.median(numbers) if numbers else None

"""Figure 6 and Tables 2, 3 and 6: accuracy over K, by compressor, Hit@k, and accuracy over alpha and tau.

The published numbers are of other benchmarks and another model: they stand in panels of their own, never on one axis
with accuracy measured here.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, PercentFormatter
from seaborn.utils import relative_luminance

from niah.analysis.layout import ALL, format_length
from niah.figures.heatmap import STARRED
from niah.figures.paper.points import StudyPoint
from niah.figures.paper.selection import line_of
from niah.figures.published import table

Cells = Mapping[tuple[float, float], tuple[float, str]]  # (accuracy, words) by (alpha, tau)
ABOVE = 1.08  # where no accuracy lies
SILENT = "x at the top: no case has an answer"
BENCHMARKS = {"longvideobench": "LongVideoBench", "mlvu": "MLVU", "video_mme": "Video-MME"}


def draw_over_keyframes(points: Sequence[StudyPoint]) -> Figure:
    """Draw accuracy over K, a panel for each length."""
    lengths = _lengths(points)
    types = list(dict.fromkeys(point.type for point in points))
    figure = Figure(figsize=(4.9 * len(lengths) + 0.4, 4.0), layout="constrained")
    for axes, length in zip(figure.subplots(1, len(lengths), squeeze=False, sharey=True)[0], lengths, strict=True):
        for number, kind in enumerate(types):
            own = [point for point in points if (point.length, point.type) == (length, kind)]
            if not own:  # no case of this type has this length
                continue
            xs = [(point.keyframes or 0) * (1 + 0.03 * (number - (len(types) - 1) / 2)) for point in own]
            _line(axes, own, xs, f"C{number}", f"{kind}, n {_counts(own)}")
        _logarithmic(axes, sorted({point.keyframes or 0 for point in points}), "keyframes K, at most")
        _accuracy(axes, points)
        axes.set_title(_frames(length), fontsize=10)
        axes.legend(fontsize=8, frameon=False, loc="lower right")
    silent = f"; {SILENT}" if any(point.accuracy is None for point in points) else ""
    _foot(figure, f"{_alike(points[0], 'K')}; bars: 95 %{silent}", points)
    return figure


def draw_over_constants(points: Sequence[StudyPoint]) -> Figure:
    """Draw a table of accuracy for each type, alpha down and tau across, and the published one beside."""
    types = list(dict.fromkeys(point.type for point in points))
    counts = {kind: _counts([point for point in points if point.type == kind]) for kind in types}
    panels = [(f"{kind}, n {counts[kind]} a cell", _grid(points, kind)) for kind in types]
    told = {}
    for row in table("table6_constants.csv"):
        place = float(row["temperature"]), float(row["threshold"])
        mean = sum(float(row[name]) for name in BENCHMARKS) / len(BENCHMARKS) / 100
        told[place] = mean, f"{mean:.1%}"
    panels.append(("published (7B), mean of " + ", ".join(BENCHMARKS.values()), told))
    figure = Figure(figsize=(3.9 * len(panels) + 0.4, 3.5), layout="constrained")
    plots = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, cells) in zip(plots, panels, strict=True):
        _cells(axes, cells, published=cells is told)
        axes.set_title(textwrap.fill(title, 40), fontsize=9)
    _foot(figure, _alike(points[0], "alpha and tau"), points)
    return figure


def draw_by_compressor(points: Sequence[StudyPoint]) -> Figure:
    """Draw accuracy of each run with its interval, and the published rows beside."""
    models, types = (list(dict.fromkeys(one)) for one in ((p.model for p in points), (p.type for p in points)))
    told = table("table2_ablations.csv")
    figure = Figure(figsize=(11.5, 1.6 + 0.42 * max(len(models), len(told))), layout="constrained")
    own, published = figure.subplots(1, 2)
    for number, kind in enumerate(types):
        rows = [point for point in points if point.type == kind and point.accuracy is not None]
        ys = [models.index(point.model) + 0.14 * (number - (len(types) - 1) / 2) for point in rows]
        bars = np.array([_bar(point) for point in rows]).T if rows else None
        xs = [point.accuracy or 0 for point in rows]
        own.errorbar(xs, ys, xerr=bars, fmt="o", color=f"C{number}", markersize=5, capsize=2, label=kind)
        _star(own, rows, xs, ys)
    own.set_yticks(range(len(models)), [_named(model, points) for model in models], fontsize=8)
    own.set(xlim=(0, 1.02), xlabel="accuracy, full", ylim=(len(models) - 0.5, -0.5))
    own.set_title(f"measured, n {_counts([p for p in points if p.type == types[0]])}", fontsize=9)
    chance = next((point.chance for point in points if point.chance is not None), None)
    if chance is not None:
        own.axvline(chance, color="#888888", linewidth=0.8, linestyle=":", label="chance")
    for number, (name, word) in enumerate(BENCHMARKS.items()):
        places = [float(row[name]) / 100 for row in told]
        published.plot(places, range(len(told)), "x", color=f"C{number + 4}", label=word)
    published.set_yticks(range(len(told)), [row["model"] for row in told], fontsize=8)
    published.set(xlabel="accuracy", ylim=(len(told) - 0.5, -0.5))
    published.set_title("published (7B): other benchmarks, each row trained", fontsize=9)
    for axes in (own, published):
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.legend(fontsize=7.5, frameon=False)
        axes.grid(axis="x", alpha=0.3, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    _foot(figure, "", points)
    return figure


def draw_hits(points: Sequence[StudyPoint]) -> Figure:
    """Draw Hit@k over k, chance for as many random frames dotted, and the published numbers dashed."""
    figure = Figure(figsize=(6.6, 4.4), layout="constrained")
    axes = figure.subplots()
    for number, own in enumerate(_lines(points)):
        ks = [point.keyframes or 0 for point in own]
        shares, random = [_share(point.hit_share) for point in own], [_share(point.hit_chance) for point in own]
        axes.plot(ks, shares, "o-", color=f"C{number}", markersize=5, linewidth=1.3, label=_titled(own[0], points))
        axes.plot(ks, random, ":", color=f"C{number}", linewidth=1.1)
        _star(axes, own, ks, shares)
    told = [(int(row["k"]), float(row["hit"]) / 100) for row in table("table3_hits.csv")]
    axes.plot(*zip(*told, strict=True), "x--", color="#777777", label="published: QVHighlights, another task")
    axes.plot([], [], ":", color="#444444", label="as many random frames")
    ks = {point.keyframes or 0 for point in points} | {k for k, _ in told}
    _logarithmic(axes, sorted(ks), "\n".join(["k frames kept, at most", *textwrap.wrap(_starred(points), 70)]))
    axes.set(ylim=(0, 1.03), ylabel="Hit@k: one of them shows the needle")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return figure


def _lines(points: Sequence[StudyPoint]) -> list[list[StudyPoint]]:
    """Return the points of each line of Table 3, by rising k."""
    lengths = _lengths(points)
    lines: dict[tuple, list[StudyPoint]] = {}
    for point in points:
        if point.length in lengths:
            lines.setdefault(line_of(point), []).append(point)
    return [sorted(own, key=lambda point: point.keyframes or 0) for own in lines.values()]


def _titled(point: StudyPoint, points: Sequence[StudyPoint]) -> str:
    """Name a line by what tells it from the others."""
    words = [point.compressor or point.model, _frames(point.length)]
    words += [f"suite {point.suite}"] if len({other.suite for other in points}) > 1 else []
    alphas = {other.temperature for other in points if other.compressor == point.compressor}
    words += [f"alpha {point.temperature:g}"] if point.temperature is not None and len(alphas) > 1 else []
    words += [f"tau {point.threshold:g}"] if point.threshold is not None else []
    return ", ".join(words)


def _grid(points: Sequence[StudyPoint], kind: str) -> Cells:
    """Return the cells of one type."""
    own = [point for point in points if point.type == kind]
    return {(point.temperature or 0, point.threshold or 0): (_share(point.accuracy), _words(point)) for point in own}


def _words(point: StudyPoint) -> str:
    return "no answer" if point.accuracy is None else f"{point.accuracy:.1%}{'*' if point.failed else ''}"


def _cells(axes: Axes, cells: Cells, published: bool) -> None:
    """Draw one table, colours from its worst cell to its best where it is published, else from 0 to 1."""
    alphas, taus = sorted({alpha for alpha, _ in cells}, reverse=True), sorted({tau for _, tau in cells})
    lines = [[cells.get((alpha, tau), (np.nan, "")) for tau in taus] for alpha in alphas]
    values = np.array([[value for value, _ in line] for line in lines])  # (alphas, taus)
    words = [[text for _, text in line] for line in lines]
    low, high = (np.nanmin(values), np.nanmax(values)) if published else (0.0, 1.0)
    colours = "Greys" if published else "viridis"
    seaborn.heatmap(
        values, ax=axes, mask=np.isnan(values), cmap=colours, vmin=low, vmax=high, cbar=False, annot=words, fmt="",
        annot_kws={"fontsize": 9}, linewidths=0.8, linecolor="white",
    )  # fmt: skip
    for value, text in zip(values[~np.isnan(values)], axes.texts, strict=True):
        shade = matplotlib.colormaps[colours]((value - low) / ((high - low) or 1))
        text.set_color("black" if relative_luminance(shade) > 0.18 else "white")
    for row, column in np.argwhere(np.isnan(values)):
        axes.text(column + 0.5, row + 0.5, words[row][column], ha="center", va="center", fontsize=8, color="#444444")
    axes.set_xticks(np.arange(len(taus)) + 0.5, [f"{tau:g}" for tau in taus], rotation=0)
    axes.set_yticks(np.arange(len(alphas)) + 0.5, [f"{alpha:g}" for alpha in alphas], rotation=0)
    axes.set(xlabel="tau: keyframes are less alike than this", ylabel="alpha: temperature of merging")


def _named(model: str, points: Sequence[StudyPoint]) -> str:
    """Name a run, and the types of which none of its cases has an answer."""
    silent = [point.type for point in points if point.model == model and point.accuracy is None]
    return textwrap.fill(model, 40) + (f"\nno answer: {', '.join(silent)}" if silent else "")


def _line(axes: Axes, points: Sequence[StudyPoint], xs: Sequence[float], colour: str, words: str) -> None:
    """Draw one type at one length; a point without an answer interrupts the line."""
    bars = np.array([_bar(point) for point in points]).T
    ys = [_share(point.accuracy) for point in points]
    axes.errorbar(xs, ys, bars, fmt="o-", color=colour, markersize=5, capsize=2, linewidth=1.3, label=words)
    _star(axes, points, xs, ys)
    if silent := [x for x, y in zip(xs, ys, strict=True) if np.isnan(y)]:
        axes.plot(silent, [ABOVE] * len(silent), "x", color=colour, markersize=7, markeredgewidth=2)


def _star(axes: Axes, points: Sequence[StudyPoint], xs: Sequence[float], ys: Sequence[float]) -> None:
    """Mark the points that are the share of some of their cases only."""
    for point, x, y in zip(points, xs, ys, strict=True):
        if point.failed and point.n:
            axes.annotate("*", (x, y), (4, 0), textcoords="offset points", fontsize=12)


def _foot(figure: Figure, told: str, points: Sequence[StudyPoint]) -> None:
    """Say what the runs share, and what a star means where there is one."""
    letters = int(figure.get_figwidth() * 17)  # that fit in a line at this size
    lines = [*textwrap.wrap(told, letters), *textwrap.wrap(_starred(points), letters)]
    if lines:
        figure.supxlabel("\n".join(lines), fontsize=8)


def _starred(points: Sequence[StudyPoint]) -> str:
    return STARRED if any(point.failed and point.n for point in points) else ""


def _share(value: float | None) -> float:
    return np.nan if value is None else value


def _bar(point: StudyPoint) -> tuple[float, float]:
    """Return how far the interval reaches below and above."""
    accuracy = point.accuracy or 0
    below = accuracy if point.low is None else point.low
    return max(0.0, accuracy - below), max(0.0, (accuracy if point.high is None else point.high) - accuracy)


def _accuracy(axes: Axes, points: Sequence[StudyPoint]) -> None:
    chance = next((point.chance for point in points if point.chance is not None), None)
    if chance is not None:
        axes.axhline(chance, color="#888888", linewidth=0.8, linestyle=":", label="chance")
    silent = any(point.accuracy is None for point in points)
    axes.set(ylim=(0, ABOVE + 0.04 if silent else 1.03), ylabel="accuracy, full")
    axes.yaxis.set_major_formatter(PercentFormatter(1))


def _logarithmic(axes: Axes, ks: Sequence[int], words: str) -> None:
    axes.set_xscale("log")
    axes.set_xticks(ks, [str(k) for k in ks], fontsize=8)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(words)
    axes.grid(alpha=0.3, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _alike(point: StudyPoint, varied: str) -> str:
    """Say what all runs of a figure share."""
    constants = {"K": point.keyframes, "alpha": point.temperature, "tau": point.threshold}
    told = ", ".join(f"{n} {v:g}" for n, v in constants.items() if v is not None and n not in varied.split(" and "))
    return f"{point.model.split(' (')[0]}, weights unchanged; {told or 'constants not told'}"


def _lengths(points: Sequence[StudyPoint]) -> list[str]:
    """Return the lengths to draw: each, or "all" where cases have one length only."""
    found = sorted({point.length for point in points} - {ALL}, key=int)
    return found or [ALL]


def _frames(length: str) -> str:
    return "all lengths" if length == ALL else f"{format_length(length)} frames"


def _counts(points: Sequence[StudyPoint]) -> str:
    counts = sorted({point.n for point in points})
    return "-".join(str(count) for count in {counts[0]: 0, counts[-1]: 0}) if counts else "0"

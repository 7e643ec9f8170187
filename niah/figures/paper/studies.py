"""Draw Figure 6 and Tables 2, 3 and 6: accuracy over K, by compressor, Hit@k, and accuracy over alpha and tau.

The published accuracies are of other benchmarks and another model, so they have panels of their own and never share an
axis with accuracy measured here.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, PercentFormatter

from niah.analysis.layout import ALL, format_length
from niah.figures.heatmap import STARRED
from niah.figures.paper.points import StudyPoint
from niah.figures.paper.selection import line_of
from niah.figures.plotting import CHANCE_LINE, add_footnote, draw_cells, draw_interval_line, interval_arms
from niah.figures.published import read_published

CellTable = Mapping[tuple[float, float], tuple[float, str]]  # (accuracy, text) by (alpha, tau)
NO_ANSWER_HEIGHT = 1.08  # on the accuracy axis, higher than any accuracy
NO_ANSWER_NOTE = "x at the top: no case has an answer"
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
            _draw_line(axes, own, xs, f"C{number}", f"{kind}, n {_counts(own)}")
        _logarithmic_k_axis(axes, sorted({point.keyframes or 0 for point in points}), "keyframes K, at most")
        _accuracy_axis(axes, points)
        axes.set_title(_length_title(length), fontsize=10)
        axes.legend(fontsize=8, frameon=False, loc="lower right")
    silent = f"; {NO_ANSWER_NOTE}" if any(point.accuracy is None for point in points) else ""
    _explain(figure, f"{_common_settings(points[0], 'K')}; bars: 95 %{silent}", points)
    return figure


def draw_over_constants(points: Sequence[StudyPoint]) -> Figure:
    """Draw a table of accuracy for each type, alpha down and tau across, and the published one beside them."""
    types = list(dict.fromkeys(point.type for point in points))
    counts = {kind: _counts([point for point in points if point.type == kind]) for kind in types}
    panels = [(f"{kind}, n {counts[kind]} a cell", _grid(points, kind)) for kind in types]
    published_cells = {}
    for row in read_published("table6_constants.csv"):
        place = float(row["temperature"]), float(row["threshold"])
        mean = sum(float(row[name]) for name in BENCHMARKS) / len(BENCHMARKS) / 100
        published_cells[place] = mean, f"{mean:.1%}"
    panels.append(("published (7B), mean of " + ", ".join(BENCHMARKS.values()), published_cells))
    figure = Figure(figsize=(3.9 * len(panels) + 0.4, 3.5), layout="constrained")
    plots = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, cells) in zip(plots, panels, strict=True):
        _draw_table(axes, cells, published=cells is published_cells)
        axes.set_title(textwrap.fill(title, 40), fontsize=9)
    _explain(figure, _common_settings(points[0], "alpha and tau"), points)
    return figure


def draw_by_compressor(points: Sequence[StudyPoint]) -> Figure:
    """Draw accuracy of each run with its interval, and the published rows beside it."""
    models = list(dict.fromkeys(point.model for point in points))
    types = list(dict.fromkeys(point.type for point in points))
    published_rows = read_published("table2_ablations.csv")
    figure = Figure(figsize=(11.5, 1.6 + 0.42 * max(len(models), len(published_rows))), layout="constrained")
    own, published = figure.subplots(1, 2)
    for number, kind in enumerate(types):
        rows = [point for point in points if point.type == kind and point.accuracy is not None]
        ys = [models.index(point.model) + 0.14 * (number - (len(types) - 1) / 2) for point in rows]
        xs = [point.accuracy or 0 for point in rows]
        own.errorbar(
            xs, ys, xerr=_arms(rows) if rows else None, fmt="o", color=f"C{number}", markersize=5, capsize=2, label=kind
        )
        _add_stars(own, rows, xs, ys)
    own.set_yticks(range(len(models)), [_run_name(model, points) for model in models], fontsize=8)
    own.set(xlim=(0, 1.02), xlabel="accuracy, full", ylim=(len(models) - 0.5, -0.5))
    own.set_title(f"measured, n {_counts([p for p in points if p.type == types[0]])}", fontsize=9)
    chance = next((point.chance for point in points if point.chance is not None), None)
    if chance is not None:
        own.axvline(chance, **CHANCE_LINE, label="chance")
    for number, (name, word) in enumerate(BENCHMARKS.items()):
        places = [float(row[name]) / 100 for row in published_rows]
        published.plot(places, range(len(published_rows)), "x", color=f"C{number + 4}", label=word)
    published.set_yticks(range(len(published_rows)), [row["model"] for row in published_rows], fontsize=8)
    published.set(xlabel="accuracy", ylim=(len(published_rows) - 0.5, -0.5))
    published.set_title("published (7B): other benchmarks, each row trained", fontsize=9)
    for axes in (own, published):
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.legend(fontsize=7.5, frameon=False)
        axes.grid(axis="x", alpha=0.3, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    _explain(figure, "", points)
    return figure


def draw_hits(points: Sequence[StudyPoint]) -> Figure:
    """Draw Hit@k over k; dotted is chance for as many random frames, dashed the published numbers."""
    figure = Figure(figsize=(6.6, 4.4), layout="constrained")
    axes = figure.subplots()
    for number, own in enumerate(_lines(points)):
        ks = [point.keyframes or 0 for point in own]
        shares = [_or_nan(point.hit_share) for point in own]
        random = [_or_nan(point.hit_chance) for point in own]
        axes.plot(ks, shares, "o-", color=f"C{number}", markersize=5, linewidth=1.3, label=_line_name(own[0], points))
        axes.plot(ks, random, ":", color=f"C{number}", linewidth=1.1)
        _add_stars(axes, own, ks, shares)
    published_hits = [(int(row["k"]), float(row["hit"]) / 100) for row in read_published("table3_hits.csv")]
    axes.plot(*zip(*published_hits, strict=True), "x--", color="#777777", label="published: QVHighlights, another task")
    axes.plot([], [], ":", color="#444444", label="as many random frames")
    ks = {point.keyframes or 0 for point in points} | {k for k, _ in published_hits}
    _logarithmic_k_axis(axes, sorted(ks), "\n".join(["k frames kept, at most", *textwrap.wrap(_star_note(points), 70)]))
    axes.set(ylim=(0, 1.03), ylabel="Hit@k: one of them shows the needle")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return figure


def _lines(points: Sequence[StudyPoint]) -> list[list[StudyPoint]]:
    """Return the points of each line of Table 3, in order of k."""
    lengths = _lengths(points)
    lines: dict[tuple, list[StudyPoint]] = {}
    for point in points:
        if point.length in lengths:
            lines.setdefault(line_of(point), []).append(point)
    return [sorted(own, key=lambda point: point.keyframes or 0) for own in lines.values()]


def _line_name(point: StudyPoint, points: Sequence[StudyPoint]) -> str:
    """Return the name of a line: what distinguishes it from the others."""
    words = [point.compressor or point.model, _length_title(point.length)]
    words += [f"suite {point.suite}"] if len({other.suite for other in points}) > 1 else []
    alphas = {other.temperature for other in points if other.compressor == point.compressor}
    words += [f"alpha {point.temperature:g}"] if point.temperature is not None and len(alphas) > 1 else []
    words += [f"tau {point.threshold:g}"] if point.threshold is not None else []
    return ", ".join(words)


def _grid(points: Sequence[StudyPoint], kind: str) -> CellTable:
    """Return the cells of one question type."""
    own = [point for point in points if point.type == kind]
    return {
        (point.temperature or 0, point.threshold or 0): (_or_nan(point.accuracy), _cell_text(point)) for point in own
    }


def _cell_text(point: StudyPoint) -> str:
    """Return what is written in a cell: its accuracy, starred where some cases failed."""
    if point.accuracy is None:
        return "no answer"
    return f"{point.accuracy:.1%}{'*' if point.failed else ''}"


def _draw_table(axes: Axes, cells: CellTable, published: bool) -> None:
    """Draw one table; colours range from 0 to 1, or from the worst cell to the best where it is published."""
    alphas = sorted({alpha for alpha, _ in cells}, reverse=True)
    taus = sorted({tau for _, tau in cells})
    lines = [[cells.get((alpha, tau), (np.nan, "")) for tau in taus] for alpha in alphas]
    values = np.array([[value for value, _ in line] for line in lines])  # (alphas, taus)
    words = [[text for _, text in line] for line in lines]
    if published:
        draw_cells(axes, values, words, "Greys", (np.nanmin(values), np.nanmax(values)), fontsize=9)
    else:
        draw_cells(axes, values, words, "viridis", (0.0, 1.0), fontsize=9)
    for row, column in np.argwhere(np.isnan(values)):
        axes.text(column + 0.5, row + 0.5, words[row][column], ha="center", va="center", fontsize=8, color="#444444")
    axes.set_xticks(np.arange(len(taus)) + 0.5, [f"{tau:g}" for tau in taus], rotation=0)
    axes.set_yticks(np.arange(len(alphas)) + 0.5, [f"{alpha:g}" for alpha in alphas], rotation=0)
    axes.set(xlabel="tau: keyframes are less alike than this", ylabel="alpha: temperature of merging")


def _run_name(model: str, points: Sequence[StudyPoint]) -> str:
    """Return the name of a run, with the question types of which no case has an answer."""
    silent = [point.type for point in points if point.model == model and point.accuracy is None]
    return textwrap.fill(model, 40) + (f"\nno answer: {', '.join(silent)}" if silent else "")


def _draw_line(axes: Axes, points: Sequence[StudyPoint], xs: Sequence[float], colour: str, label: str) -> None:
    """Draw the line of one type at one length; a point without an answer interrupts it."""
    ys = [_or_nan(point.accuracy) for point in points]
    draw_interval_line(axes, xs, ys, _arms(points), colour=colour, label=label)
    _add_stars(axes, points, xs, ys)
    if silent := [x for x, y in zip(xs, ys, strict=True) if np.isnan(y)]:
        axes.plot(silent, [NO_ANSWER_HEIGHT] * len(silent), "x", color=colour, markersize=7, markeredgewidth=2)


def _add_stars(axes: Axes, points: Sequence[StudyPoint], xs: Sequence[float], ys: Sequence[float]) -> None:
    """Put a star beside the points whose accuracy is over only some of their cases."""
    for point, x, y in zip(points, xs, ys, strict=True):
        if point.failed and point.n:
            axes.annotate("*", (x, y), (4, 0), textcoords="offset points", fontsize=12)


def _explain(figure: Figure, common: str, points: Sequence[StudyPoint]) -> None:
    """Write below a figure what its runs have in common, and what a star means if there is one."""
    add_footnote(figure, common, _star_note(points), fontsize=8)


def _star_note(points: Sequence[StudyPoint]) -> str:
    return STARRED if any(point.failed and point.n for point in points) else ""


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else value


def _arms(points: Sequence[StudyPoint]) -> np.ndarray:
    """Return how far each point's interval reaches below and above its accuracy, (2, points)."""
    values = [point.accuracy or 0 for point in points]
    return interval_arms(values, [point.low for point in points], [point.high for point in points])


def _accuracy_axis(axes: Axes, points: Sequence[StudyPoint]) -> None:
    """Scale the y axis to accuracies, with a line at chance and room for the marks of points without an answer."""
    chance = next((point.chance for point in points if point.chance is not None), None)
    if chance is not None:
        axes.axhline(chance, **CHANCE_LINE, label="chance")
    silent = any(point.accuracy is None for point in points)
    axes.set(ylim=(0, NO_ANSWER_HEIGHT + 0.04 if silent else 1.03), ylabel="accuracy, full")
    axes.yaxis.set_major_formatter(PercentFormatter(1))


def _logarithmic_k_axis(axes: Axes, ks: Sequence[int], words: str) -> None:
    """Make the x axis logarithmic, with a tick at each K."""
    axes.set_xscale("log")
    axes.set_xticks(ks, [str(k) for k in ks], fontsize=8)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(words)
    axes.grid(alpha=0.3, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _common_settings(point: StudyPoint, varied: str) -> str:
    """Return in words what all runs of a figure have in common."""
    constants = {"K": point.keyframes, "alpha": point.temperature, "tau": point.threshold}
    settings = ", ".join(f"{n} {v:g}" for n, v in constants.items() if v is not None and n not in varied.split(" and "))
    return f"{point.model.split(' (')[0]}, weights unchanged; {settings or 'constants not reported'}"


def _lengths(points: Sequence[StudyPoint]) -> list[str]:
    """Return the lengths to draw: each of them, or "all" where there is only one."""
    found = sorted({point.length for point in points} - {ALL}, key=int)
    return found or [ALL]


def _length_title(length: str) -> str:
    return "all lengths" if length == ALL else f"{format_length(length)} frames"


def _counts(points: Sequence[StudyPoint]) -> str:
    """Return the range of n, or the one n that all points have."""
    counts = sorted({point.n for point in points})
    return "-".join(str(count) for count in {counts[0]: 0, counts[-1]: 0}) if counts else "0"

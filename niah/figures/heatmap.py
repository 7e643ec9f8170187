"""Draw accuracy over haystack length and needle depth, depth 0 at the top.

Never a silent average: a cell in which some cases have no answer carries a star, one in
which none has is grey and says why, one that was not asked is hatched.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import matplotlib
import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter
from seaborn.utils import relative_luminance

from niah.analysis.layout import format_length
from niah.figures.cells import HeatmapCell, HeatmapPanel

GREY = "#d9d9d9"
EVEN = 0.18  # luminance on which black and white stand out alike
ACROSS = 3  # panels in a row
PAPER_ACROSS = 5  # these are flatter
STARRED = "* some cases have no answer (out of memory, error, timeout, not asked): the number is of the rest"
PUBLISHED = "published: other needles, haystacks and questions, so a distance to them says nothing about the models"
WHY = {"oom": "OOM", "failed": "failed"}


def default_heatmap(panels: Sequence[HeatmapPanel], condition: str) -> Figure:
    """Draw lengths x depths with accuracy and n in every cell, on a scale from 0 to 1 that says where chance is."""
    across = min(len(panels), ACROSS)
    down = -(-len(panels) // ACROSS)
    columns, lines = max(len(p.lengths) for p in panels), max(len(p.depths) for p in panels)
    width, height = max(4.2, 1.6 + 0.72 * columns), max(2.8, 1.5 + 0.62 * lines)
    figure = Figure(figsize=(across * width + 1.1, down * height + 0.5), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        _fill(axes, panel, "viridis", 0.0, 1.0, [_words(cell) for cell in panel.cells])
        axes.set_xticks(
            np.arange(len(panel.lengths)) + 0.5, [format_length(length) for length in panel.lengths], rotation=0
        )
        axes.set_yticks(np.arange(len(panel.depths)) + 0.5, [_depth(depth) for depth in panel.depths], rotation=0)
        axes.set_title(_title(panel.model, f"suite {panel.suite}, condition {condition}", width), fontsize=10)
        axes.set_xlabel("haystack length (frames)")
        axes.set_ylabel("needle depth")
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_visible(False)
    _scale(figure, grid, panels, extend="neither")
    _foot(figure, panels)
    return figure


def paper_heatmap(panels: Sequence[HeatmapPanel], condition: str) -> Figure:
    """Draw 16 length bins x 5 depth bins as ViLaMP's Figure 2 does: red 0.2 to green 0.7, models in rows."""
    across = min(len(panels), PAPER_ACROSS)
    down = -(-len(panels) // across)
    figure = Figure(figsize=(3.7 * across + 1.2, 2.6 * down + 0.5), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False, sharey=True)
    for number, (axes, panel) in enumerate(zip(grid.flat, panels, strict=False)):
        _fill(axes, panel, "RdYlGn", 0.2, 0.7, ["*" if cell.status == "partial" else "" for cell in panel.cells])
        axes.set_xticks(range(0, 17, 4), ["2K", "4K", "6K", "8K", "10K"], rotation=0)
        axes.set_yticks(np.arange(5) + 0.5, [_depth(depth) for depth in panel.depths], rotation=0)
        axes.tick_params(axis="y", left=number % across == 0)
        told = "read off the plot" if panel.chance is None else f"suite {panel.suite}, {condition}, {_counts(panel)}"
        axes.set_title(_title(panel.model, told, 3.7), fontsize=9)
        axes.set_xlabel("haystack length (frames)")
        axes.set_ylabel("needle depth" if number % across == 0 else "")
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_visible(False)
    _scale(figure, grid, panels, extend="both")
    _foot(figure, panels)
    return figure


def _title(model: str, told: str, width: float) -> str:
    """Return a panel's title in lines that fit its `width` in inches: a longer line would leave the axes no room."""
    columns = int(width / 0.09)  # of type of 10 points
    return "\n".join(line for text in (model, told) for line in textwrap.wrap(text, columns))


def _fill(axes: Axes, panel: HeatmapPanel, colours: str, low: float, high: float, words: Sequence[str]) -> None:
    """Colour the cells of one panel and write on them."""
    shape = (len(panel.depths), len(panel.lengths))
    values = np.full(shape, np.nan)  # (depths, lengths)
    texts = np.full(shape, "", dtype=object)
    for cell, text in zip(panel.cells, words, strict=True):
        place = panel.depths.index(cell.depth), panel.lengths.index(cell.length)
        if cell.accuracy is None:
            _mark(axes, place, cell, small=shape[1] > 10)
        else:
            values[place], texts[place] = cell.accuracy, text
    seaborn.heatmap(
        values, ax=axes, mask=np.isnan(values), cmap=colours, vmin=low, vmax=high, cbar=False, annot=texts, fmt="",
        annot_kws={"fontsize": 9.5, "linespacing": 1.3}, linewidths=0.8, linecolor="white",
    )  # fmt: skip
    for place, text in zip(np.argwhere(~np.isnan(values)), axes.texts[-np.isfinite(values).sum() :], strict=False):
        shade = matplotlib.colormaps[colours]((values[tuple(place)] - low) / (high - low))
        text.set_color("black" if relative_luminance(shade) > EVEN else "white")  # seaborn's own choice reads worse
    axes.tick_params(length=2.5)


def _mark(axes: Axes, place: tuple[int, int], cell: HeatmapCell, small: bool) -> None:
    """Say in a cell without accuracy why there is none."""
    corner = (place[1] + 0.01, place[0] + 0.01)
    if cell.status == "missing":
        axes.add_patch(Rectangle(corner, 0.98, 0.98, facecolor="white", edgecolor="#b0b0b0", hatch="////", linewidth=0))
        return
    axes.add_patch(Rectangle(corner, 0.98, 0.98, facecolor=GREY, linewidth=0))
    word = WHY[cell.status]
    if cell.status == "failed":
        word = "timeout" if cell.timeout and not cell.error else "error" if not cell.timeout else word
    centre = place[1] + 0.5, place[0] + 0.5
    axes.text(*centre, word, ha="center", va="center", fontsize=6 if small else 9.5, rotation=90 if small else 0)


def _words(cell: HeatmapCell) -> str:
    """Return what stands in a cell: accuracy and how many answers it is of."""
    if cell.accuracy is None or cell.n is None:
        return ""
    star, of = ("*", f" of {cell.n + _failed(cell)}") if cell.status == "partial" else ("", "")
    return f"{cell.accuracy:.0%}{star}\nn {cell.n}{of}"


def _failed(cell: HeatmapCell) -> int:
    return cell.oom + cell.error + cell.timeout + cell.missing


def _counts(panel: HeatmapPanel) -> str:
    """Return the range of n over the cells that were asked."""
    counts = [cell.n for cell in panel.cells if cell.n]
    if not counts:
        return "n 0"
    return f"n {min(counts)}" if min(counts) == max(counts) else f"n {min(counts)}-{max(counts)} a cell"


def _depth(label: str) -> str:
    """Return a depth for people: 0.1 as it is, 0.2-0.4 as 20-40 %."""
    start, dash, stop = label.partition("-")
    return f"{float(start):.0%}-{float(stop):.0%}".replace("%-", "-") if dash else label


def _scale(figure: Figure, grid: np.ndarray, panels: Sequence[HeatmapPanel], extend: str) -> None:
    """Draw the one colour bar, with chance where all panels share it."""
    mesh = grid.flat[0].collections[0]
    bar = figure.colorbar(mesh, ax=list(grid.flat), extend=extend, pad=0.02, aspect=22, format=PercentFormatter(1))
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue] - a Spine, typed as a callable
    bar.set_label("accuracy")
    chances = {round(panel.chance, 4) for panel in panels if panel.chance is not None}
    if len(chances) == 1:
        chance = chances.pop()
        bar.ax.axhline(chance, color="white", linewidth=3)
        bar.ax.axhline(chance, color="black", linewidth=1.2)
        left = bar.ax.get_yaxis_transform()  # of the bar, at the height of an accuracy
        bar.ax.text(-0.25, chance, f"chance\n{chance:.0%}", ha="right", va="center", fontsize=7.5, transform=left)


def _foot(figure: Figure, panels: Sequence[HeatmapPanel]) -> None:
    """Explain the marks that were used."""
    used = {cell.status for panel in panels for cell in panel.cells}
    notes = [STARRED] if "partial" in used else []
    notes += ["hatched: no case asked"] if "missing" in used else []
    notes += [PUBLISHED] if any(panel.chance is None for panel in panels) else []
    if notes:
        letters = int(figure.get_figwidth() * 17)  # that fit in a line at this size
        figure.supxlabel(textwrap.fill("; ".join(notes), letters), fontsize=7.5, color="#444444")

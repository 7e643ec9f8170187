"""Draw accuracy over haystack length and needle depth, depth 0 at the top.

An average is never silent about what it leaves out: a cell in which some cases have no answer carries a star, one
in which none has is grey and names the reason, and one in which no case was asked is hatched.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter

from niah.analysis.layout import format_depth, format_length
from niah.figures.cells import HeatmapCell, HeatmapPanel
from niah.figures.plotting import add_footnote, draw_cells

GREY = "#d9d9d9"
ROW_LABELS = {"depth": "needle depth", "distance": "distance of the two clips", "copies": "copies"}
PANELS_PER_ROW = 3
PAPER_PANELS_PER_ROW = 5  # these panels are less tall
PAPER_PANEL_WIDTH = 3.7  # inches
SMALL_TEXT = 5.5  # points: two digits in a cell of 16 across a panel
STARRED = "* some cases have no answer (out of memory, error, timeout, not asked): the number is of the rest"
PUBLISHED = "published: other needles, haystacks and questions, so a distance to them says nothing about the models"


def default_heatmap(panels: Sequence[HeatmapPanel], condition: str) -> Figure:
    """Draw lengths x depths with accuracy and n in every cell, on a scale from 0 to 1 that marks chance."""
    columns = max(len(panel.lengths) for panel in panels)
    rows = max(len(panel.depths) for panel in panels)
    width = max(4.2, 1.6 + 0.72 * columns)
    height = max(2.8, 1.5 + 0.62 * rows)
    across = min(len(panels), PANELS_PER_ROW)
    down = -(-len(panels) // PANELS_PER_ROW)
    figure = Figure(figsize=(across * width + 1.1, down * height + 0.5), layout="constrained")
    grid = _grid(figure, down, across, len(panels))
    for axes, panel in zip(grid.flat, panels, strict=False):
        _draw_panel(axes, panel, "viridis", (0.0, 1.0), [_cell_text(cell) for cell in panel.cells])
        lengths = [format_length(length) for length in panel.lengths]
        axes.set_xticks(np.arange(len(lengths)) + 0.5, lengths, rotation=0)
        origin = f"suite {panel.suite}, condition {condition}"
        axes.set_title(_title(panel.model, origin, panel.note, width=width), fontsize=10)
        axes.set_ylabel(ROW_LABELS[panel.row])
        _draw_frame_sizes(axes, panel)
    _add_colour_bar(figure, grid, panels, extend="neither")
    _explain_marks(figure, panels)
    return figure


def paper_heatmap(panels: Sequence[HeatmapPanel], condition: str, across: int = PAPER_PANELS_PER_ROW) -> Figure:
    """Draw 16 length bins x 5 depth bins as ViLaMP's Figure 2 does: red 0.2 to green 0.7, models in rows."""
    return _binned(panels, condition, across, "RdYlGn", (0.2, 0.7), lambda cell: "*" * (cell.status == "partial"))


def binned_heatmap(panels: Sequence[HeatmapPanel], condition: str, across: int) -> Figure:
    """Draw 16 length bins x 5 depth bins with the accuracy in every cell, on a scale from 0 to 1 that marks chance."""
    return _binned(panels, condition, across, "viridis", (0.0, 1.0), _percent)


def _percent(cell: HeatmapCell) -> str:
    """Return the accuracy of a cell in per cent, with a star where some cases have no answer."""
    return "" if cell.accuracy is None else f"{100 * cell.accuracy:.0f}" + "*" * (cell.status == "partial")


def _binned(
    panels: Sequence[HeatmapPanel],
    condition: str,
    across: int,
    colour_map: str,
    limits: tuple[float, float],
    text: Callable[[HeatmapCell], str],
) -> Figure:
    """Draw panels of 16 length bins x 5 depth bins, `across` in a row at most.

    Args:
        panels: What to draw.
        condition: The condition of their cases.
        across: How many stand in a row.
        colour_map: A Matplotlib colour map.
        limits: The accuracy at its two ends.
        text: What is written into a cell.
    """
    across = min(len(panels), across)
    down = -(-len(panels) // across)
    figure = Figure(figsize=(PAPER_PANEL_WIDTH * across + 1.2, 2.6 * down + 0.5), layout="constrained")
    grid = _grid(figure, down, across, len(panels), sharey=True)
    for number, (axes, panel) in enumerate(zip(grid.flat, panels, strict=False)):
        leftmost = number % across == 0
        _draw_panel(axes, panel, colour_map, limits, [text(cell) for cell in panel.cells], fontsize=SMALL_TEXT)
        axes.set_xticks(range(0, 17, 4), ["2K", "4K", "6K", "8K", "10K"], rotation=0)
        axes.tick_params(axis="y", left=leftmost)
        counts = _counts(panel)
        origin = "read off the plot" if panel.chance is None else f"suite {panel.suite}, {condition}{counts}"
        axes.set_title(_title(panel.model, origin, panel.note, width=PAPER_PANEL_WIDTH), fontsize=9)
        axes.set_ylabel("needle depth" if leftmost else "")
    _add_colour_bar(figure, grid, panels, extend="neither" if limits == (0.0, 1.0) else "both")
    _explain_marks(figure, panels)
    return figure


def _grid(figure: Figure, down: int, across: int, count: int, sharey: bool = False) -> np.ndarray:
    """Return a grid of axes of which the first `count` are visible."""
    grid = figure.subplots(down, across, squeeze=False, sharey=sharey)
    for axes in list(grid.flat)[count:]:
        axes.set_visible(False)
    return grid


def _title(*texts: str, width: float) -> str:
    """Return a panel's title in lines that fit its `width` in inches: a longer line would leave the axes no room."""
    letters = int(width / 0.09)  # of a 10 point font
    return "\n".join(line for text in texts for line in textwrap.wrap(text, letters))


def _draw_panel(
    axes: Axes,
    panel: HeatmapPanel,
    colour_map: str,
    limits: tuple[float, float],
    texts: Sequence[str],
    fontsize: float = 9.5,
) -> None:
    """Draw one panel: its coloured cells, the marks of cells without an answer, and the depths.

    Args:
        axes: Where to draw.
        panel: What to draw.
        colour_map: A Matplotlib colour map.
        limits: The accuracy at its two ends.
        texts: What is written into each cell.
        fontsize: Of the texts, in points.
    """
    shape = (len(panel.depths), len(panel.lengths))
    values = np.full(shape, np.nan)  # (depths, lengths)
    written = np.full(shape, "", dtype=object)  # (depths, lengths)
    for cell, text in zip(panel.cells, texts, strict=True):
        place = panel.depths.index(cell.depth), panel.lengths.index(cell.length)
        if cell.status == "unread":
            continue
        if cell.accuracy is None:
            _mark_without_answer(axes, place, cell, small=shape[1] > 10)
        else:
            values[place] = cell.accuracy
            written[place] = text
    draw_cells(axes, values, written, colour_map, limits, fontsize=fontsize, linespacing=1.3)
    if all(cell.status == "unread" for cell in panel.cells):
        axes.text(0.5, 0.5, "clips alone are not read", transform=axes.transAxes, ha="center", va="center", color="0.4")
    axes.tick_params(length=2.5)
    axes.set_yticks(np.arange(len(panel.depths)) + 0.5, [format_depth(depth) for depth in panel.depths], rotation=0)
    axes.set_xlabel("haystack length (frames)")


def _draw_frame_sizes(axes: Axes, panel: HeatmapPanel) -> None:
    """Draw a strip below the cells with how large frames were shown, where that differs over length.

    Accuracy that falls from left to right may then have fallen with the pixels.
    """
    sides = [math.sqrt(size[0] * size[1]) if size else 0.0 for size in panel.frame_sizes]
    if len({side for side in sides if side}) < 2:
        return
    below = len(panel.depths)
    for column, (size, side) in enumerate(zip(panel.frame_sizes, sides, strict=True)):
        if size:
            height = 0.5 * side / max(sides)
            axes.add_patch(Rectangle((column + 0.06, below + 0.95 - height), 0.88, height, facecolor=GREY, linewidth=0))
            axes.text(column + 0.5, below + 0.25, f"{size[0]}x{size[1]}", ha="center", va="center", fontsize=7.5)
    ticks, labels = axes.get_yticks(), [label.get_text() for label in axes.get_yticklabels()]
    axes.set_yticks([*ticks, below + 0.5], [*labels, "pixels"])
    axes.set_ylim(below + 1, 0)


def _mark_without_answer(axes: Axes, place: tuple[int, int], cell: HeatmapCell, small: bool) -> None:
    """Hatch a cell in which no case was asked; make any other grey and write the reason into it."""
    row, column = place
    corner = (column + 0.01, row + 0.01)
    if cell.status == "missing":
        axes.add_patch(Rectangle(corner, 0.98, 0.98, facecolor="white", edgecolor="#b0b0b0", hatch="////", linewidth=0))
        return
    axes.add_patch(Rectangle(corner, 0.98, 0.98, facecolor=GREY, linewidth=0))
    style: dict[str, Any] = {"fontsize": 6, "rotation": 90} if small else {"fontsize": 9.5, "rotation": 0}
    axes.text(column + 0.5, row + 0.5, _reason(cell), ha="center", va="center", **style)


def _reason(cell: HeatmapCell) -> str:
    """Return why no case of a cell has an answer."""
    if cell.status == "oom":
        return "OOM"
    if cell.timeout and cell.error:
        return "failed"
    return "timeout" if cell.timeout else "error"


def _cell_text(cell: HeatmapCell) -> str:
    """Return what is written in a cell: its accuracy, and how many answers that is over."""
    if cell.accuracy is None or cell.n is None:
        return ""
    if cell.status != "partial":
        return f"{cell.accuracy:.0%}\nn {cell.n}"
    asked = cell.n + cell.oom + cell.error + cell.timeout + cell.missing
    return f"{cell.accuracy:.0%}*\nn {cell.n} of {asked}"


def _counts(panel: HeatmapPanel) -> str:
    """Return the range of n over the cells in which cases were answered, behind a comma; empty if none was."""
    counts = [cell.n for cell in panel.cells if cell.n]
    if not counts:
        return ""
    return f", n {min(counts)}" if min(counts) == max(counts) else f", n {min(counts)}-{max(counts)} a cell"


def _add_colour_bar(figure: Figure, grid: np.ndarray, panels: Sequence[HeatmapPanel], extend: str) -> None:
    """Draw the one colour bar, with a mark at chance where all panels have the same."""
    mesh = grid.flat[0].collections[0]
    bar = figure.colorbar(mesh, ax=list(grid.flat), extend=extend, pad=0.02, aspect=22, format=PercentFormatter(1))
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue] - a Spine, typed as a callable
    bar.set_label("accuracy")
    chances = {round(panel.chance, 4) for panel in panels if panel.chance is not None}
    if len(chances) == 1:
        chance = chances.pop()
        bar.ax.axhline(chance, color="white", linewidth=3)
        bar.ax.axhline(chance, color="black", linewidth=1.2)
        beside_bar = bar.ax.get_yaxis_transform()  # x in widths of the bar, y in accuracy
        bar.ax.text(-0.25, chance, f"chance\n{chance:.0%}", ha="right", va="center", fontsize=7.5, transform=beside_bar)


def _explain_marks(figure: Figure, panels: Sequence[HeatmapPanel]) -> None:
    """Explain below the figure the marks that are used in it."""
    used = {cell.status for panel in panels for cell in panel.cells}
    notes = [STARRED] if "partial" in used else []
    notes += ["hatched: no case asked"] if "missing" in used else []
    notes += [PUBLISHED] if any(panel.chance is None for panel in panels) else []
    add_footnote(figure, "; ".join(notes), fontsize=7.5, color="#444444")

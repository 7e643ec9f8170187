"""What all figures share: style, annotated cells, lines with intervals, footnotes, and how figures are saved."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from seaborn.utils import relative_luminance

from niah.analysis.csv_text import csv_text
from niah.io import replace_file, replacing

RC_PARAMS: Any = {"font.family": "DejaVu Sans", "svg.hashsalt": "niah", "axes.titleweight": "normal"}
RC_PARAMS["text.parse_math"] = False  # a model's arguments may hold dollar signs
DARKEST_WITH_BLACK_TEXT = 0.18  # luminance at which black and white text stand out equally
CHANCE_LINE: Any = {"color": "#888888", "linewidth": 0.8, "linestyle": ":"}


def text_colour(background: Any) -> str:
    """Return the colour of text that stands out on a background."""
    return "black" if relative_luminance(background) > DARKEST_WITH_BLACK_TEXT else "white"


def draw_cells(
    axes: Axes,
    values: np.ndarray,
    texts: Sequence[Sequence[str]] | np.ndarray,
    colour_map: str,
    limits: tuple[float, float],
    **text_style: Any,
) -> None:
    """Draw a table of coloured cells with a text in each; a cell whose value is NaN stays empty.

    Args:
        axes: where to draw; cell (row, column) covers x from column to column + 1 and y from row to row + 1.
        values: (rows, columns) numbers that decide the colours.
        texts: (rows, columns) what is written in the cells.
        colour_map: name of a Matplotlib colour map.
        limits: the values at the two ends of the colour map.
        text_style: Matplotlib text properties, such as `fontsize`.
    """
    low, high = limits
    filled = ~np.isnan(values)
    seaborn.heatmap(
        values,
        ax=axes,
        mask=~filled,
        cmap=colour_map,
        vmin=low,
        vmax=high,
        cbar=False,
        annot=texts,
        fmt="",
        annot_kws=text_style,
        linewidths=0.8,
        linecolor="white",
    )
    own_texts = axes.texts[len(axes.texts) - int(filled.sum()) :]
    for value, text in zip(values[filled], own_texts, strict=True):
        shade = matplotlib.colormaps[colour_map]((value - low) / ((high - low) or 1))
        text.set_color(text_colour(shade))  # seaborn's own choice is harder to read


def interval_arms(values: Sequence[float], lows: Sequence[float | None], highs: Sequence[float | None]) -> np.ndarray:
    """Return how far each interval reaches below and above its value, as `Axes.errorbar` takes it.

    An end that is None, or that rounding puts on the wrong side of the value, has length 0. Shape (2, values).
    """
    below = [0.0 if low is None else max(0.0, value - low) for value, low in zip(values, lows, strict=True)]
    above = [0.0 if high is None else max(0.0, high - value) for value, high in zip(values, highs, strict=True)]
    return np.array([below, above])


def draw_interval_line(
    axes: Axes,
    xs: Sequence[float],
    ys: Sequence[float],
    arms: np.ndarray,
    *,
    colour: str,
    label: str,
    marker: str = "o",
    markersize: float = 5,
) -> None:
    """Draw a line through points, with a vertical bar for the interval of each.

    Args:
        axes: where to draw.
        xs: positions of the points.
        ys: their values; NaN interrupts the line.
        arms: (2, points) the lengths of the bars below and above, from `interval_arms`.
        colour: of the line, points and bars.
        label: name of the line in the legend.
        marker: Matplotlib marker of a point.
        markersize: its size in points.
    """
    axes.errorbar(
        xs, ys, arms, color=colour, label=label, marker=marker, markersize=markersize, capsize=2, linewidth=1.3
    )


def add_footnote(figure: Figure, *paragraphs: str, letters_per_inch: int = 17, **text_style: Any) -> None:
    """Write paragraphs below a figure, wrapped to its width; empty ones are left out."""
    letters = int(figure.get_figwidth() * letters_per_inch)
    lines = [line for paragraph in paragraphs for line in textwrap.wrap(paragraph, letters)]
    if lines:
        figure.supxlabel("\n".join(lines), **text_style)


def save_figure(figure: Figure, stem: Path, drawn: Sequence[Any], float_format: str = "%.6g") -> list[Path]:
    """Save a figure as PNG and SVG, and the rows it shows as CSV; the same figure gives the same bytes on any day.

    Args:
        figure: what to save, drawn under RC_PARAMS.
        stem: the path of the files without their suffix.
        drawn: the rows the figure shows, as dataclasses or mappings.
        float_format: how the CSV writes floats.

    Returns the paths of the three files.
    """
    png, svg, csv = (stem.with_name(f"{stem.name}.{suffix}") for suffix in ("png", "svg", "csv"))
    with replacing(png) as temporary:
        figure.savefig(temporary, dpi=160, facecolor="white", metadata={"Software": None})
    with replacing(svg) as temporary:
        figure.savefig(temporary, facecolor="white", metadata={"Date": None})
    replace_file(csv, csv_text(drawn, float_format))
    return [png, svg, csv]

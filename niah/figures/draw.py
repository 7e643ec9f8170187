"""Draw runs and save what was drawn: PNG, SVG, and the CSV of the numbers in them.

The same runs give the same bytes. Figures are made without pyplot, so drawing changes no
backend and leaves no figure open.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from niah.analysis.load import RunData, join_shards, read_run, with_distinct_names
from niah.figures.cells import PAPER, panels, published_panels
from niah.figures.heatmap import default_heatmap, paper_heatmap
from niah.figures.memory import draw_memory, points
from niah.io import replace_file, replacing
from niah.types import UserError

STYLES = ("default", PAPER)
CONDITIONS = ("full", "swapped")  # those in which something lies at a depth
LOOKS: Any = {"font.family": "DejaVu Sans", "svg.hashsalt": "niah", "axes.titleweight": "normal"}
LOOKS["text.parse_math"] = False  # a model's arguments may hold dollar signs


def draw(
    runs: Sequence[RunData | Path],
    folder: Path,
    style: str = "default",
    *,
    condition: str = "full",
    published: bool = False,
) -> list[Path]:
    """Draw the heatmap of some runs, and their memory, into a folder; return the files.

    A figure for which the runs hold nothing is not drawn: an empty list is possible. Raises
    UserError where a run cannot be read.
    """
    if style not in STYLES or condition not in CONDITIONS:
        raise UserError(f"style is one of {STYLES} and condition one of {CONDITIONS}, got {style!r}, {condition!r}")
    read = with_distinct_names(join_shards([run if isinstance(run, RunData) else read_run(run) for run in runs]))
    Path(folder).mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(LOOKS):
        return [*_heatmap(read, Path(folder), style, condition, published), *_memory(read, Path(folder), published)]


def left_out(runs: Sequence[RunData], style: str = "default", condition: str = "full") -> list[str]:
    """Return the names of the runs that hold no case of the condition on the heatmap's axes."""
    apart = with_distinct_names(join_shards(runs))
    drawn = {panel.model for panel in panels(apart, style, condition)}
    return [run.model for run in apart if run.model not in drawn]


def _heatmap(runs: Sequence[RunData], folder: Path, style: str, condition: str, published: bool) -> list[Path]:
    """Draw accuracy over length and depth."""
    own = panels(runs, style, condition)
    if not own:
        return []
    name = "-".join(["heatmap", *([PAPER] if style == PAPER else []), *([condition] if condition != "full" else [])])
    if style == PAPER:
        own += published_panels() if published else []
        figure = paper_heatmap(own, condition)
    else:
        figure = default_heatmap(own, condition)
    return save(figure, folder / name, [cell for panel in own for cell in panel.cells])


def _memory(runs: Sequence[RunData], folder: Path, published: bool) -> list[Path]:
    """Draw memory and time over frames."""
    found = points(runs, published)
    return save(draw_memory(found), folder / "memory", found) if found else []


def save(figure: Figure, stem: Path, drawn: Sequence[Any]) -> list[Path]:
    """Write a figure and its numbers, with nothing in it that changes from day to day."""
    paths = [stem.with_name(f"{stem.name}.{ending}") for ending in ("png", "svg", "csv")]
    with replacing(paths[0]) as temporary:
        figure.savefig(temporary, dpi=160, facecolor="white", metadata={"Software": None})
    with replacing(paths[1]) as temporary:
        figure.savefig(temporary, facecolor="white", metadata={"Date": None})
    rows = pd.DataFrame([dataclasses.asdict(row) for row in drawn])
    replace_file(paths[2], rows.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    return paths

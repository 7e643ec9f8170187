"""Draw runs and save what was drawn: PNG, SVG, and the CSV of the numbers in them.

The same runs give the same bytes. Figures are made without pyplot, so drawing changes no
backend and leaves no figure open.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

from niah.analysis.load import RunData, join_shards, read_run, with_distinct_names
from niah.figures.cells import PAPER, heatmap_panels, published_panels
from niah.figures.heatmap import default_heatmap, paper_heatmap
from niah.figures.memory import draw_memory, memory_points
from niah.figures.plotting import RC_PARAMS, save_figure
from niah.types import UserError

STYLES = ("default", PAPER)
CONDITIONS = ("full", "swapped")  # those in which something lies at a depth


def draw_runs(
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
    with matplotlib.rc_context(RC_PARAMS):
        return [*_heatmap(read, Path(folder), style, condition, published), *_memory(read, Path(folder), published)]


def left_out(runs: Sequence[RunData], style: str = "default", condition: str = "full") -> list[str]:
    """Return the names of the runs that hold no case of the condition on the heatmap's axes."""
    apart = with_distinct_names(join_shards(runs))
    drawn = {panel.model for panel in heatmap_panels(apart, style, condition)}
    return [run.model for run in apart if run.model not in drawn]


def _heatmap(runs: Sequence[RunData], folder: Path, style: str, condition: str, published: bool) -> list[Path]:
    """Draw accuracy over length and depth."""
    own = heatmap_panels(runs, style, condition)
    if not own:
        return []
    name = "-".join(["heatmap", *([PAPER] if style == PAPER else []), *([condition] if condition != "full" else [])])
    if style == PAPER:
        own += published_panels() if published else []
        figure = paper_heatmap(own, condition)
    else:
        figure = default_heatmap(own, condition)
    return save_figure(figure, folder / name, [cell for panel in own for cell in panel.cells])


def _memory(runs: Sequence[RunData], folder: Path, published: bool) -> list[Path]:
    """Draw memory and time over frames."""
    found = memory_points(runs, published)
    return save_figure(draw_memory(found), folder / "memory", found) if found else []

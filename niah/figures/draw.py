"""Draw the heatmap and the memory of runs: PNG, SVG, and a CSV of the numbers in each.

The same runs give the same bytes. Figures are made without pyplot, so drawing changes no
Matplotlib backend and leaves no figure open.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

from niah.analysis.kinds import split_kinds
from niah.analysis.load import RunData, join_shards, read_run, with_distinct_names
from niah.figures.cells import PAPER, HeatmapPanel, heatmap_panels, left_out, published_panels
from niah.figures.gate import clips_read
from niah.figures.heatmap import default_heatmap, paper_heatmap
from niah.figures.memory import draw_memory, memory_points
from niah.figures.plotting import RC_PARAMS, save_figure
from niah.types import UserError

STYLES = ("default", PAPER)
CONDITIONS = ("full", "swapped")  # those in which a clip lies at a depth


def draw_runs(
    runs: Sequence[RunData | Path],
    folder: Path,
    style: str = "default",
    *,
    condition: str = "full",
    published: bool = False,
    gates: Sequence[RunData] = (),
) -> list[Path]:
    """Draw the heatmap and the memory of some runs into a folder.

    Args:
        runs: what to draw, already read or as folders.
        folder: where the files go; made if missing.
        style: "default", or "paper" for the axes and colours of ViLaMP's Figure 2.
        condition: the condition of the cases in the heatmap.
        published: add the published numbers, marked as such.
        gates: runs that asked the same models about clips alone; the heatmap shows only what these read.

    Returns the files. A figure for which the runs hold no data is not drawn, so there may be none. Raises UserError
    where a run cannot be read.
    """
    if style not in STYLES or condition not in CONDITIONS:
        raise UserError(f"style is one of {STYLES} and condition one of {CONDITIONS}, got {style!r}, {condition!r}")
    whole = join_shards([run if isinstance(run, RunData) else read_run(run) for run in runs])
    read = with_distinct_names(split_kinds(whole))
    Path(folder).mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(RC_PARAMS):
        panels = heatmap_panels(read, style, condition, clips_read(gates) if gates else None)
        return [
            *_heatmap(panels, Path(folder), style, condition, published),
            *_memory(read, Path(folder), published),
        ]


def runs_left_out(runs: Sequence[RunData], style: str = "default", condition: str = "full") -> list[str]:
    """Return the names of the runs that hold no case of the condition within the range of the axes."""
    return left_out(with_distinct_names(split_kinds(join_shards(runs))), style, condition)


def _heatmap(panels: list[HeatmapPanel], folder: Path, style: str, condition: str, published: bool) -> list[Path]:
    """Draw accuracy over length and depth, in cells."""
    if not panels:
        return []
    name = "heatmap"
    if style == PAPER:
        name += f"-{PAPER}"
    if condition != "full":
        name += f"-{condition}"
    if style == PAPER:
        panels = [*panels, *(published_panels() if published else [])]
        figure = paper_heatmap(panels, condition)
    else:
        figure = default_heatmap(panels, condition)
    return save_figure(figure, folder / name, [cell for panel in panels for cell in panel.cells])


def _memory(runs: Sequence[RunData], folder: Path, published: bool) -> list[Path]:
    """Draw memory and time over frames."""
    found = memory_points(runs, published)
    if not found:
        return []
    return save_figure(draw_memory(found), folder / "memory", found)

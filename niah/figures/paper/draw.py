"""Draw one figure or table of ViLaMP's paper from runs, or from measurements of attention, and save it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from niah.analysis.load import read_run
from niah.analysis.traced import TracedCosts, read_traced
from niah.figures.memory import draw_memory, memory_points
from niah.figures.paper import attention, efficiency, maps, selection, studies
from niah.figures.paper.points import StudyPoint, study_points
from niah.figures.plotting import RC_PARAMS, save_figure
from niah.types import SINGLE, UserError


@dataclass(frozen=True)
class Study:
    """A figure or table made from runs."""

    select: Callable[[Sequence[StudyPoint]], list[StudyPoint]]
    draw: Callable[[Sequence[StudyPoint]], Figure]
    same_cases: bool  # whether all runs must have been asked the same cases
    why_left_out: str = ""  # why a run is not drawn, to follow its name


STUDIES = {
    "figure6": Study(
        selection.over_keyframes, studies.draw_over_keyframes, True,
        "which differs from the runs drawn in more than K, or whose answers do not report K",
    ),
    "table2": Study(selection.by_compressor, studies.draw_by_compressor, True),
    "table3": Study(selection.hits, studies.draw_hits, False, "whose answers do not report which frames were kept"),
    "table6": Study(
        selection.over_constants, studies.draw_over_constants, True,
        "which differs from the runs drawn in more than alpha and tau, or whose answers do not report both",
    ),
}  # fmt: skip
ATTENTION = {"figure3": "frames", "figure4": "patches"}  # drawn from the files of `niah attention`
TRACED = {"figure1": efficiency.draw_figure1, "table5": efficiency.draw_table5}  # from files of `niah bench --traced`
FIGURE1, FIGURE2 = "figure1", "figure2"
NAMES = (FIGURE1, FIGURE2, *ATTENTION, *STUDIES, "table5")


@dataclass(frozen=True)
class DrawnFigure:
    """The files of a figure, and a note on each run that it leaves out."""

    paths: list[Path]
    notes: list[str]


def draw(name: str, folders: Sequence[Path], output: Path, title: str = "", kind: str = SINGLE) -> DrawnFigure:
    """Draw one of NAMES into the folder `output` as PNG, SVG and CSV; of runs that ask several kinds, one kind."""
    if name == FIGURE2:
        return _draw_figure2(folders, output, title, kind)
    runs = [folder for folder in folders if name == FIGURE1 and (folder / "run.json").is_file()]
    folders = [folder for folder in folders if folder not in runs]
    with matplotlib.rc_context(RC_PARAMS):
        if name in STUDIES:
            figure, rows, notes = _draw_study(name, folders, kind)
        else:
            figure, rows, notes = (_draw_traced if name in TRACED else _draw_attention)(name, folders)
        if title:
            figure.suptitle(title, fontsize=9.5)
        output.mkdir(parents=True, exist_ok=True)
        return DrawnFigure([*save_figure(figure, output / name, rows), *_draw_memory(runs, output)], notes)


def _draw_memory(folders: Sequence[Path], output: Path) -> list[Path]:
    """Draw the measured memory of runs in a figure of its own, not on the axis of traced device memory; no times."""
    found = memory_points([read_run(folder) for folder in folders], published=False)
    points = [replace(point, seconds_to_first_token=None) for point in found]
    return save_figure(draw_memory(points), output / f"{FIGURE1}-runs", points) if points else []


def _draw_figure2(folders: Sequence[Path], output: Path, title: str, kind: str) -> DrawnFigure:
    """Draw accuracy over length and depth twice, as `niah.figures.paper.maps` says."""
    rows = maps.map_panels(folders, kind)
    output.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    with matplotlib.rc_context(RC_PARAMS):
        for suffix, figure in maps.draw_figure2(rows).items():
            if title:
                figure.suptitle(title, fontsize=9.5)
            paths += save_figure(figure, output / f"{FIGURE2}{suffix}", maps.figure2_cells(rows))
    return DrawnFigure(paths, [])


def _draw_traced(name: str, folders: Sequence[Path]) -> tuple[Figure, list[Any], list[str]]:
    """Return Figure 1 or Table 5, its rows, and no notes."""
    found = [row for place in folders for row in _read_traced(place)]
    sizes = sorted({row.size for row in found})
    if len(sizes) != 1:
        raise UserError(f"one size can be drawn at a time, got {', '.join(sizes) or 'no traced costs at all'}")
    rows = efficiency.efficiency_rows(found)
    return TRACED[name](rows), rows, []


def _read_traced(place: Path) -> list[TracedCosts]:
    """Return the traced costs in a file, or in every file of a folder that `niah bench --traced` wrote."""
    if not place.is_dir():
        return read_traced(place)
    files = sorted(place.glob("*traced.csv"))
    if not files:
        raise UserError(f"{str(place)!r} holds no traced costs: niah bench NAME --traced -o {place} writes them")
    return [row for file in files for row in read_traced(file)]


def _draw_attention(name: str, folders: Sequence[Path]) -> tuple[Figure, list[Any], list[str]]:
    """Return a figure of attention, the rows it shows, and no notes: every measurement is drawn."""
    what = ATTENTION[name]
    panels = attention.read_panels(folders, f"{what}.csv")
    rows = [step for panel in panels for step in panel.steps]
    return attention.draw_concentration(panels, what), rows, []


def _draw_study(name: str, folders: Sequence[Path], kind: str) -> tuple[Figure, list[Any], list[str]]:
    """Return a figure of runs, the points it shows, and a note on each run that is left out."""
    study = STUDIES[name]
    points = study_points(folders, study.same_cases, kind)
    selected = study.select(points)
    notes = [f"not in {name}: {model}, {study.why_left_out}" for model in selection.left_out(points, selected)]
    return study.draw(selected), selected, notes

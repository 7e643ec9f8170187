"""`niah paper figure3 FOLDER... [-o FOLDER]`: draw a figure or table of the paper from your own runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from niah.cli.command import RESUMED, Command
from niah.cli.flags import add_output
from niah.figures.paper import attention, selection, studies
from niah.figures.paper.points import StudyPoint, study_points
from niah.figures.plotting import RC_PARAMS, save_figure

EXAMPLES = """\
which:
  figure3   attention concentrates on few frames       FOLDERs of niah attention
  figure4   ... and on few of the other frames' patches  the same, all frames whole
  figure6   accuracy over K                            RUNs that differ in K
  table2    accuracy by compressor                     RUNs of vilamp, topk, uniform, mean, ...
  table3    Hit@k: a kept frame shows the needle       RUNs of models that tell which frames they kept
  table6    accuracy over alpha and tau                RUNs that differ in them

examples:
  niah sweep --config configs/sweeps/keyframes.yaml
      makes the runs of figure6 and table3; configs/sweeps/constants.yaml those of table6
  niah paper figure6 results/figures/micro/keyframes/* -o results/figures/micro
  niah paper table3 results/default/vilamp results/default/topk -o compared
      at every length of a run; needs no model

Figures 1 and 2, memory and heatmaps: niah figures RUN... --style paper --with_published
Each writes WHICH.png, WHICH.svg and WHICH.csv, the numbers drawn, from files alone: the same files, the same bytes.
What the paper printed is of other benchmarks: it stands beside, labelled, in no CSV of ours.
"""


@dataclass(frozen=True)
class Study:
    """A figure or table of runs: which of their points it shows and how, and why it shows no others."""

    choose: Callable[[Sequence[StudyPoint]], list[StudyPoint]]
    draw: Callable[[Sequence[StudyPoint]], Figure]
    same_cases: bool
    others: str = ""


STUDIES = {
    "figure6": Study(
        selection.over_keyframes, studies.draw_over_keyframes, True,
        "which differs from the runs drawn in more than K, or has no answer that tells its K",
    ),
    "table2": Study(selection.by_compressor, studies.draw_by_compressor, True),
    "table3": Study(selection.hits, studies.draw_hits, False, "which has no answer that tells the frames it kept"),
    "table6": Study(
        selection.over_constants, studies.draw_over_constants, True,
        "which differs from the runs drawn in more than alpha and tau, or has no answer that tells both",
    ),
}  # fmt: skip
MEASURED = {"figure3": "frames", "figure4": "patches"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("which", choices=(*MEASURED, *STUDIES), help="what to draw; see below")
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="a run, or a measurement of attention")
    add_output(parser, "where it goes (default: the first FOLDER)")
    parser.add_argument("--title", default="", metavar="TEXT", help="title, for instance whose weights (default: none)")


def run(options: argparse.Namespace) -> int:
    """Draw what was asked for."""
    return draw(options.which, options.folders, _folder(options), options.title)


def _folder(options: argparse.Namespace) -> Path:
    """Return where it goes."""
    return options.output or options.folders[0]


def draw(which: str, folders: Sequence[Path], output: Path, title: str = "") -> int:
    """Draw one figure or table, print what was written, and say which runs are not in it."""
    with matplotlib.rc_context(RC_PARAMS):
        figure, rows, notes = _drawn(which, folders)
        if title:
            figure.suptitle(title, fontsize=9.5)
        output.mkdir(parents=True, exist_ok=True)
        paths = save_figure(figure, output / which, rows)
    sys.stderr.write("".join(f"{note}\n" for note in notes))
    sys.stdout.write("".join(f"{path}\n" for path in paths))
    return 0


def _drawn(which: str, folders: Sequence[Path]) -> tuple[Figure, list[Any], list[str]]:
    """Return a figure, the rows it shows, and in words which runs it does not."""
    if which in MEASURED:
        what = MEASURED[which]
        panels = attention.read_panels(folders, f"{what}.csv")
        return attention.draw_concentration(panels, what), [step for panel in panels for step in panel.steps], []
    study = STUDIES[which]
    found = study_points(folders, study.same_cases)
    shown = study.choose(found)
    notes = [f"not in {which}: {model}, {study.others}" for model in selection.left_out(found, shown)]
    return study.draw(shown), shown, notes


COMMAND = Command(run, EXAMPLES, add_arguments, stopped=RESUMED, place=_folder)

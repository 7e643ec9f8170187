"""`niah paper figure3 FOLDER... [-o FOLDER]`: draw a figure or table of the paper, from runs or from traced costs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from niah.cli.command import RESUMED, Command
from niah.cli.flags import add_output
from niah.cli.plugins import traced_files
from niah.figures.paper.draw import NAMES, TRACED, draw
from niah.types import UserError

EXAMPLES = """\
which:
  figure1   memory over frames, traced without a GPU     files of niah bench --traced; without any, those that ship
  figure3   attention concentrates on few frames         FOLDERs of niah attention
  figure4   ... and on few of the other frames' patches  the same, with every frame kept whole
  figure6   accuracy over K                              RUNs that differ in K
  table2    accuracy by compressor                       RUNs of vilamp, topk, uniform, mean, ...
  table3    Hit@k: a kept frame shows the needle         RUNs of models that report which frames they kept
  table5    the same as a table, with FLOPs              the same files
  table6    accuracy over alpha and tau                  RUNs that differ in them

examples:
  niah sweep --config configs/sweeps/keyframes.yaml
      makes the runs for figure6 and table3; configs/sweeps/constants.yaml makes those for table6
  niah paper figure6 results/figures/micro/keyframes/* -o results/figures/micro
  niah paper table3 results/default/vilamp results/default/topk -o compared
      Hit@k at every length; needs no model
  niah paper figure1 -o drawn
      memory of the four 7B models over 64 to 10,000 frames, beside the published points

Figures 1 and 2 of runs of yours: niah figures RUN... --style paper --with_published
Each command writes WHICH.png, WHICH.svg and WHICH.csv (the numbers drawn). The same files always give the same bytes.
The paper's numbers are of other benchmarks: they are drawn beside ours, labelled, and are in none of our CSV files.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("which", choices=NAMES, help="what to draw; see below")
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help="a run, attention, or traced costs")
    add_output(parser, "where it goes (default: the first FOLDER, or here)")
    parser.add_argument("--title", default="", metavar="TEXT", help="title, for instance whose weights (default: none)")


def run(options: argparse.Namespace) -> int:
    """Draw, print the paths of the files, and name the runs that were left out."""
    folders = options.folders or (traced_files() if options.which in TRACED else [])
    if not folders:
        raise UserError(f"{options.which} is drawn from FOLDERs: name one or more; niah paper --help says of what")
    drawn = draw(options.which, folders, _folder(options), options.title)
    sys.stderr.write("".join(f"{note}\n" for note in drawn.notes))
    sys.stdout.write("".join(f"{path}\n" for path in drawn.paths))
    return 0


def _folder(options: argparse.Namespace) -> Path:
    """Return the folder that the figure goes into."""
    first = options.folders[0] if options.folders else Path(".")
    return options.output or (first if first.suffix != ".csv" else first.parent)


COMMAND = Command(run, EXAMPLES, add_arguments, stopped=RESUMED, place=_folder)

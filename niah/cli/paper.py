"""`niah paper figure3 FOLDER... [-o FOLDER]`: draw a figure or table of the paper from your own runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from niah.cli.command import RESUMED, Command
from niah.cli.flags import add_output
from niah.figures.paper.draw import NAMES, draw

EXAMPLES = """\
which:
  figure3   attention concentrates on few frames         FOLDERs of niah attention
  figure4   ... and on few of the other frames' patches  the same, with every frame kept whole
  figure6   accuracy over K                              RUNs that differ in K
  table2    accuracy by compressor                       RUNs of vilamp, topk, uniform, mean, ...
  table3    Hit@k: a kept frame shows the needle         RUNs of models that report which frames they kept
  table6    accuracy over alpha and tau                  RUNs that differ in them

examples:
  niah sweep --config configs/sweeps/keyframes.yaml
      makes the runs for figure6 and table3; configs/sweeps/constants.yaml makes those for table6
  niah paper figure6 results/figures/micro/keyframes/* -o results/figures/micro
  niah paper table3 results/default/vilamp results/default/topk -o compared
      Hit@k at every length; needs no model

Figures 1 and 2 (memory and heatmaps): niah figures RUN... --style paper --with_published
Each command writes WHICH.png, WHICH.svg and WHICH.csv (the numbers drawn). The same files always give the same bytes.
The paper's numbers are of other benchmarks: they are drawn beside ours, labelled, and are in none of our CSV files.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("which", choices=NAMES, help="what to draw; see below")
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="a run, or a measurement of attention")
    add_output(parser, "where it goes (default: the first FOLDER)")
    parser.add_argument("--title", default="", metavar="TEXT", help="title, for instance whose weights (default: none)")


def run(options: argparse.Namespace) -> int:
    """Draw, print the paths of the files, and name the runs that were left out."""
    drawn = draw(options.which, options.folders, _folder(options), options.title)
    sys.stderr.write("".join(f"{note}\n" for note in drawn.notes))
    sys.stdout.write("".join(f"{path}\n" for path in drawn.paths))
    return 0


def _folder(options: argparse.Namespace) -> Path:
    """Return the folder that the figure goes into."""
    return options.output or options.folders[0]


COMMAND = Command(run, EXAMPLES, add_arguments, stopped=RESUMED, place=_folder)

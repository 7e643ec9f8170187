"""`niah report RUN... -o report.html`: write runs as one page."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from niah.cli.command import RESUMED, Command
from niah.cli.flags import add_output, add_runs, add_suite
from niah.report.page import write_report

EXAMPLES = """\
examples:
  niah report results/default/vilamp -o report.html
      one run; click a cell of the heatmap to see its cases
  niah report results/default/vilamp results/default/chance -o report.html
      several runs side by side; a case shows what each of them said
  niah report runs/mine-vilamp --suite mine.yaml -o report.html
      your own videos: the suite says where they lie, for the pictures around the needle

The page is one file: it needs no server and no network. In the heatmap the arrow keys
move, Enter opens a cell, Esc closes it. What the pictures need is looked for as the suite
names it; built-in footage that is not there is made again. --no_thumbnails leaves them out.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    add_runs(parser)
    add_output(parser, "the page", metavar="FILE", default=Path("report.html"))
    add_suite(parser, "suite file of the runs, if of your own videos (default: the one each run names)")
    parser.add_argument("--no_thumbnails", action="store_true", help="a smaller page, written at once")


def run(options: argparse.Namespace) -> int:
    """Write the page and say where it lies, how large it is, and which pictures it lacks."""
    notes = write_report(options.runs, options.output, thumbnails=not options.no_thumbnails, suite=options.suite)
    sys.stderr.write("".join(f"note: {note}\n" for note in notes))
    sys.stdout.write(f"{options.output} ({options.output.stat().st_size / 2**20:.1f} MiB)\n")
    return 0


COMMAND = Command(run, EXAMPLES, add_arguments, stopped=RESUMED, needs=("vl_convert",))

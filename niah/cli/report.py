"""`niah report RUN... -o report.html`: write runs as one HTML page."""

from __future__ import annotations

import argparse
from pathlib import Path

from niah.cli.command import RESUMED, Command
from niah.cli.flags import add_output, add_runs, add_suite
from niah.io import no_cycles
from niah.report.page import write_report
from niah.terminal import to_stderr, to_stdout

EXAMPLES = """\
examples:
  niah report results/default/vilamp -o report.html
      one run; click a cell of the heatmap to see its cases
  niah report results/default/vilamp results/default/chance -o report.html
      several runs side by side; a case shows the replies of all
  niah report runs/mine-huggingface -o report.html
      your own videos; where the run was made on another machine, --suite mine.yaml says where they are

The page is one file that needs no server and no network. In the heatmap the arrow keys move, Enter opens a cell, Esc
closes it. The pictures need the videos that the suite names; missing built-in footage is drawn again. --no_thumbnails
leaves pictures out.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    add_runs(parser)
    add_output(parser, "the page", metavar="FILE", default=Path("report.html"))
    add_suite(parser, "suite file or folder of runs on your own videos (default: where it lay when the run was made)")
    parser.add_argument(
        "--no_thumbnails", action="store_true", help="leave pictures out: a smaller page, written faster"
    )


@no_cycles()
def run(options: argparse.Namespace) -> int:
    """Write the page; print its path, its size, and notes on missing pictures."""
    notes = write_report(options.runs, options.output, thumbnails=not options.no_thumbnails, suite=options.suite)
    to_stderr("".join(f"note: {note}\n" for note in notes))
    to_stdout(f"{options.output} ({options.output.stat().st_size / 2**20:.1f} MiB)\n")
    return 0


COMMAND = Command(run, EXAMPLES, add_arguments, stopped=RESUMED, needs=("vl_convert",))

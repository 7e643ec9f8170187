"""The command: `niah report RUN... -o report.html`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from niah.cli.guard import guarded
from niah.cli.parser import command_parser
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


def main(arguments: Sequence[str]) -> int:
    """Write the page; return 0, or 2 where the user has to mend something."""
    parser = command_parser(
        "niah.report", "Write runs as one page to click through, from the heatmap down to the single case.", EXAMPLES
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a folder that niah run wrote")
    parser.add_argument("-o", "--output", type=Path, default=Path("report.html"), metavar="FILE", help="the page")
    parser.add_argument("--suite", metavar="SUITE", help="suite file of the runs, if of your own videos")
    parser.add_argument("--no_thumbnails", action="store_true", help="a smaller page, written at once")
    options = parser.parse_args(arguments)
    return guarded(lambda: _write(options), place=options.output)


def _write(options: argparse.Namespace) -> int:
    """Write the page and say where it lies, how large it is, and which pictures it lacks."""
    notes = write_report(options.runs, options.output, thumbnails=not options.no_thumbnails, suite=options.suite)
    sys.stderr.write("".join(f"note: {note}\n" for note in notes))
    sys.stdout.write(f"{options.output} ({options.output.stat().st_size / 2**20:.1f} MiB)\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The command: `niah figures RUN... [-o FOLDER] [--style paper] [--with-published]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from niah.analysis.checks.failed_check import as_text
from niah.analysis.checks.runs import check_runs
from niah.analysis.load import join_shards, read_run
from niah.cli.guard import guarded
from niah.figures.draw import CONDITIONS, STYLES, draw_runs, left_out
from niah.types import UserError

EXAMPLES = """\
examples:
  niah figures runs/default-vilamp
      heatmap and memory, each as PNG, SVG and the CSV of its numbers, into the run's folder
  niah figures runs/default-vilamp runs/default-chance -o compared
      two runs side by side
  niah figures runs/paper-vilamp --style paper --with-published
      16 x 5 bins as in the paper, beside the paper's numbers
"""


def main(arguments: list[str] | None = None) -> int:
    """Draw; return 0, or 2 where the user has to mend something."""
    parser = argparse.ArgumentParser(
        prog="niah figures",
        description="Draw accuracy over length and depth, and memory over frames.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a folder that niah run wrote")
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="where figures go; default: the first RUN")
    parser.add_argument("--style", choices=STYLES, default=STYLES[0], help="paper: 16 x 5 bins, scale 0.2 to 0.7")
    parser.add_argument("--with-published", action="store_true", help="add the published numbers, marked as such")
    parser.add_argument("--condition", choices=CONDITIONS, default=CONDITIONS[0], help="of the heatmap")
    options = parser.parse_args(arguments)
    folder = options.output or options.runs[0]
    return guarded(lambda: _draw(options, folder), stopped="stopped", place=folder)


def _draw(options: argparse.Namespace, folder: Path) -> int:
    """Draw, and say which files there are now."""
    runs = [read_run(run) for run in options.runs]
    paths = draw_runs(runs, folder, options.style, condition=options.condition, published=options.with_published)
    if not paths:
        raise UserError(f"nothing to draw: no run holds a case of condition {options.condition!r} on these axes")
    for model in left_out(runs, options.style, options.condition):
        sys.stderr.write(f"not in the heatmap: {model}, which holds no case of {options.condition!r} on these axes\n")
    if options.with_published:
        found = check_runs(join_shards(runs), published=True)
        sys.stderr.write(as_text([doubt for doubt in found if doubt.kind == "published"]) + "\n")
    sys.stdout.write("".join(f"{path}\n" for path in paths))
    return 0


if __name__ == "__main__":
    sys.exit(main())

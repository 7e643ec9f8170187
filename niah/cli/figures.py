"""`niah figures RUN...`: draw accuracy over length and depth, and memory over length."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from niah.analysis.checks.failed_check import as_text
from niah.analysis.checks.runs import check_runs
from niah.analysis.kinds import split_kinds
from niah.analysis.load import RunData, join_shards, read_run
from niah.cli.command import Command
from niah.cli.flags import add_output, add_runs
from niah.figures.draw import CONDITIONS, STYLES, draw_runs, runs_left_out
from niah.figures.trade_off import draw_trade_off
from niah.io import no_cycles
from niah.terminal import to_stderr, to_stdout
from niah.types import UserError

EXAMPLES = """\
examples:
  niah figures runs/default-vilamp
      heatmap and memory, each as PNG, SVG and the CSV of its numbers, into the run's folder
  niah figures runs/default-vilamp runs/default-chance -o compared
      two runs side by side
  niah figures runs/paper-vilamp --style paper --with_published
      16 x 5 bins as in the paper, beside the paper's numbers
  niah figures runs/few runs/many -o compared --trade_off
      accuracy over the tokens and the seconds of a case, a point for each run
  niah figures runs/default-vilamp runs/default-uniform -o compared --gate runs/gate-vilamp runs/gate-uniform
      nothing coloured for a model that does not read the clips alone
"""


GATE = (
    "runs that asked the same models about clips alone (suite gate): the heatmap leaves out types of question read "
    "below 90 %%, and says so (default: no gate)"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    add_runs(parser)
    add_output(parser, "folder of the figures (default: the first RUN)")
    parser.add_argument("--style", choices=STYLES, default=STYLES[0], help="paper: 16 x 5 bins, scale 0.2 to 0.7")
    parser.add_argument("--with_published", action="store_true", help="add the published numbers, marked as such")
    parser.add_argument("--gate", type=Path, nargs="+", default=[], metavar="RUN", help=GATE)
    parser.add_argument(
        "--trade_off", action="store_true", help="accuracy over tokens and over seconds of runs, instead"
    )
    parser.add_argument("--condition", choices=CONDITIONS, default=CONDITIONS[0], help="of the heatmap")


def _folder(options: argparse.Namespace) -> Path:
    """Return the folder that the figures go into."""
    return options.output or options.runs[0]


@no_cycles()
def run(options: argparse.Namespace) -> int:
    """Draw, and print the paths of the files written."""
    runs = [read_run(run) for run in options.runs]
    if options.trade_off:
        return _draw_trade_off(runs, _folder(options))
    paths = draw_runs(
        runs,
        _folder(options),
        options.style,
        condition=options.condition,
        published=options.with_published,
        gates=[read_run(gate) for gate in options.gate],
    )
    if not paths:
        raise UserError(f"nothing to draw: no run has a case of condition {options.condition!r} on these axes")
    for model in runs_left_out(runs, options.style, options.condition):
        to_stderr(f"not in the heatmap: {model}, which has no case of {options.condition!r} on these axes\n")
    if options.with_published:
        failed_checks = check_runs(split_kinds(join_shards(runs)), published=True)
        to_stderr(as_text([failed for failed in failed_checks if failed.kind == "published"]) + "\n")
    to_stdout("".join(f"{path}\n" for path in paths))
    return 0


def _draw_trade_off(runs: Sequence[RunData], folder: Path) -> int:
    """Draw accuracy over cost. Raises UserError where no answer says what it cost."""
    paths = draw_trade_off(runs, folder)
    if not paths:
        raise UserError("nothing to draw: no full case has an answer with tokens or seconds")
    to_stdout("".join(f"{path}\n" for path in paths))
    return 0


COMMAND = Command(run, EXAMPLES, add_arguments, place=_folder)

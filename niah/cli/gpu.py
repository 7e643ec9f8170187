"""`niah gpu`: measure what only a GPU shows, in order of importance, within some minutes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from niah.cli.command import RESUMED, Command
from niah.cli.flags import add_output, comma_separated
from niah.cli.plugins import names
from niah.exit_codes import DONE
from niah.terminal import to_stdout
from niah.tools.gpu import LONG, plan_steps, run_steps
from niah.types import UserError

EXAMPLES = """\
examples:
  niah gpu
      the faults of the device, memory and time of the 7B models at 64 and 1,024 frames, then at 10,000; how much of
      reading the first of them hides; how fast a micro model trains
  niah gpu --size tiny --minutes 20
      a rehearsal on a CPU

Weights are random. Outcomes are appended to steps.jsonl in the output folder as they come, beside the results of niah
bench; the same command goes on where the last one stopped. exit codes: 0 all done, 1 something failed or was left out,
2 a mistake in the command or its files, 3 the disk is full, 130 after Ctrl-C.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--size", choices=tuple(LONG), default="7b", help="tiny runs on a CPU")
    parser.add_argument("--minutes", type=float, default=8.0, metavar="N", help="for all steps together")
    known = names("videoniah.bench")
    help_text = f"those to measure, the most important first (default: {','.join(known)})"
    parser.add_argument("--models", type=comma_separated(str), metavar="NAME,NAME", default=known, help=help_text)
    add_output(parser, "folder of the results", default=Path("results/gpu"))


def run(options: argparse.Namespace) -> int:
    """Run the steps, print each outcome, and name what is left."""
    unknown = sorted(set(options.models) - set(names("videoniah.bench")))
    if unknown:
        raise UserError(f"no benchmark is called {unknown[0]}; known: {', '.join(names('videoniah.bench'))}")
    if not options.minutes > 0:
        raise UserError(f"--minutes is a number above 0, got {options.minutes:g}")
    options.output.mkdir(parents=True, exist_ok=True)
    steps = plan_steps(options.models, options.size, options.output)
    undone = 0
    for outcome in run_steps(steps, options.output / f"steps-{options.size}.jsonl", 60 * options.minutes):
        undone += outcome.status != "done"
        detail = "".join(f"\n    {line}" for line in outcome.detail.strip().splitlines())
        to_stdout(f"{outcome.step}: {outcome.status} ({outcome.seconds:.0f} s){detail}\n")
        sys.stdout.flush()
    return 1 if undone else DONE


COMMAND = Command(run, EXAMPLES, add_arguments, stopped=RESUMED)

"""`niah doctor`: report what will not work on this machine, and how to fix it."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator

from niah.cli.command import Command
from niah.tools.doctor.checks import CHECKS
from niah.tools.doctor.finding import FAIL, OK, WARN, Finding
from niah.types import UserError

ASKED = ("hub",)  # only where it is named: it goes to the network
EXAMPLES = """\
examples:
  niah doctor
      everything but the network, in under a minute
  niah doctor decoders gpu
      only these
  niah doctor hub
      can the hub be reached, for checkpoints and data sets by name?

Every line is ok, warn (something optional will not work) or fail (something needed will not).
exit codes: 0 no line is fail, 1 some line is, 2 a mistake in the command
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    told = f"of: {', '.join(CHECKS)} (default: all but hub)"
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=told)
    parser.add_argument("--timeout", type=float, default=120.0, metavar="SECONDS", help="for one probe")


def run(options: argparse.Namespace) -> int:
    """Check, print as it goes, and return 1 if a check fails."""
    unknown = [name for name in options.checks if name not in CHECKS]
    if unknown:
        raise UserError(f"no check is called {unknown[0]!r}. Known: {', '.join(CHECKS)}")
    if not options.timeout > 0:  # so that "nan" is refused too
        raise UserError(f"--timeout is in seconds and above 0, got {options.timeout:g}")
    return _told(options.checks or [name for name in CHECKS if name not in ASKED], options.timeout)


def _told(checks: list, timeout: float) -> int:
    """Run the checks, print what each finds, and return the exit code."""
    counts: Counter = Counter()
    for name in checks:
        for line in _found(name, timeout):
            counts[line.status] += 1
            _print(line)
    sys.stdout.write(f"{counts[OK]} ok, {counts[WARN]} warn, {counts[FAIL]} fail\n")
    return int(counts[FAIL] > 0)


def _found(name: str, timeout: float) -> Iterator:
    """Yield what a check finds; one that the system lets go no further is a finding too."""
    try:
        yield from CHECKS[name](timeout)
    except (OSError, RuntimeError) as error:  # no more open files, no folder to stand in; RuntimeError: no home
        yield Finding(FAIL, name, str(error), "fix what the system reports, and try again")


def _print(line: Finding) -> None:
    sys.stdout.write(f"{line.status:5} {line.subject:20} {line.message}\n")
    if line.fix:
        sys.stdout.write(f"{'':26} fix: {line.fix}\n")
    sys.stdout.flush()


COMMAND = Command(run, EXAMPLES, add_arguments)

"""`niah doctor`: report what will not work on this machine, and how to fix it."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from niah.cli.command import Command
from niah.terminal import to_stdout
from niah.tools.doctor.checks import CHECKS
from niah.tools.doctor.finding import FAIL, OK, WARN, Finding
from niah.types import UserError

ON_REQUEST = ("hub",)  # needs the network, so it runs only if named
EXAMPLES = """\
examples:
  niah doctor
      everything but the network, in under 20 seconds on an idle machine
  niah doctor decoders gpu
      only these two checks
  niah doctor hub
      can the hub be reached, for checkpoints and data sets by name?

Every line is ok, warn (something optional will not work) or fail (something needed will not).
exit codes: 0 no line is fail, 1 some line is, 2 a mistake in the command
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    help_text = f"some of {', '.join(CHECKS)} (default: all but hub)"
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=help_text)
    parser.add_argument("--timeout", type=float, default=120.0, metavar="SECONDS", help="for one probe")


def run(options: argparse.Namespace) -> int:
    """Run the checks, print each finding at once, and return 1 if a check fails."""
    unknown = [name for name in options.checks if name not in CHECKS]
    if unknown:
        raise UserError(f"no check is called {unknown[0]!r}. Known: {', '.join(CHECKS)}")
    if not options.timeout > 0:  # so that "nan" is refused too
        raise UserError(f"--timeout is in seconds and above 0, got {options.timeout:g}")
    checks = options.checks or [name for name in CHECKS if name not in ON_REQUEST]
    return _run_checks(checks, options.timeout)


def _run_checks(checks: list[str], timeout: float) -> int:
    """Run the checks at once, print what each finds in their order, and return the exit code."""
    counts: Counter[str] = Counter()
    with ThreadPoolExecutor(len(checks)) as threads:  # each probe is a process that imports a large library
        for found in threads.map(lambda name: list(_findings(name, timeout)), checks):
            for finding in found:
                counts[finding.status] += 1
                _print(finding)
    to_stdout(f"{counts[OK]} ok, {counts[WARN]} warn, {counts[FAIL]} fail\n")
    return int(counts[FAIL] > 0)


def _findings(name: str, timeout: float) -> Iterator[Finding]:
    """Yield what a check finds; an error of the system that ends a check is a finding too."""
    try:
        yield from CHECKS[name](timeout)
    except (OSError, RuntimeError) as error:  # too many open files, no current folder; RuntimeError: no home folder
        yield Finding(FAIL, name, str(error), "fix what the system reports, and try again")


def _print(finding: Finding) -> None:
    """Print a finding, and below it how to fix it."""
    to_stdout(f"{finding.status:5} {finding.subject:20} {finding.message}\n")
    if finding.fix:
        to_stdout(f"{'':26} fix: {finding.fix}\n")
    sys.stdout.flush()


COMMAND = Command(run, EXAMPLES, add_arguments)

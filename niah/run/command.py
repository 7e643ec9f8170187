"""The old place of the command; what runs a suite is `niah.cli.run_suite`."""

from __future__ import annotations

from collections.abc import Sequence

from niah.cli.guard import guarded
from niah.cli.run_suite import run_suite as run
from niah.run.arguments import parse


def main(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code; errors are reported on stderr."""
    return guarded(lambda: run(parse(arguments), arguments))

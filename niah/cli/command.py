"""What a command is: flags, a function that runs it, and the text below its flags in --help."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

RESUMED = "stopped; nothing written is lost, and the same command goes on from here"


def _no_flags(parser: argparse.ArgumentParser) -> None:
    """Add nothing."""


def _output(options: argparse.Namespace) -> object:
    """Return the folder or file that -o names, if the command has that flag."""
    return vars(options).get("output")


@dataclass(frozen=True)
class Command:
    """One command of `niah`; a module that is one has it as COMMAND.

    The first line of the module's docstring says what the command does, in the list of commands and in --help.
    """

    run: Callable[[argparse.Namespace], int]  # gets the flags and, as `arguments`, the words they were read from
    epilog: str  # examples, what else to know, exit codes if there are more than every command has
    add_arguments: Callable[[argparse.ArgumentParser], None] = _no_flags
    stopped: str = "stopped"  # printed after Ctrl-C
    place: Callable[[argparse.Namespace], object] = _output  # where it writes, for an error that names no file
    needs: tuple[str, ...] = ()  # packages of an extra that must be installed before the command runs
    passes_on: bool = False  # the arguments go unparsed to the parser of another program

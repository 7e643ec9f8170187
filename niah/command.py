"""The command line as every command has it: examples below the flags, no flag by half its name, an end in words.

Imports no decoder and nothing of a run: machines that only train have neither.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from niah.disk import FULL, CannotWrite, in_words
from niah.types import UserError

DONE, USAGE, INCOMPLETE, INTERRUPTED = 0, 2, 3, 130
RESUMED = "stopped; nothing written is lost, and the same command goes on from here"


def command_parser(name: str, description: str, examples: str) -> argparse.ArgumentParser:
    """Return the parser of `python -m NAME`; `examples` stand below the flags as they are written."""
    return argparse.ArgumentParser(
        prog=f"python -m {name}",
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def guarded(command: Callable[[], int], stopped: str = RESUMED, place: object = None) -> int:
    """Return the exit code of a command; what ended it is said on stderr, and `stopped` at Ctrl-C.

    `place` is where the command writes, for an error that names no file.
    """
    try:
        return command()
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return USAGE
    except CannotWrite as error:
        sys.stderr.write(f"error: {error}\n")
        return INCOMPLETE
    except OSError as error:
        sys.stderr.write(f"error: {in_words(error, place)}\n")
        return INCOMPLETE if error.errno in FULL else USAGE
    except KeyboardInterrupt:
        sys.stderr.write(f"{stopped}\n")
        return INTERRUPTED

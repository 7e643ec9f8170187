"""End a command with a message on stderr and an exit code.

Imports no decoder and nothing of niah.run: machines that only train may have neither.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from niah.exit_codes import DONE, INCOMPLETE, INTERRUPTED, UNREAD, USAGE
from niah.io import DISK_FULL_ERRORS, CannotWrite, describe_os_error
from niah.terminal import to_stderr
from niah.types import UserError

__all__ = ["DONE", "INCOMPLETE", "INTERRUPTED", "UNREAD", "USAGE", "guarded"]
RESUMED = "stopped; nothing written is lost, and the same command goes on from here"


def guarded(command: Callable[[], int], stopped: str = RESUMED, place: object = None) -> int:
    """Return the exit code of a command; report on stderr what ended it, and `stopped` after Ctrl-C.

    `place` is where the command writes, for an error that names no file.
    """
    try:
        code = command()
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python's own flush at exit fails again
        return UNREAD
    except UserError as error:
        to_stderr(f"error: {error}\n")
        return USAGE
    except CannotWrite as error:
        to_stderr(f"error: {error}\n")
        return INCOMPLETE
    except OSError as error:
        to_stderr(f"error: {describe_os_error(error, place)}\n")
        return INCOMPLETE if error.errno in DISK_FULL_ERRORS else USAGE
    except KeyboardInterrupt:
        to_stderr(f"{stopped}\n")
        return INTERRUPTED

"""Where text goes out to the terminal, which obeys some characters: names, replies and settings may be a stranger's.

Every command writes through `to_stdout` and `to_stderr`; what a progress bar shows passes `printable_lines`.
Imports on any Python 3 alone, as `niah doctor` does.
"""

from __future__ import annotations

import re
import sys
import traceback
from types import TracebackType

# Control characters (among them every start of an escape sequence), separators of lines, embeddings and overrides of
# direction, halves of surrogate pairs (of file names that are not UTF-8). Joiners and marks of scripts are harmless.
OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
OBEYED_BUT_LAYOUT = re.compile(OBEYED.pattern.replace("\x00-\x1f", "\x00-\x08\x0b-\x1f"))  # without \t and \n


def to_stdout(text: str) -> None:
    """Write a text to stdout, with every character escaped that a terminal would obey."""
    sys.stdout.write(printable_lines(text))


def to_stderr(text: str) -> None:
    """Write a text to stderr, with every character escaped that a terminal would obey."""
    sys.stderr.write(printable_lines(text))


def printable(text: str) -> str:
    """Return a text on one line, with every character escaped that a terminal would obey."""
    return OBEYED.sub(_escaped, text)


def printable_lines(text: str) -> str:
    """Return a text of several lines likewise, which keeps its line breaks and tabs."""
    return OBEYED_BUT_LAYOUT.sub(_escaped, text)


def print_traceback(kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
    """Print an error and where it was raised, as `sys.excepthook` does: its message may hold what was read."""
    to_stderr("".join(traceback.format_exception(kind, error, trace)))


def _escaped(found: re.Match[str]) -> str:
    return repr(found.group())[1:-1]

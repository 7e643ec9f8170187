"""Where things are kept between runs, and how: whole files or none, and words for what the disk refused.

A full or read-only disk, or a user without a home, is no bug to be traced. Imports no decoder.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from niah.types import UserError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LOST = "the disk or its server fails: look after it, or name another place"
_CLASH = "a file lies where a folder is wanted, or a folder where a file is; name another place"
_ACCESS = "give yourself access, or name another place"
_REMEDIES = {
    **dict.fromkeys(FULL, "free some space and run the same command again"),
    errno.EROFS: "name a place that can be written to",
    errno.EACCES: _ACCESS,
    errno.EPERM: _ACCESS,
    errno.EEXIST: _CLASH,
    errno.ENOTDIR: _CLASH,
    errno.EISDIR: _CLASH,
    errno.ENAMETOOLONG: "use a shorter name",
    errno.ENOENT: "name one that exists",
    errno.ELOOP: "the link leads to itself: name another place",
    **dict.fromkeys((errno.EIO, errno.ESTALE, errno.ENOTCONN), _LOST),
}


class CannotWrite(Exception):
    """The disk takes no more; what was written before is whole."""


def cache_folder() -> Path:
    """Return where footage, measured files and the like are kept: $VIDEONIAH_CACHE, else ~/.cache/videoniah.

    Raises UserError where there is neither.
    """
    chosen = os.environ.get("VIDEONIAH_CACHE")  # made absolute, as an adapter may change directory
    try:
        return Path(chosen).absolute() if chosen else Path.home() / ".cache" / "videoniah"
    except RuntimeError as error:  # a container's user may have no home
        raise UserError(f"the cache has no place ({error}): export VIDEONIAH_CACHE=FOLDER") from None


def partial_of(path: Path) -> Path:
    """Return a name beside `path` to write under until the file is whole; nobody else writes there, on any machine."""
    return path.with_name(f".{uuid4().hex}.partial.{path.name}")  # the ending stays: NumPy and PyAV go by it


def replace_file(path: Path, text: str) -> None:
    """Write a whole file, or leave the old one."""
    partial = partial_of(path)
    try:
        partial.write_text(text, encoding="utf-8", newline="\n")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def in_words(error: OSError, place: object = None) -> str:
    """Return file, cause and remedy; `place` stands in where the error names no file. Raises any other error again."""
    if error.errno not in _REMEDIES:
        raise error
    path = error.filename2 or error.filename or place
    where = f"{path}: " if path is not None else ""
    return f"{where}{error.strerror}; {_REMEDIES[error.errno]}"


def json_lines(rows: Iterable[Any]) -> str:
    """Return rows as JSON lines, without spaces."""
    return "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)


def numbered(text: str) -> Iterator[tuple[int, str]]:
    """Yield each line that is not blank with its number, counted from 1."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line

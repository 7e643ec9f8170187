"""Files: the cache folder, atomic writes, JSON lines, and messages for errors of the disk.

A full or read-only disk is the user's to fix, so its errors become messages with a remedy.
This module imports no decoder.
"""

from __future__ import annotations

import errno
import gzip
import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from niah.types import UserError

DISK_FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LOST = "the disk or its server fails: check it, or name another folder"
_CLASH = "a file is where a folder is needed, or a folder where a file is needed; name another path"
_ACCESS = "grant yourself access, or name another path"
_REMEDIES = {
    **dict.fromkeys(DISK_FULL_ERRORS, "free some space and run the same command again"),
    errno.EROFS: "name a folder that can be written to",
    errno.EACCES: _ACCESS,
    errno.EPERM: _ACCESS,
    errno.EEXIST: _CLASH,
    errno.ENOTDIR: _CLASH,
    errno.EISDIR: _CLASH,
    errno.ENAMETOOLONG: "use a shorter name",
    errno.ENOENT: "name one that exists",
    errno.ELOOP: "the link points to itself: name another path",
    **dict.fromkeys((errno.EIO, errno.ESTALE, errno.ENOTCONN), _LOST),
}


T = TypeVar("T")


class CannotWrite(Exception):
    """The disk refuses a write; what was written before is complete."""


def cache_folder() -> Path:
    """Return the folder of footage, file indexes and other cached data: $VIDEONIAH_CACHE, else ~/.cache/videoniah.

    Raises UserError if neither exists.
    """
    configured = os.environ.get("VIDEONIAH_CACHE")
    if configured:
        return Path(configured).absolute()  # an adapter may change the directory
    try:
        return Path.home() / ".cache" / "videoniah"
    except RuntimeError as error:  # a container's user may have no home
        raise UserError(f"there is no folder for the cache ({error}): export VIDEONIAH_CACHE=FOLDER") from None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of a new, empty file beside `path` that replaces `path` when the block ends.

    If the block raises, `path` stays as it was. A symbolic link at `path` is replaced and its
    target is left alone: an untrusted folder must not choose which files are overwritten.
    """
    path = Path(path)
    temporary = path.with_name(f".{uuid4().hex}.partial.{path.name}")  # keeps the suffix, which NumPy and PyAV read
    try:
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None  # hides the temporary name
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def replace_file(path: Path, content: str | bytes) -> None:
    """Write a file completely, text as UTF-8, or leave the old one. A symbolic link is replaced, not followed."""
    with replacing(path) as temporary:
        if isinstance(content, bytes):
            temporary.write_bytes(content)
        else:
            temporary.write_text(content, encoding="utf-8", newline="\n")


def open_to_append(path: Path) -> int:
    """Open a file to append lines to, create it if it is missing, and return its descriptor.

    Raises UserError if `path` is a symbolic link.
    """
    refuse_link(path)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o666)


def stored_path(path: Path) -> Path | None:
    """Return the path of a file or, where there is no such file, of its gzipped copy `path`.gz; None without either."""
    path = Path(path)
    packed = path.with_name(f"{path.name}.gz")
    return next((file for file in (path, packed) if file.is_file()), None)


def read_unpacked(path: Path) -> bytes:
    """Return the content of a file or, if it is missing, of its gzipped copy `path`.gz.

    Raises FileNotFoundError if neither exists, UserError if the copy is damaged.
    """
    path = Path(path)
    packed = path.with_name(f"{path.name}.gz")
    if path.exists() or not packed.exists():
        return path.read_bytes()
    try:
        return gzip.decompress(packed.read_bytes())
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{packed} is not a complete gzip file ({error}); restore it") from error


def refuse_link(path: Path) -> None:
    """Raise UserError if `path` is a symbolic link."""
    if os.path.islink(path):
        raise UserError(
            f"{path} is a symbolic link, which is never written through; remove the link, or name another folder"
        )


def describe_os_error(error: OSError, place: object = None) -> str:
    """Return the file, the cause and the remedy of an error. Raises the error again if no remedy is known.

    `place` is named if the error names no file.
    """
    if error.errno not in _REMEDIES:
        raise error
    message = f"{error.strerror}; {_REMEDIES[error.errno]}"
    path = error.filename2 or error.filename or place
    return message if path is None else f"{path}: {message}"


def to_json_lines(rows: Iterable[Any]) -> str:
    """Return rows as compact JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)


def read_json_lines(path: Path, parse: Callable[[Any], T], remedy: str) -> Iterator[tuple[int, T]]:
    """Yield (line number, value) for each line of a JSON-lines file, or of its gzipped copy, that is not blank.

    Raises UserError naming the file and the line; see `parse_json_lines`.
    """
    try:
        content = read_unpacked(Path(path))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; {remedy}") from None
    except OSError as error:
        raise UserError(describe_os_error(error)) from None
    return parse_json_lines(content, path, parse, remedy)


def parse_json_lines(
    content: bytes, path: Path, parse: Callable[[Any], T], remedy: str, *, drop_unfinished: bool = False
) -> Iterator[tuple[int, T]]:
    """Yield (line number, value) for each line of JSON that is not blank. Raises UserError naming file and line.

    Args:
        content: The file's content, as bytes: a killed writer may have cut a character in half.
        path: The file, for messages.
        parse: Converts a decoded row; a ValueError, TypeError or KeyError means that the line is damaged.
        remedy: What the user can do about a damaged line; it ends the message.
        drop_unfinished: Skip a last line without a newline, which a killed writer leaves behind.
    """
    lines = content.split(b"\n")
    for number, line in enumerate(lines[:-1] if drop_unfinished else lines, start=1):
        if not line.strip():
            continue
        try:
            value = parse(json.loads(line))
        except UserError as error:
            raise UserError(f"{path}, line {number}: {error}") from None
        # RecursionError: a hundred thousand brackets; OverflowError: numbers of hundreds of digits.
        except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
            raise UserError(f"{path}, line {number} cannot be read ({error!r:.500}); {remedy}") from error
        yield number, value


def numbered_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield each line that is not blank with its number, counted from 1."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line

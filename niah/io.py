"""Files: the cache folder, atomic writes, JSON lines, and messages for errors of the disk.

A full or read-only disk is the user's to fix, so its errors become messages with a remedy.
This module imports no decoder.
"""

from __future__ import annotations

import errno
import gc
import gzip
import io
import json
import os
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar
from uuid import uuid4

from niah.types import UserError

UNPACKED_VARIABLE = "VIDEONIAH_MAX_UNPACKED_GIB"  # what a gzipped file of a stranger may unpack to
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
    with _new_file(path) as new:
        os.close(new.descriptor)
        yield Path(_held(new.folder, Path(path).parent), new.name)


def replace_file(path: Path, content: str | bytes) -> None:
    """Write a file completely, text as UTF-8, or leave the old one. A symbolic link is replaced, not followed."""
    data = content if isinstance(content, bytes) else content.encode("utf-8")
    with _new_file(path) as new, os.fdopen(new.descriptor, "wb") as file:
        file.write(data)


class _NewFile(NamedTuple):
    """A file under a name of its own, in a folder that is held open."""

    folder: int  # descriptor
    name: str
    descriptor: int  # open for writing; whoever gets it closes it


@contextmanager
def _new_file(path: Path) -> Iterator[_NewFile]:
    """Yield a new file that gets the name `path` when the block ends.

    The folder is opened once and everything happens in it, so that a link put in its place meanwhile leads nowhere.
    """
    path = Path(path)
    name = f".{uuid4().hex}.partial.{path.name}"  # keeps the suffix, which NumPy and PyAV read
    with _errors_of(path, name), opened_folder(path.parent) as folder:
        new = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666, dir_fd=folder)
        try:
            yield _NewFile(folder, name, new)
            os.replace(name, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        finally:
            with suppress(FileNotFoundError):  # it has its final name
                os.unlink(name, dir_fd=folder)


@contextmanager
def _errors_of(path: Path, name: str) -> Iterator[None]:
    """Make errors of the disk name the file that was asked for, and not the one it is written as."""
    try:
        yield
    except OSError as error:
        named = "" if error.filename is None else os.fspath(error.filename)
        if name not in named and named != os.fspath(path.parent):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None


@contextmanager
def opened_folder(path: Path) -> Iterator[int]:
    """Yield the descriptor of a folder, for `dir_fd`."""
    # O_PATH asks for no right to list the folder, which writing into it never needed.
    folder = os.open(path, getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY)
    try:
        yield folder
    finally:
        os.close(folder)


def _held(folder: int, path: Path) -> str:
    """Return a path that leads through a folder's descriptor, for libraries that take no descriptor; `path` without."""
    held = f"/proc/{os.getpid()}/fd/{folder}"  # by number: a process that we start may write the file
    return held if os.path.isdir(held) else os.fspath(path)


def open_to_append(path: Path, folder: int | None = None) -> int:
    """Open a file to append lines to, create it if it is missing, and return its descriptor.

    With a `folder`'s descriptor, `path` is relative to it. Raises UserError where `path` is no regular file:
    a symbolic link leads elsewhere, and a pipe waits for its reader.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o666, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _is_link(path) from None
        if error.errno == errno.ENXIO:  # a pipe without a reader
            raise _not_regular(path) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_regular(path)
    return descriptor


def stored_path(path: Path) -> Path | None:
    """Return the path of a file or, where there is no such file, of its gzipped copy `path`.gz; None without either."""
    path = Path(path)
    packed = path.with_name(f"{path.name}.gz")
    return next((file for file in (path, packed) if file.is_file()), None)


def read_unpacked(path: Path) -> bytes:
    """Return the content of a file or, if it is missing, of its gzipped copy; see `unpacked_lines`."""
    return b"".join(unpacked_lines(path))


def unpacked_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file or, if it is missing, of its gzipped copy `path`.gz, newlines included.

    Raises FileNotFoundError if neither exists, UserError if the copy is damaged.
    """
    path = Path(path)
    packed = path.with_name(f"{path.name}.gz")
    if path.exists() or not packed.exists():
        with open_regular(path) as file:
            yield from file
        return
    limit = left = max_unpacked_bytes()
    try:
        with open_regular(packed) as file, gzip.open(file) as unpacked:
            while line := unpacked.readline(left + 1):
                left -= len(line)
                if left < 0:
                    raise UserError(
                        f"{packed} unpacks to more than {limit / 2**30:.3g} GiB; raise {UNPACKED_VARIABLE} if it is "
                        "yours"
                    )
                yield line
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{packed} is not a complete gzip file ({error}); restore it") from error


def read_regular(path: Path) -> bytes:
    """Return the content of a file; see `open_regular`."""
    with open_regular(path) as file:
        return file.read()


@contextmanager
def open_regular(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading. Raises UserError for what never ends, such as a pipe or a device.

    Others' folders hold them as links: reading /dev/zero would take all memory.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise _not_regular(path)
        yield file


def max_unpacked_bytes() -> int:
    """Return to how much a gzipped file may unpack: $VIDEONIAH_MAX_UNPACKED_GIB, else 4 GiB."""
    setting = os.environ.get(UNPACKED_VARIABLE) or "4"
    try:
        return int(float(setting) * 2**30)
    except (ValueError, OverflowError):
        raise UserError(f"{UNPACKED_VARIABLE} must be a number of GiB, got {setting!r}") from None


def refuse_link(path: Path) -> None:
    """Raise UserError if `path` is a symbolic link."""
    if os.path.islink(path):
        raise _is_link(path)


def _is_link(path: Path) -> UserError:
    return UserError(
        f"{path} is a symbolic link, which is never written through; remove the link, or name another folder"
    )


def _not_regular(path: Path) -> UserError:
    return UserError(f"{path} is not a regular file; remove it, or name another folder")


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
    encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode  # `json.dumps` makes one for each row
    return "".join([encode(row) + "\n" for row in rows])


def read_json_lines(
    path: Path, parse: Callable[[Any], T], remedy: str, fast: Callable[[bytes], T | None] | None = None
) -> Iterator[tuple[int, T]]:
    """Yield (line number, value) for each line of a JSON-lines file, or of its gzipped copy, that is not blank.

    Raises UserError naming the file and the line; see `parse_json_lines`.
    """
    try:
        content = read_unpacked(Path(path))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; {remedy}") from None
    except OSError as error:
        raise UserError(describe_os_error(error)) from None
    return parse_json_lines(io.BytesIO(content), path, parse, remedy, fast=fast)


def parse_json_lines(
    lines: Iterable[bytes],
    path: Path,
    parse: Callable[[Any], T],
    remedy: str,
    *,
    drop_unfinished: bool = False,
    fast: Callable[[bytes], T | None] | None = None,
) -> Iterator[tuple[int, T]]:
    """Yield (line number, value) for each line of JSON that is not blank. Raises UserError naming file and line.

    Args:
        lines: The lines, as bytes: a killed writer may have cut a character in half.
        path: The file, for messages.
        parse: Converts a decoded row; a ValueError, TypeError or KeyError means that the line is damaged.
        remedy: What the user can do about a damaged line; it ends the message.
        drop_unfinished: Skip a last line without a newline, which a killed writer leaves behind.
        fast: Converts most lines to what `parse` makes of them, and returns None for those that are left to it.
    """
    for number, line in enumerate(lines, start=1):
        if not line.strip() or (drop_unfinished and not line.endswith(b"\n")):
            continue
        try:
            value = None if fast is None else fast(line)
            if value is None:
                value = parse(json.loads(line))
        except UserError as error:
            raise UserError(f"{path}, line {number}: {error}") from None
        # RecursionError: a hundred thousand brackets; OverflowError: numbers of hundreds of digits.
        except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
            raise UserError(f"{path}, line {number} cannot be read ({error!r:.500}); {remedy}") from error
        yield number, value


@contextmanager
def no_cycles() -> Iterator[None]:
    """Do without garbage collection, which looks at all objects again and again while many are made that stay.

    For code that makes no reference cycles.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def numbered_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield each line that is not blank with its number, counted from 1."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line

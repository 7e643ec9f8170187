"""The cache, which is kept between runs: list its files, and delete them.

All of it can be made again. Only files below folders that the project itself creates are deleted, so that a
$VIDEONIAH_CACHE set to somebody's home folder does no harm; links are neither followed nor deleted.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from niah.types import UserError

KINDS = {
    "footage": "built-in haystacks and needles; drawn again in a minute or so",
    "index": "when each frame of a scanned file is shown; scanned again in seconds to minutes a file",
    "cuts": "where scenes begin in a file of your own; found again in seconds to minutes a file",
    "hashes": "of frames, to find near-duplicates, and of checkpoint files; made again in seconds a file",
    "rendered": "videos of cases, for models that insist on a file; rendered again in a minute or so each",
    "downloads": "videos that needles named by address; downloaded again",
    "frames": "decoded frames of long films; decoded again in hundredths of a second each",
    "suite_places": "where the suites of runs on your own videos lie, for niah report",
}
UNITS = {"h": 3600, "d": 86400, "w": 7 * 86400}


@dataclass(frozen=True)
class CachedFile:
    """One file of the cache."""

    kind: str
    path: Path
    bytes: int
    used: float  # Unix time of the last read or write, as far as the file system records it


def cached_files(root: Path) -> Iterator[CachedFile]:
    """Yield every regular file of the cache's own folders; no link is followed."""
    if not root.is_dir():
        return
    for folder in sorted(root.iterdir()):
        kind = kind_of(folder.name)
        if kind is None or folder.is_symlink():
            continue
        for parent, _, names in os.walk(folder):
            for name in sorted(names):
                try:
                    status = os.lstat(os.path.join(parent, name))
                except FileNotFoundError:  # a run in progress has renamed a partial file
                    continue
                if stat.S_ISREG(status.st_mode):
                    yield CachedFile(kind, Path(parent, name), status.st_size, max(status.st_atime, status.st_mtime))


def clean(root: Path, files: Iterable[CachedFile]) -> None:
    """Delete files of the cache, and folders left empty. Raises UserError for a file outside the cache `root`."""
    for file in files:
        if kind_of(file.path.relative_to(root).parts[0]) is None or ".." in file.path.parts:
            raise UserError(f"{file.path} is no file of the cache {root}")
        _unlink(root, file.path)
        for parent in file.path.parents:
            if parent == root or not _remove_if_empty(parent):
                break


def parse_age(text: str) -> float:
    """Return seconds, given "30d", "12h" or "2w"."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([hdw])", text.strip())
    if match is None:
        raise UserError(f"--older_than is a number with h, d or w (30d), got {text!r}")
    return float(match[1]) * UNITS[match[2]]


def foreign_names(root: Path) -> list[str]:
    """Return the names in the cache folder that are not the cache's; they are never deleted."""
    if not root.is_dir():
        return []
    return sorted(path.name for path in root.iterdir() if kind_of(path.name) is None)


def kind_of(name: str) -> str | None:
    """Return the kind of files in a folder of the cache; None for a folder that is not the cache's."""
    if re.fullmatch(r"footage-\d+", name):
        return "footage"
    return name if name in KINDS and name != "footage" else None


def _remove_if_empty(folder: Path) -> bool:
    """Remove a folder if it is empty; return True if it is gone."""
    try:
        folder.rmdir()
    except FileNotFoundError:  # another command has deleted it
        return True
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        return False
    return True


def _unlink(root: Path, path: Path) -> None:
    """Delete a file; its folders are opened one after the other, so that none of them can be a link."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in path.relative_to(root).parts[:-1]:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        os.unlink(path.name, dir_fd=folder)
    except FileNotFoundError:  # another command has deleted it
        return
    finally:
        os.close(folder)

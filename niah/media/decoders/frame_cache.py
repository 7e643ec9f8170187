"""Frames that were expensive to decode, kept on disk: no film is decoded twice on a machine.

Each frame is a file, named after the source's hash, the decoder and the frame's ordinal, and complete once it has its
name, so that any number of processes read and write side by side. Whatever cannot be read is decoded, and whatever
cannot be written is not kept: results never depend on the cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from functools import lru_cache
from pathlib import Path
from typing import Callable, Iterator, Optional, Sequence, Set

import av

from niah.io import cache_folder, replace_file
from niah.media.bounds import FRAMES_VARIABLE
from niah.media.decoders.lossless import from_bytes, to_bytes
from niah.media.index import Index, Rate
from niah.terminal import to_stderr

FORMAT = 1  # of the files
SPARSE = 4  # where more than one frame in four is wanted, decoding again costs less than keeping
SHARE = 16  # of what the cache may hold is free once films were deleted from a full one
SLICE = 256 << 20  # bytes that a process writes at most before it measures the cache again


class FrameCache:
    """The frames that one decoder keeps, in at most so many bytes; threads may share it."""

    def __init__(self, decoder: str, bytes_: int) -> None:
        self._decoder = hashlib.sha256(f"{FORMAT}/{decoder}".encode()).hexdigest()[:16]
        self._bytes = bytes_
        self._room = 0  # bytes that may be written before the cache is measured again
        self._writes = True
        self._used: Set[Path] = set()  # the folders of sources that were read

    def frames(
        self, index: Index, ordinals: Sequence[int], decode: Callable[[Sequence[int]], Iterator[av.VideoFrame]]
    ) -> Iterator[av.VideoFrame]:
        """Yield the frames with these ascending ordinals; `decode` yields those that are not kept yet."""
        folder = self._folder(index)
        paths = [folder / f"{ordinal}.frame" for ordinal in ordinals]
        missing = {ordinal for ordinal, path in zip(ordinals, paths) if not os.path.exists(path)}
        decoded = decode([ordinal for ordinal in ordinals if ordinal in missing])
        for ordinal, path in zip(ordinals, paths):
            frame = None if ordinal in missing else _load(path)
            if frame is None:
                frame = next(decoded if ordinal in missing else decode([ordinal]))
                self._keep(index, path, frame)
            yield frame

    def _folder(self, index: Index) -> Path:
        """Return the folder of a source's frames; the first time, note that it is used."""
        folder = _root() / f"{index.sha256}-{self._decoder}"
        if folder not in self._used and folder.is_dir():
            self._used.add(folder)
            with contextlib.suppress(OSError):  # a read-only cache is read all the same
                os.utime(folder)
        return folder

    def _keep(self, index: Index, path: Path, frame: av.VideoFrame) -> None:
        """Write a frame, unless there is no room or its source is another file by now."""
        if not self._writes or not index.is_unchanged:
            return
        data = to_bytes(frame)
        try:
            if self._room < len(data):
                self._room = self._make_room(path.parent)
            if self._room < len(data):
                self._stop(f"it holds all that {FRAMES_VARIABLE} and the disk allow")
                return
            with contextlib.suppress(FileExistsError, FileNotFoundError):  # another process makes room
                path.parent.mkdir(parents=True, exist_ok=True)
                replace_file(path, data)
        except OSError as error:
            self._stop(error.strerror or str(error))
        self._room -= len(data)

    def _make_room(self, current: Path) -> int:
        """Delete frames of the sources unused for longest, until there is room; return how many bytes may be written.

        Sources that this process reads stay. Half of the disk's free space stays free.
        """
        self._used.add(current)
        _root().mkdir(parents=True, exist_ok=True)
        sizes = {folder: _bytes_in(folder) for folder in _root().iterdir() if not folder.is_symlink()}
        held = sum(sizes.values())
        most = min(self._bytes, (held + shutil.disk_usage(_root()).free) // 2)
        for folder in sorted(sizes.keys() - self._used, key=_last_use):
            if held <= most - most // SHARE:
                break
            shutil.rmtree(folder, ignore_errors=True)
            held -= sizes[folder] - _bytes_in(folder)
        return min(most - held, SLICE)

    def _stop(self, why: str) -> None:
        """Keep nothing more, and say so."""
        self._writes = False
        _say_once(f"no more decoded frames are kept in {_root()}: {why}; films are decoded again\n")


def is_sparse(index: Index, rate: Rate) -> bool:
    """Return True where so few of a file's frames are wanted at a rate that keeping them pays."""
    return index.count(rate) * SPARSE <= len(index.times)


@lru_cache
def _say_once(line: str) -> None:
    """Write a line to stderr, in this process once: many decoders share a disk."""
    to_stderr(line)


def _root() -> Path:
    return cache_folder() / "frames"


def _load(path: Path) -> Optional[av.VideoFrame]:
    """Return a kept frame; None if it is damaged, unreadable or gone."""
    try:
        return from_bytes(path.read_bytes())
    except OSError:
        return None


def _bytes_in(folder: Path) -> int:
    """Return the bytes of a folder's files; 0 where another process deletes them."""
    with contextlib.suppress(FileNotFoundError):
        return sum(file.stat().st_size for file in os.scandir(folder))
    return 0


def _last_use(folder: Path) -> float:
    """Return the Unix time at which a process last began to read a source's frames, or last wrote one."""
    with contextlib.suppress(FileNotFoundError):
        return folder.stat().st_mtime
    return 0.0

"""The interface of decoders, and decoders by name."""

from __future__ import annotations

import importlib
from collections import Counter, OrderedDict
from typing import Callable, Generator, Generic, Protocol, Sequence, TypeVar

import numpy as np

from niah.media.index import Index
from niah.settings import unknown_name
from niah.types import Sampling, UserError

DEFAULT_DECODER = "pyav"
# torchcodec depends on torch and on a system FFmpeg, so it is an extra.
INSTALL_HINTS = {
    "pyav": "pip install av",
    "decord": "pip install 'videoniah[decord]' (wheels for Linux and Windows on x86-64 only; elsewhere use pyav)",
    "torchcodec": "pip install 'videoniah[torchcodec]' (it needs torch and a system FFmpeg)",
}


OPEN_FILES = 4  # enough for a haystack of several videos and a needle; each buffers a few frames
File = TypeVar("File")
Frames = Generator[np.ndarray, None, None]  # each (height, width, 3) uint8 RGB


class OpenFiles(Generic[File]):
    """The files a decoder keeps open between calls: the few used last, by hash and crop."""

    def __init__(self, open_file: Callable[[Index], File], close_file: Callable[[File], None]) -> None:
        self._open_file = open_file
        self._close_file = close_file
        self._files: "OrderedDict[str, File]" = OrderedDict()

    def __len__(self) -> int:
        return len(self._files)

    def of(self, index: Index) -> File:
        """Return the open file of an index; opening one closes the least recently used if too many are open."""
        if index.key not in self._files:
            while len(self._files) >= OPEN_FILES:
                self._close_file(self._files.popitem(last=False)[1])
            self._files[index.key] = self._open_file(index)
        self._files.move_to_end(index.key)
        return self._files[index.key]

    def close(self) -> None:
        """Close every file."""
        while self._files:
            self._close_file(self._files.popitem()[1])


class Decoder(Protocol):
    """Reads frames by ordinal and keeps a few files open between calls."""

    name: str  # with the versions of the decoder and of FFmpeg; part of every frame key
    decoded: "Counter[str]"  # frames decoded so far, by the file's sha256

    def read(self, index: Index, ordinals: Sequence[int], sampling: Sampling) -> Frames:
        """Yield the frames with these ascending ordinals, each (height, width, 3) uint8 RGB."""
        ...

    def close(self) -> None:
        """Close every open file; a later read opens them again."""
        ...


def load_decoder(name: str = DEFAULT_DECODER) -> Decoder:
    """Return a new decoder. Raises UserError if there is none of that name or it is not installed."""
    if name not in INSTALL_HINTS:
        raise UserError(unknown_name("decoder", name, INSTALL_HINTS))
    try:
        return importlib.import_module(f"niah.media.decoders.{name}").load()
    except (
        ImportError,
        OSError,
        RuntimeError,
    ) as error:  # RuntimeError: torchcodec without FFmpeg
        reason = str(error).strip().split("\n")[0]
        raise UserError(
            f"decoder {name!r} is not installed, or cannot be used ({reason}): {INSTALL_HINTS[name]}"
        ) from error

"""Decoders by name. All take the same calls and, by test, give the same frames."""

from __future__ import annotations

import importlib
from collections import Counter, OrderedDict
from typing import Callable, Generic, Iterator, Protocol, Sequence, TypeVar

import numpy as np

from niah.media.index import Index
from niah.settings import unknown_name
from niah.types import Sampling, UserError

DEFAULT_DECODER = "pyav"
# torchcodec comes with torch and FFmpeg of its own choosing, so it is an extra.
INSTALL_HINTS = {
    "pyav": "pip install av",
    "decord": "pip install 'videoniah[decord]' (wheels for Linux and Windows on x86-64 only; elsewhere use pyav)",
    "torchcodec": "pip install 'videoniah[torchcodec]' (it needs torch and a system FFmpeg)",
}


OPEN_FILES = 4  # a haystack of several videos and a needle; each holds a few frames
File = TypeVar("File")


class OpenFiles(Generic[File]):
    """The files a decoder keeps open between calls, by sha256: the last few used."""

    def __init__(self, start: Callable[[Index], File], end: Callable[[File], None]) -> None:
        self._start = start
        self._end = end
        self._files: "OrderedDict[str, File]" = OrderedDict()

    def __len__(self) -> int:
        return len(self._files)

    def of(self, index: Index) -> File:
        """Return the file of an index, opened if it is not; the longest unused makes way for it."""
        if index.sha256 not in self._files:
            while len(self._files) >= OPEN_FILES:
                self._end(self._files.popitem(last=False)[1])
            self._files[index.sha256] = self._start(index)
        self._files.move_to_end(index.sha256)
        return self._files[index.sha256]

    def close(self) -> None:
        """Close every file."""
        while self._files:
            self._end(self._files.popitem()[1])


class Decoder(Protocol):
    """Reads frames by ordinal; keeps a few files open between calls."""

    name: str  # with its version and FFmpeg's: part of every frame key
    decoded: "Counter[str]"  # frames decoded so far, by the file's sha256

    def read(self, index: Index, ordinals: Sequence[int], sampling: Sampling) -> Iterator[np.ndarray]:
        """Yield the frames with these rising ordinals, each (height, width, 3) uint8 RGB."""
        ...

    def close(self) -> None:
        """Close every open file; a later read opens them again."""
        ...


def load_decoder(name: str = DEFAULT_DECODER) -> Decoder:
    """Return a new decoder. Raises UserError where there is none of that name, or it is not installed."""
    if name not in INSTALL_HINTS:
        raise UserError(unknown_name("decoder", name, INSTALL_HINTS))
    try:
        return importlib.import_module(f"niah.media.decoders.{name}").load()
    except (ImportError, OSError, RuntimeError) as error:  # torchcodec without an FFmpeg is a RuntimeError of pages
        reason = str(error).strip().split("\n")[0]
        raise UserError(
            f"decoder {name!r} is not installed, or not usable ({reason}): {INSTALL_HINTS[name]}"
        ) from error

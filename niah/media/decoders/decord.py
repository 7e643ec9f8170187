"""Read frames with decord: fast where many frames in a row are wanted, and heavy on memory.

decord numbers packets, not frames. Where the two differ (hidden frames of VP8 and VP9,
packed B-frames in AVI) its seeks land on other frames than asked for, while its frames
in sequence are right: such files are only read from the start.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, Iterator, List, Sequence

import av
import decord
import numpy as np
from decord import DECORDError

from niah.media.decoders.base import OpenFiles
from niah.media.decoders.pyav import THREADS
from niah.media.errors import MediaError
from niah.media.index import Index
from niah.media.resize import Resizer
from niah.types import Sampling

FFMPEG = "4.1"  # inside every wheel of decord 0.6.0 (libavcodec 58.35.100)
BATCH_BYTES = 2 << 20  # decord hands over frames at the file's own size; so many of them at a time
NEAR_SECONDS = 0.002  # decord keeps times as floats of the container's milliseconds


class DecordDecoder:
    """Frames of any number of files, a few of them open at a time."""

    def __init__(self) -> None:
        scaler = ".".join(str(part) for part in av.library_versions["libswscale"])
        self.name = f"decord {decord.__version__}, FFmpeg {FFMPEG}, libswscale {scaler}"
        decord.logging.set_level(decord.logging.QUIET)  # its FFmpeg talks through every cut and hidden frame
        self.decoded: "Counter[str]" = Counter()  # decord does not tell; these are the frames it was asked to pass
        self._open = OpenFiles(lambda index: _OpenFile(index, self.decoded), lambda file: None)

    def read(self, index: Index, ordinals: Sequence[int], sampling: Sampling) -> Iterator[np.ndarray]:
        """Yield the frames with these rising ordinals, each (height, width, 3) uint8 RGB.

        Raises MediaError where decord cannot read the file as it was measured.
        """
        file = self._open.of(index)
        size = max(1, BATCH_BYTES // (index.width * index.height * 3))
        for start in range(0, len(ordinals), size):
            for picture in file.pictures(list(ordinals[start : start + size])):
                yield file.shaper.from_rgb(picture, sampling)

    def close(self) -> None:
        """Close every open file; a later read opens them again."""
        self._open.close()


class _OpenFile:
    """One open file and the frame it stands at."""

    def __init__(self, index: Index, decoded: "Counter[str]") -> None:
        self.shaper = Resizer(index)
        self._index = index
        self._decoded = decoded
        self._last = (-1, np.empty(0))  # ordinal and picture read last
        self._open()

    def pictures(self, ordinals: List[int]) -> Iterator[np.ndarray]:
        """Yield (height, width, 3) pictures at the file's own size, in rising order."""
        try:
            yield from self._in_batch(ordinals) if self._seeks else self._in_sequence(ordinals)
        except DECORDError as error:
            raise self._refusal(f"it stops ({_first_line(error)})") from error

    def _open(self) -> None:
        try:
            self._reader: Any = decord.VideoReader(self._index.path, ctx=decord.cpu(0), num_threads=THREADS)
        except DECORDError as error:
            raise self._refusal(f"it cannot open it ({_first_line(error)})") from error
        self._next = 0
        self._seeks = len(self._reader) == len(self._index.times)
        if self._seeks and self._index.stamps is None:
            stated = self._reader.get_frame_timestamp(list(range(len(self._reader))))[:, 0]  # (frames,) seconds
            first = self._index.times[0]
            measured = (np.array(self._index.times) - first) * float(self._index.time_base)
            if np.abs((stated - stated[0]) - measured).max() > NEAR_SECONDS:
                raise self._refusal("it gives the frames other times than were measured")

    def _in_batch(self, ordinals: List[int]) -> Iterator[np.ndarray]:
        self._decoded[self._index.sha256] += len(ordinals)
        yield from self._reader.get_batch(ordinals).asnumpy()

    def _in_sequence(self, ordinals: List[int]) -> Iterator[np.ndarray]:
        """Count frames from the start, because decord's own numbers mean something else here."""
        for ordinal in ordinals:
            if ordinal < self._last[0]:
                self._open()
            while self._next <= ordinal:
                self._last = (self._next, self._reader.next().asnumpy())
                self._next += 1
                self._decoded[self._index.sha256] += 1
            yield self._last[1]

    def _refusal(self, what: str) -> MediaError:
        return MediaError(self._index.path, f"decord cannot read this file: {what}", "use --decoder pyav, which can")


def _first_line(error: Exception) -> str:
    """Return decord's words without its clock, source line, path and stack trace."""
    line = str(error).strip().split("\n")[0]
    return re.sub(r"^\[.*?\] \S+: (\[.*?\] |Check failed: )?", "", line)[:160]


def load() -> DecordDecoder:
    """Return the decoder."""
    return DecordDecoder()

"""Read frames with decord, which is fast for long runs of frames and needs much memory.

decord numbers packets, not frames. Where the two differ (hidden frames of VP8 and VP9,
packed B-frames in AVI) a seek returns the wrong frames, while frames read in sequence are
right. Such files are read from the start.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, Iterator, List, Sequence

import av
import decord
import numpy as np
from decord import DECORDError

from niah.media.decoders.base import Frames, OpenFiles
from niah.media.decoders.reader import THREADS
from niah.media.errors import MediaError
from niah.media.index import Index
from niah.media.resize import Resizer
from niah.types import Sampling

FFMPEG = "4.1"  # inside every wheel of decord 0.6.0 (libavcodec 58.35.100)
BATCH_BYTES = 2 << 20  # of frames read at a time; decord returns them at the file's own size
TOLERANCE_SECONDS = 0.002  # decord stores times as floats of the container's milliseconds


class DecordDecoder:
    """Decode frames of any number of files, with a few files open at a time."""

    def __init__(self) -> None:
        scaler = ".".join(str(part) for part in av.library_versions["libswscale"])
        self.name = f"decord {decord.__version__}, FFmpeg {FFMPEG}, libswscale {scaler}"
        decord.logging.set_level(decord.logging.QUIET)  # its FFmpeg logs every cut and every hidden frame
        self.decoded: "Counter[str]" = Counter()  # requested frames: decord does not report how many it decodes
        self._open = OpenFiles(lambda index: _OpenFile(index, self.decoded), lambda file: None)

    def read(self, index: Index, ordinals: Sequence[int], sampling: Sampling) -> Frames:
        """Yield the frames with these ascending ordinals, each (height, width, 3) uint8 RGB.

        Raises MediaError if decord does not read the file as it was scanned.
        """
        file = self._open.of(index)
        size = max(1, BATCH_BYTES // (index.width * index.height * 3))
        for start in range(0, len(ordinals), size):
            for picture in file.pictures(list(ordinals[start : start + size])):
                yield file.resizer.from_rgb(picture, sampling)

    def close(self) -> None:
        """Close every open file; a later read opens them again."""
        self._open.close()


class _OpenFile:
    """One open file and its current frame."""

    def __init__(self, index: Index, decoded: "Counter[str]") -> None:
        self.resizer = Resizer(index)
        self._index = index
        self._decoded = decoded
        self._last = (-1, np.empty(0))  # ordinal and picture of the frame read last
        self._open()

    def pictures(self, ordinals: List[int]) -> Iterator[np.ndarray]:
        """Yield (height, width, 3) pictures at the file's own size, in ascending order."""
        try:
            yield from self._read_batch(ordinals) if self._can_seek else self._read_in_sequence(ordinals)
        except DECORDError as error:
            raise self._error(f"reading stops ({_first_line(error)})") from error

    def _open(self) -> None:
        """Open the file at its first frame. Raises MediaError if decord's presentation times differ from the scan's."""
        try:
            self._reader: Any = decord.VideoReader(self._index.path, ctx=decord.cpu(0), num_threads=THREADS)
        except DECORDError as error:
            raise self._error(f"opening it fails ({_first_line(error)})") from error
        self._next = 0
        self._can_seek = len(self._reader) == len(self._index.times)
        if self._can_seek and self._index.pts is None:
            reported = self._reader.get_frame_timestamp(list(range(len(self._reader))))[:, 0]  # (frames,) seconds
            first = self._index.times[0]
            scanned = (np.array(self._index.times) - first) * float(self._index.time_base)  # (frames,) seconds
            if np.abs((reported - reported[0]) - scanned).max() > TOLERANCE_SECONDS:
                raise self._error("its presentation times differ from those of the scan")

    def _read_batch(self, ordinals: List[int]) -> Iterator[np.ndarray]:
        """Seek to each frame."""
        self._decoded[self._index.sha256] += len(ordinals)
        yield from self._reader.get_batch(ordinals).asnumpy()

    def _read_in_sequence(self, ordinals: List[int]) -> Iterator[np.ndarray]:
        """Count frames from the start, because decord numbers the packets of this file."""
        for ordinal in ordinals:
            if ordinal < self._last[0]:
                self._open()
            while self._next <= ordinal:
                self._last = (self._next, self._reader.next().asnumpy())
                self._next += 1
                self._decoded[self._index.sha256] += 1
            yield self._last[1]

    def _error(self, what: str) -> MediaError:
        return MediaError(self._index.path, f"decord cannot read this file: {what}", "use --decoder pyav, which can")


def _first_line(error: Exception) -> str:
    """Return the message of a decord error without time, source line, path and stack trace."""
    line = str(error).strip().split("\n")[0]
    return re.sub(r"^\[.*?\] \S+: (\[.*?\] |Check failed: )?", "", line)[:160]


def load() -> DecordDecoder:
    """Return the decoder."""
    return DecordDecoder()

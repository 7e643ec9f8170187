"""Read frames with decord, which is fast for long runs of frames and needs much memory.

decord numbers packets, not frames. Where the two differ (hidden frames of VP8 and VP9,
packed B-frames in AVI) a seek returns the wrong frames, while frames read in sequence are
right. Such files are read from the start. Elsewhere decord returns wrong frames with the right
times (MPEG-TS, B-frames in AVI and ASF), so each file is compared with PyAV at a few places
before its first frame is read.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from pathlib import Path
from typing import Any, Iterator, List, Sequence

import av
import decord
import numpy as np
from decord import DECORDError

from niah.media.container import refuse_playlist
from niah.media.decoders.base import Frames, OpenFiles
from niah.media.decoders.reader import THREADS, FrameReader
from niah.media.errors import MediaError
from niah.media.index import Index
from niah.media.resize import Resizer
from niah.types import Sampling

FFMPEG = "4.1"  # inside every wheel of decord 0.6.0 (libavcodec 58.35.100)
BATCH_BYTES = 2 << 20  # of frames read at a time; decord returns them at the file's own size
PLACES = 6  # at which a file is compared with PyAV
NEIGHBOURS = 2  # frames before and after a place: none of them may be more like what decord returns
SAME_LEVELS = 2.0  # of 256, the mean difference from which pictures are others; ten-bit colour differs by 0.3
COMPARED = Sampling("native", 64, 64)
TOLERANCE_SECONDS = 0.002  # decord stores times as floats of the container's milliseconds


class DecordDecoder:
    """Decode frames of any number of files, with a few files open at a time."""

    def __init__(self) -> None:
        scaler = ".".join(str(part) for part in av.library_versions["libswscale"])
        self.name = f"decord {decord.__version__}, FFmpeg {FFMPEG}, libswscale {scaler}"
        decord.logging.set_level(decord.logging.QUIET)  # its FFmpeg logs every cut and every hidden frame
        self.decoded: "Counter[str]" = Counter()  # requested frames: decord does not report how many it decodes
        self._verified: "set[str]" = set()  # files, by sha256
        self._open = OpenFiles(self._open_file, lambda file: None)

    def read(self, index: Index, ordinals: Sequence[int], sampling: Sampling) -> Frames:
        """Yield the frames with these ascending ordinals, each (height, width, 3) uint8 RGB.

        Raises MediaError if decord does not read the file as it was scanned.
        """
        file = self._open.of(index)
        size = max(1, BATCH_BYTES // (index.width * index.height * 3))
        for start in range(0, len(ordinals), size):
            for picture in file.pictures(list(ordinals[start : start + size])):
                yield file.resizer.from_rgb(picture, sampling)

    def _open_file(self, index: Index) -> "_OpenFile":
        """Open a file; the first time, compare a few frames with PyAV's. Raises MediaError if they are others."""
        file = _OpenFile(index, self.decoded)
        if index.sha256 not in self._verified:
            counted = self.decoded[index.sha256]
            file.verify()
            self.decoded[index.sha256] = counted  # what was decoded for comparison is no part of reading
            self._verified.add(index.sha256)
            file = _OpenFile(index, self.decoded)
        return file

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

    def verify(self) -> None:
        """Raise MediaError if a frame at one of a few places is not the one that PyAV returns."""
        last = len(self._index.times) - 1
        drawn = random.Random(self._index.sha256)
        places = sorted({drawn.randint(part * last // PLACES, (part + 1) * last // PLACES) for part in range(PLACES)})
        resizer, reader = Resizer(self._index), FrameReader(self._index)
        for place in places:
            around = list(range(max(0, place - NEIGHBOURS), min(last, place + NEIGHBOURS) + 1))
            right = np.stack([resizer.from_frame(frame, COMPARED) for frame in reader.read(around)]).astype(int)
            (picture,) = self.pictures([place])
            found = resizer.from_rgb(picture, COMPARED)
            apart = np.abs(right - found).mean((1, 2, 3))  # (around,) levels
            here = apart[around.index(place)]
            if here > SAME_LEVELS or here > apart.min() + 0.01:
                reader.close()
                raise self._error(
                    f"its frame {place} is not the one shown at {float(self._index.time_of(place)):.2f} s"
                )
        reader.close()

    def _open(self) -> None:
        """Open the file at its first frame. Raises MediaError if decord's presentation times differ from the scan's."""
        refuse_playlist(Path(self._index.path))  # decord's FFmpeg would open what it names
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

"""Read frames with PyAV: the default, and the one decoder a worker always has.

A file stays open between calls, so that cases which go on where the last one ended
decode it about once. Every frame's presentation time is held against the index: a
seek that lands elsewhere is undone by decoding from the start.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections import Counter
from typing import Any, Iterator, Sequence

import av
import numpy as np
from av.error import FFmpegError

from niah.media.container import open_video
from niah.media.decoders.base import OpenFiles
from niah.media.errors import MediaError, reencode
from niah.media.index import Index
from niah.media.resize import Resizer
from niah.types import Sampling

THREADS = min(4, os.cpu_count() or 1)  # each thread of FFmpeg's holds a frame of its own
NEAR = 16  # frames: up to here decoding on is no dearer than a seek, which empties the decoder


class PyavDecoder:
    """Frames of any number of files, a few of them open at a time."""

    def __init__(self) -> None:
        self.name = f"pyav {av.__version__}, FFmpeg {av.ffmpeg_version_info}"
        self.decoded: "Counter[str]" = Counter()  # frames that came out of FFmpeg, by the file's sha256
        self._open = OpenFiles(lambda index: _OpenFile(index, self.decoded), _OpenFile.close)

    def read(self, index: Index, ordinals: Sequence[int], sampling: Sampling) -> Iterator[np.ndarray]:
        """Yield the frames with these rising ordinals, each (height, width, 3) uint8 RGB.

        Raises MediaError where the file does not deliver what its index says.
        """
        file = self._open.of(index)
        for ordinal in ordinals:
            yield file.shaper.from_frame(file.frame(ordinal), sampling)

    def close(self) -> None:
        """Close every open file; a later read opens them again."""
        self._open.close()


class _OpenFile:
    """One open file and the frame it stands at."""

    def __init__(self, index: Index, decoded: "Counter[str]") -> None:
        self.shaper = Resizer(index)
        self._index = index
        self._stamps = index.stamps or index.times
        self._decoded = decoded
        self._keyframes = index.keyframes
        self._container: Any = None
        self._restart()

    def close(self) -> None:
        if self._container is not None:
            self._container.close()

    def frame(self, ordinal: int) -> Any:
        """Return the decoded frame with this ordinal: from here, from a keyframe, or from the start."""
        known = bisect_right(self._keyframes, ordinal)
        key = self._keyframes[known - 1] if known else None
        if key is not None and (ordinal < self._ordinal or key > self._ordinal + NEAR):
            if not self._seek(key):
                self._keyframes = ()
                self._restart()
        elif ordinal < self._ordinal:
            self._restart()
        while self._ordinal < ordinal:
            self._step()
        return self._frame

    def _restart(self) -> None:
        self.close()
        self._container, self._stream = open_video(self._index.path)
        self._stream.thread_type = "AUTO"
        self._stream.codec_context.thread_count = THREADS
        self._frames = self._decode()
        self._ordinal = -1
        self._frame: Any = None

    def _seek(self, key: int) -> bool:
        """Stand at keyframe `key`; return False where the file does not lead there."""
        wanted = self._stamps[key]
        self._ordinal = -1  # unknown, until a frame says where this is
        try:
            self._container.seek(wanted, stream=self._stream, backward=True)
            self._frames = self._decode()
            frame = next((frame for frame in self._frames if frame.pts is None or frame.pts >= wanted), None)
        except FFmpegError:  # some containers cannot seek; then the file is read from the start
            return False
        if frame is None or frame.pts != wanted:
            return False
        self._ordinal, self._frame = key, frame
        return True

    def _step(self) -> None:
        """Go on by one frame, and check that it is the one the index names."""
        try:
            frame = next(self._frames, None)
        except FFmpegError as error:
            raise self._wrong(f"frame {self._ordinal + 1} does not decode ({error.strerror})") from error
        if frame is None:
            raise self._wrong(f"it ends after {self._ordinal + 1} of {len(self._stamps)} frames")
        self._ordinal += 1
        self._frame = frame
        if self._ordinal == len(self._stamps) or frame.pts != self._stamps[self._ordinal]:
            raise self._wrong(f"frame {self._ordinal} comes at tick {frame.pts}, not where it was measured")

    def _decode(self) -> Iterator[Any]:
        """Yield frames in showing order. Packets before the first keyframe of a cut do not decode: they are skipped."""
        begun = False
        for packet in self._container.demux(self._stream):
            try:
                frames = packet.decode()
            except FFmpegError:
                if begun:
                    raise
                continue
            for frame in frames:
                begun = True
                self._decoded[self._index.sha256] += 1
                yield frame

    def _wrong(self, what: str) -> MediaError:
        self.close()
        return MediaError(self._index.path, f"it does not read as it was measured: {what}", reencode(self._index.path))


def load() -> PyavDecoder:
    """Return the decoder."""
    return PyavDecoder()

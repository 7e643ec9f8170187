"""Read frames with PyAV, the default decoder and the only one that every worker has.

A file stays open between calls, so that cases which continue where the last one ended decode
it about once. Every frame's presentation time is checked against the index. After a seek to
the wrong frame, the file is decoded from the start.
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

THREADS = min(4, os.cpu_count() or 1)  # each FFmpeg thread buffers a frame
DECODE_AHEAD = 16  # frames: up to here decoding is not slower than a seek, which flushes the decoder


class PyavDecoder:
    """Decode frames of any number of files, with a few files open at a time."""

    def __init__(self) -> None:
        self.name = f"pyav {av.__version__}, FFmpeg {av.ffmpeg_version_info}"
        self.decoded: "Counter[str]" = Counter()  # frames decoded by FFmpeg, by the file's sha256
        self._open = OpenFiles(lambda index: _OpenFile(index, self.decoded), _OpenFile.close)

    def read(self, index: Index, ordinals: Sequence[int], sampling: Sampling) -> Iterator[np.ndarray]:
        """Yield the frames with these ascending ordinals, each (height, width, 3) uint8 RGB.

        Raises MediaError if the file does not yield the frames of its index.
        """
        file = self._open.of(index)
        for ordinal in ordinals:
            yield file.resizer.from_frame(file.frame(ordinal), sampling)

    def close(self) -> None:
        """Close every open file; a later read opens them again."""
        self._open.close()


class _OpenFile:
    """One open file and its current frame."""

    def __init__(self, index: Index, decoded: "Counter[str]") -> None:
        self.resizer = Resizer(index)
        self._index = index
        self._pts = index.pts or index.times
        self._decoded = decoded
        self._keyframes = index.keyframes
        self._container: Any = None
        self._restart()

    def close(self) -> None:
        if self._container is not None:
            self._container.close()

    def frame(self, ordinal: int) -> Any:
        """Return the decoded frame with this ordinal: decode on, from a keyframe, or from the start."""
        before = bisect_right(self._keyframes, ordinal)  # keyframes up to this frame
        keyframe = self._keyframes[before - 1] if before else None
        if keyframe is not None and (ordinal < self._ordinal or keyframe > self._ordinal + DECODE_AHEAD):
            if not self._seek(keyframe):
                self._keyframes = ()
                self._restart()
        elif ordinal < self._ordinal:
            self._restart()
        while self._ordinal < ordinal:
            self._step()
        return self._frame

    def _restart(self) -> None:
        """Open the file again, in front of its first frame."""
        self.close()
        self._container, self._stream = open_video(self._index.path)
        self._stream.thread_type = "AUTO"
        self._stream.codec_context.thread_count = THREADS
        self._frames = self._decode()
        self._ordinal = -1
        self._frame: Any = None

    def _seek(self, keyframe: int) -> bool:
        """Seek to the keyframe with this ordinal; return False if another frame comes, or none."""
        wanted = self._pts[keyframe]
        self._ordinal = -1  # unknown until a frame has been decoded
        try:
            self._container.seek(wanted, stream=self._stream, backward=True)
            self._frames = self._decode()
            frame = next((frame for frame in self._frames if frame.pts is None or frame.pts >= wanted), None)
        except FFmpegError:  # some containers cannot seek
            return False
        if frame is None or frame.pts != wanted:
            return False
        self._ordinal = keyframe
        self._frame = frame
        return True

    def _step(self) -> None:
        """Decode the next frame and check its presentation time against the index."""
        try:
            frame = next(self._frames, None)
        except FFmpegError as error:
            raise self._mismatch(f"frame {self._ordinal + 1} does not decode ({error.strerror})") from error
        if frame is None:
            raise self._mismatch(f"it ends after {self._ordinal + 1} of {len(self._pts)} frames")
        self._ordinal += 1
        self._frame = frame
        if self._ordinal == len(self._pts) or frame.pts != self._pts[self._ordinal]:
            raise self._mismatch(f"frame {self._ordinal} has presentation time {frame.pts}, which is not the index's")

    def _decode(self) -> Iterator[Any]:
        """Yield frames in display order.

        In a file cut between keyframes the packets before the first keyframe do not decode; they are skipped.
        """
        started = False
        for packet in self._container.demux(self._stream):
            try:
                frames = packet.decode()
            except FFmpegError:
                if started:
                    raise
                continue
            for frame in frames:
                started = True
                self._decoded[self._index.sha256] += 1
                yield frame

    def _mismatch(self, what: str) -> MediaError:
        """Close the file and return the error for one that differs from its index."""
        self.close()
        return MediaError(self._index.path, f"it does not read as it was scanned: {what}", reencode(self._index.path))


def load() -> PyavDecoder:
    """Return the decoder."""
    return PyavDecoder()

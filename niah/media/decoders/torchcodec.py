"""Read frames with torchcodec, an extra that depends on torch and a system FFmpeg.

torchcodec seeks by presentation time and returns the time it found, so every frame is checked
against the index. In files whose presentation times are out of order, a frame is requested by
the stored time, although it is wrong.
"""

from __future__ import annotations

from collections import Counter
from importlib.metadata import version
from typing import Any, List, Sequence

import av
import numpy as np
import torchcodec  # pyright: ignore[reportMissingImports] (an extra)
from torchcodec.decoders import VideoDecoder  # pyright: ignore[reportMissingImports]

from niah.media.container import open_video
from niah.media.decoders.base import Frames, OpenFiles
from niah.media.decoders.reader import THREADS
from niah.media.errors import MediaError
from niah.media.index import Index
from niah.media.resize import Resizer
from niah.types import Sampling

BATCH_BYTES = 16 << 20  # of frames read at a time; they have the file's own size


class TorchcodecDecoder:
    """Decode frames of any number of files, with a few files open at a time."""

    def __init__(self) -> None:
        scaler = ".".join(str(part) for part in av.library_versions["libswscale"])
        ffmpeg = torchcodec.ffmpeg_major_version  # pyright: ignore[reportAttributeAccessIssue] (an extra)
        self.name = f"torchcodec {version('torchcodec')}, FFmpeg {ffmpeg}, libswscale {scaler}"
        self.decoded: "Counter[str]" = Counter()  # returned frames: torchcodec does not report how many it decodes
        self._open = OpenFiles(_OpenFile, lambda file: None)

    def read(self, index: Index, ordinals: Sequence[int], sampling: Sampling) -> Frames:
        """Yield the frames with these ascending ordinals, each (height, width, 3) uint8 RGB.

        Raises MediaError if torchcodec does not read the file as it was scanned.
        """
        file = self._open.of(index)
        size = max(1, BATCH_BYTES // (index.width * index.height * 3))
        for start in range(0, len(ordinals), size):
            wanted = list(ordinals[start : start + size])
            self.decoded[index.sha256] += len(wanted)
            for picture in file.pictures(wanted):
                yield file.resizer.from_rgb(picture, sampling)

    def close(self) -> None:
        """Close every open file; a later read opens them again."""
        self._open.close()


class _OpenFile:
    """One open file."""

    def __init__(self, index: Index) -> None:
        self.resizer = Resizer(index)
        self._index = index
        self._pts = index.pts or index.times
        try:
            self._decoder: Any = VideoDecoder(
                index.path, stream_index=_stream_index(index), dimension_order="NHWC", num_ffmpeg_threads=THREADS
            )
        except (RuntimeError, ValueError) as error:
            raise self._error(f"opening it fails ({str(error).splitlines()[0][:160]})") from error

    def pictures(self, ordinals: List[int]) -> np.ndarray:
        """Return (count, height, width, 3) pictures at the file's own size, after checking the time of each."""
        base = float(self._index.time_base)
        # A quarter of a tick later, because a time short by a rounding error selects the frame before.
        seconds = [(self._pts[ordinal] + 0.25) * base for ordinal in ordinals]
        try:
            batch = self._decoder.get_frames_played_at(seconds)
        except (RuntimeError, IndexError) as error:
            raise self._error(f"reading stops ({str(error).splitlines()[0][:160]})") from error
        for ordinal, found in zip(ordinals, batch.pts_seconds.tolist()):
            if round(found / base) != self._pts[ordinal]:
                raise self._error(f"it returns the frame at {found:.3f} s as frame {ordinal}")
        return batch.data.numpy()

    def _error(self, what: str) -> MediaError:
        return MediaError(
            self._index.path, f"torchcodec cannot read this file: {what}", "use --decoder pyav, which can"
        )


def _stream_index(index: Index) -> int:
    """Return which of a file's streams was scanned. Raises MediaError for what only names other files."""
    container, stream = open_video(index.path)
    with container:
        return stream.index


def load() -> TorchcodecDecoder:
    """Return the decoder."""
    return TorchcodecDecoder()

"""Read frames with PyAV, the default decoder and the only one that every worker has.

Files stay open between calls, so that cases which continue where the last one ended decode
a file about once. A long read is cut at keyframes and decoded by several threads, each with a reader of its own.
Frames of which few in a file are wanted are kept on disk, and read from there the next time.
"""

from __future__ import annotations

import threading
from collections import Counter
from functools import partial
from typing import List, Optional, Sequence

import av

from niah.media.bounds import frame_cache_bytes
from niah.media.decoders.base import OPEN_FILES, Frames
from niah.media.decoders.frame_cache import FrameCache, is_sparse
from niah.media.decoders.reader import THREADS, FrameReader
from niah.media.decoders.runs import SHORTEST_RUN, cut_runs, keyframe_of, readers_for
from niah.media.errors import MediaError
from niah.media.in_order import in_order
from niah.media.index import Index
from niah.media.resize import Resizer
from niah.types import Sampling

AHEAD_BYTES = 48 << 20  # of resized frames that threads hold until they are asked for


class PyavDecoder:
    """Decode frames of any number of files, with a few readers open at a time.

    Args:
        skips: whether frames that nobody wants are left out where nothing depends on them.
        most_readers: of one file at a time; None for as many as there are cores and memory for.
        keeps: whether decoded frames are kept on disk, and read from there.
    """

    def __init__(self, skips: bool = True, most_readers: Optional[int] = None, keeps: bool = True) -> None:
        self.name = f"pyav {av.__version__}, FFmpeg {av.ffmpeg_version_info}"
        self.decoded: "Counter[str]" = Counter()  # frames decoded by FFmpeg, by the file's sha256
        self._readers = _Readers(self.decoded, skips)
        self._most_readers = most_readers
        kept_bytes = frame_cache_bytes() if keeps else 0
        self._cache = FrameCache(self.name, kept_bytes) if kept_bytes else None

    def read(self, index: Index, ordinals: Sequence[int], sampling: Sampling) -> Frames:
        """Yield the frames with these ascending ordinals, each (height, width, 3) uint8 RGB.

        Raises MediaError if the file does not yield the frames of its index.
        """
        runs = cut_runs(ordinals, index.keyframes, SHORTEST_RUN)
        readers = min(self._most_readers or readers_for(index), len(runs))
        limit = max(1, AHEAD_BYTES // (sampling.height * sampling.width * 3))
        if readers > 1 and len(ordinals) <= 2 * limit * len(runs):
            tasks = [partial(self._read_run, index, run, sampling, 1) for run in runs]
            yield from in_order(tasks, readers, limit)
        else:  # where a run fills what may be held, no other thread could work meanwhile; FFmpeg's own threads can
            yield from self._read_run(index, ordinals, sampling, THREADS)

    def close(self) -> None:
        """Close every open file; a later read opens them again."""
        self._readers.close()

    def _read_run(self, index: Index, ordinals: Sequence[int], sampling: Sampling, threads: int) -> Frames:
        """Yield frames of one run, which one reader decodes with so many threads of FFmpeg's."""
        if not ordinals:
            return
        cache = self._cache if is_sparse(index, sampling.rate) else None
        file = self._readers.take(index, ordinals[0], threads)
        read = file.reader.read
        try:
            for frame in cache.frames(index, ordinals, read) if cache else read(ordinals):
                yield file.resizer.from_frame(frame, sampling)
        except MediaError:
            file.is_sound = False
            file.reader.close()
            raise
        finally:
            self._readers.give_back(file)


class _OpenFile:
    """One reader of one file and what resizes its frames."""

    def __init__(self, index: Index, threads: int, skips: bool) -> None:
        self.kind = (index.key, threads)
        self.sha256 = index.sha256
        self.is_sound = True  # False once the file did not read as it was scanned
        self.counted = 0  # decoded frames that are in the decoder's count
        self.reader = FrameReader(index, threads, skips)
        self.resizer = Resizer(index)


class _Readers:
    """The readers that are open and not in use: the few used last. Any thread may take one."""

    def __init__(self, decoded: "Counter[str]", skips: bool) -> None:
        self._decoded = decoded
        self._skips = skips
        self._idle: List[_OpenFile] = []  # the one used last comes last
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._idle)

    def take(self, index: Index, ordinal: int, threads: int) -> _OpenFile:
        """Return a reader to read from this frame on; best one that is between the frame's keyframe and the frame."""
        keyframe = keyframe_of(ordinal, index.keyframes)
        with self._lock:
            mine = [file for file in self._idle if file.kind == (index.key, threads)]
            near = [file for file in mine if keyframe <= file.reader.position <= ordinal]
            if mine:
                file = max(near, key=lambda file: file.reader.position) if near else mine[0]
                self._idle.remove(file)
                return file
        return _OpenFile(index, threads, self._skips)

    def give_back(self, file: _OpenFile) -> None:
        """Keep a reader for later, and close the one that has been idle longest where there are too many."""
        with self._lock:
            self._decoded[file.sha256] += file.reader.decoded - file.counted
            file.counted = file.reader.decoded
            if file.is_sound:
                self._idle.append(file)
            mine = sum(other.kind == file.kind for other in self._idle)
            surplus = self._idle[: -max(OPEN_FILES, mine)]
            self._idle = self._idle[len(surplus) :]
        for other in surplus:
            other.reader.close()

    def close(self) -> None:
        """Close every reader."""
        with self._lock:
            files, self._idle = self._idle, []
        for file in files:
            file.reader.close()


def load() -> PyavDecoder:
    """Return the decoder."""
    return PyavDecoder()

"""A video that is spliced while it is read.

Frames are decoded on request and not kept: reading a 10,000-frame case needs memory for a few
chunks of frames. Frames that are announced are decoded ahead, in threads, while a model computes.
The time spent waiting for them is counted, so that it can be left out of a model's time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from bisect import bisect_right
from fractions import Fraction
from pathlib import Path
from typing import Dict, Generator, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

import numpy as np

from niah.media.decoders.base import Decoder
from niah.media.errors import MediaError
from niah.media.frame_keys import frame_keys
from niah.media.in_order import in_order
from niah.media.index import Index
from niah.media.resize import case_sampling
from niah.media.scan import scan
from niah.media.writer import write_mp4
from niah.types import FrameKey, Sampling, Source, Span

AHEAD_FRAMES = 128  # of those announced; decoded before they are asked for
AHEAD_BYTES = 256 << 20  # likewise; fewer frames where they are large


class SplicedVideo:
    """The frames of a timeline, one span after another; fulfils `niah.types.Video`."""

    def __init__(
        self,
        timeline: Sequence[Span],
        sources: Mapping[str, Source],
        sampling: Sampling,
        decoder: Decoder,
        fps: float,
        render_folder: Path,
        canvas: Optional[str] = None,
    ) -> None:
        """Splice a timeline.

        Args:
            timeline: The spans, in the order of the video.
            sources: The files that the spans name.
            sampling: The rate at which spans count frames, and the size of a frame.
            decoder: Reads the frames.
            fps: Frames per second of the video, as reported to the model.
            render_folder: Where `path` writes the video.
            canvas: The source whose displayed size all frames have where the sampling is of the case (`Case.canvas`);
                by default that of the first span.
        """
        self.fps = fps
        self.handed_out: Set[int] = set()
        self.decode_seconds = 0.0
        self._timeline = tuple(timeline)
        self._sources = sources
        self._sampling = sampling
        self._canvas = canvas
        self._decoder = decoder
        self._render_folder = Path(render_folder)
        self._starts = [0]  # the frame at which each span begins, then the length of the video
        for span in self._timeline:
            self._starts.append(self._starts[-1] + len(span))
        self._indices: Dict[str, Index] = {}
        self._announced: List[int] = []  # what is decoded ahead, in this order
        self._taken = 0  # of those
        self._ahead: Optional[Generator[np.ndarray, None, None]] = None  # yields their pictures

    def __len__(self) -> int:
        return self._starts[-1]

    @property
    def sampling(self) -> Sampling:
        """The size of this video's frames, and the rate. Raises MediaError if the file that decides it is damaged."""
        if self._sampling.of_case and self._timeline:
            self._sampling = case_sampling(self._sampling, self._index(self._canvas or self._timeline[0].source))
        return self._sampling

    def frames(self, indices: Sequence[int]) -> np.ndarray:
        """Return the named frames in the order named, (count, height, width, 3) uint8.

        Raises IndexError outside the video, MediaError if a source cannot be read.
        """
        wanted = [int(index) for index in indices]
        frames = self._take(wanted)
        self.handed_out.update(wanted)
        return frames

    def announce(self, indices: Sequence[int], ahead: int = AHEAD_FRAMES) -> None:
        """Decode frames ahead of being asked for them: up to `ahead` of these, in this order.

        The pixels are the same without. A request for other frames, or in another order, ends the reading ahead. Raises
        IndexError outside the video, MediaError if a source cannot be read.
        """
        self.close()
        started = time.perf_counter()
        announced = [int(index) for index in indices]
        reads = self._reads(announced)
        limit = min(ahead, AHEAD_BYTES // (self.sampling.height * self.sampling.width * 3)) if reads else 1
        self._announced, self._taken = announced, 0
        self._ahead = in_order([lambda: self._pictures(reads)], 1, max(1, limit))
        self.decode_seconds += time.perf_counter() - started  # the first call scans the sources

    def close(self) -> None:
        """End the reading ahead of what was announced; every frame can still be read."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.close()

    def iterate(self, chunk: int) -> Iterator[Tuple[Tuple[int, ...], np.ndarray]]:
        """Yield (indices, frames) of at most `chunk` frames in one sequential pass, which is read ahead."""
        if chunk < 1:
            raise ValueError(f"a chunk must hold at least one frame, got {chunk}")
        self.announce(range(len(self)), 2 * chunk)
        try:
            for start in range(0, len(self), chunk):
                indices = tuple(range(start, min(start + chunk, len(self))))
                yield indices, self.frames(indices)
        finally:
            self.close()

    def keys(self, start: int, stop: int) -> List[FrameKey]:
        """Return the keys of frames `start` up to `stop`; decodes nothing. Raises IndexError outside the video."""
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"frames {start} to {stop} of a video with frames 0 to {len(self)}")
        started = time.perf_counter()
        keys: List[FrameKey] = []
        for span, begin in zip(self._timeline, self._starts):
            low = max(start, begin)
            high = min(stop, begin + len(span))
            if low < high:
                keys += self._keys_of(span.source, low - begin + span.start, high - begin + span.start)
        self.decode_seconds += time.perf_counter() - started  # the first call scans the sources
        return keys

    def path(self) -> str:
        """Render the video to an mp4 by encoding it, once, and return the file's path.

        Counts as handing out every frame. Raises MediaError for the empty video of a blind case.
        """
        if not len(self):
            raise MediaError("a blind case", "its video has no frames to render", "run it without the video")
        target = self._render_folder / f"{self._digest()}.mp4"
        if not target.is_file():
            self._render_folder.mkdir(parents=True, exist_ok=True)
            pictures = (frames[0] for _, frames in self.iterate(1))
            write_mp4(target, pictures, Fraction(self.fps).limit_denominator(100_100))
        self.handed_out.update(range(len(self)))
        return str(target)

    def _take(self, wanted: List[int]) -> np.ndarray:
        """Return frames: those announced as they come, others decoded now."""
        started = time.perf_counter()
        stop = self._taken + len(wanted)
        if self._ahead is None or self._announced[self._taken : stop] != wanted:
            self.close()
            frames = self._read(wanted)
        else:
            ahead, self._ahead = self._ahead, None  # which is over where it raises
            frames = self._empty(len(wanted))
            for row in range(len(wanted)):
                frames[row] = next(ahead)
            self._ahead, self._taken = ahead, stop
        self.decode_seconds += time.perf_counter() - started
        return frames

    def _read(self, wanted: List[int]) -> np.ndarray:
        """Decode each source's frames in ascending order, whatever order was requested."""
        rows_by_source: Dict[str, Dict[int, List[int]]] = {}  # source -> ordinal -> rows of the result
        for row, index in enumerate(wanted):
            source, ordinal = self._ordinal(index)
            rows_by_source.setdefault(source, {}).setdefault(ordinal, []).append(row)
        frames = self._empty(len(wanted))
        for source, rows in rows_by_source.items():
            ordinals = sorted(rows)
            with contextlib.closing(self._decoder.read(self._index(source), ordinals, self.sampling)) as pictures:
                for ordinal, picture in zip(ordinals, pictures):
                    frames[rows[ordinal]] = picture
        return frames

    def _reads(self, wanted: List[int]) -> List[Tuple[Index, List[int]]]:
        """Return what to read so that frames come in the order wanted: files and ascending ordinals of each."""
        reads: List[Tuple[Index, List[int]]] = []
        for number in wanted:
            source, ordinal = self._ordinal(number)
            index = self._index(source)
            if not reads or reads[-1][0] is not index or reads[-1][1][-1] > ordinal:
                reads.append((index, []))
            reads[-1][1].append(ordinal)
        return reads

    def _pictures(self, reads: List[Tuple[Index, List[int]]]) -> Iterator[np.ndarray]:
        """Yield the pictures of several reads, one after another."""
        for index, ordinals in reads:
            with contextlib.closing(self._decoder.read(index, ordinals, self.sampling)) as pictures:
                yield from pictures

    def _empty(self, count: int) -> np.ndarray:
        """Return room for so many frames, (count, height, width, 3)."""
        return np.empty((count, self.sampling.height, self.sampling.width, 3), dtype=np.uint8)

    def _ordinal(self, index: int) -> Tuple[str, int]:
        """Return the source of frame `index` of the video, and which frame of the file it shows."""
        source, number = self._locate(index)
        return source, self._index(source).frame_at(number, self.sampling.rate)

    def _locate(self, index: int) -> Tuple[str, int]:
        """Return the source of frame `index` of the video, and the frame's number in that source."""
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index} of a video with frames 0 to {len(self)}")
        number = bisect_right(self._starts, index) - 1  # of the span
        span = self._timeline[number]
        return span.source, span.start + index - self._starts[number]

    def _index(self, name: str) -> Index:
        """Return the index of a source, scanned on first use. Raises MediaError if the file is not the cases' own."""
        if name not in self._indices:
            source = self._sources[name]
            index = scan(source.path)
            if source.sha256 and index.sha256 != source.sha256:
                raise MediaError(
                    source.path,
                    f"the file changed since the cases were made (sha256 {index.sha256[:12]}, not "
                    f"{source.sha256[:12]})",
                    "restore the old file, or generate the cases again",
                )
            self._indices[name] = index.cropped(source.crop)
        return self._indices[name]

    def _keys_of(self, name: str, start: int, stop: int) -> Sequence[FrameKey]:
        """Return the keys of frames `start` up to `stop` of a source."""
        index = self._index(name)
        identity = f"{self._sources[name].identity}@{index.sha256[:16]}"  # one string, shared by all keys
        preprocessing = self.sampling.key
        return frame_keys(index, (start, stop), self.sampling.rate, identity, preprocessing, self._decoder.name)

    def _digest(self) -> str:
        """Return a hash of everything that decides the pixels of the rendered file."""
        spans = [(self._index(span.source).key, span.start, span.stop) for span in self._timeline]
        parts = [spans, self.sampling.rate, self.sampling.key, self.fps, self._decoder.name]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]

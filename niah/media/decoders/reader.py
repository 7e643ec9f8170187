"""Read the frames of one open file with PyAV, without decoding those that nobody wants.

A frame that no other frame refers to need not be decoded unless it is wanted; in film that is half of them. FFmpeg
skips such frames where it is asked to (`skip_frame`), packet by packet. It is asked only where the standard says that
nothing can depend on them and where the time of a packet is that of a frame. If a frame is then missing, or an
unexpected one comes, the file is read again from the last keyframe, every frame of it.

Every frame's presentation time is checked against the index. After a seek to the wrong frame, the file is decoded from
the start.
"""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from typing import Any, Iterator, Optional, Sequence, Set

from av.error import FFmpegError

from niah.media.container import open_video, repeats_frame
from niah.media.errors import MediaError, reencode
from niah.media.index import Index

THREADS = min(4, os.cpu_count() or 1)  # each FFmpeg thread buffers a frame
DECODE_AHEAD = 16  # frames: up to here decoding is not slower than a seek, which flushes the decoder
# Codecs whose streams mark the frames that no frame refers to; for HEVC see `marks_unreferenced`.
SKIPPING = frozenset(("h264", "mpeg2video"))
HVCC_LAYERS = 21  # the byte of an HEVC configuration record that holds the number of temporal layers, in bits 3 to 5


class FrameReader:
    """One file, which is opened where its first frame is read, and its current frame.

    Args:
        index: the file.
        threads: FFmpeg's own.
        skips: whether unwanted frames may be left out.
    """

    def __init__(self, index: Index, threads: int = THREADS, skips: bool = True) -> None:
        self.decoded = 0  # frames that FFmpeg returned
        self.position = -1  # ordinal of the current frame
        self._index = index
        self._threads = threads
        self._pts = index.pts or index.times
        self._keyframes = index.keyframes
        self._wanted: "frozenset[int]" = frozenset()
        self._until = -1  # the last wanted ordinal; what is wanted behind it is not known yet
        self._skipped: Set[int] = set()  # ordinals behind the current frame that FFmpeg was allowed to skip
        self._may_skip = skips and index.pts is None
        self._container: Any = None

    def close(self) -> None:
        """Close the file; a later read opens it again."""
        if self._container is not None:
            self._container.close()
            self._container = None

    def read(self, ordinals: Sequence[int]) -> Iterator[Any]:
        """Yield the decoded frames with these ascending ordinals.

        Raises MediaError if the file does not yield the frames of its index.
        """
        if not ordinals:
            return
        self._wanted = frozenset(ordinals)
        self._until = ordinals[-1]
        if self._container is None:
            self._restart()
        for ordinal in ordinals:
            yield self._read_one(ordinal)

    def _read_one(self, ordinal: int) -> Any:
        """Return one frame; where skipping others loses it, read again without skipping."""
        if ordinal in self._skipped:  # by an earlier read that ended early
            self._position_before(ordinal)
        try:
            return self._advance(ordinal)
        except _LostFrameError:
            self._skips = self._may_skip = False
            self._position_before(ordinal)
            return self._advance(ordinal)

    def _advance(self, ordinal: int) -> Any:
        """Decode up to a frame: on from here, from a keyframe, or from the start."""
        before = bisect_right(self._keyframes, ordinal)  # keyframes up to this frame
        keyframe = self._keyframes[before - 1] if before else None
        if ordinal < self.position or (keyframe is not None and keyframe > self.position + DECODE_AHEAD):
            self._position_before(ordinal)
        while self.position < ordinal:
            self._step()
        return self._frame

    def _position_before(self, ordinal: int) -> None:
        """Go to the last keyframe up to a frame, or in front of the first frame."""
        before = bisect_right(self._keyframes, ordinal)
        if not before or not self._seek(self._keyframes[before - 1]):
            self._keyframes = () if before else self._keyframes
            self._restart()

    def _restart(self) -> None:
        """Open the file again, in front of its first frame."""
        self.close()
        self._container, self._stream = open_video(self._index.path)
        if self._index.state and not self._index.is_unchanged:
            raise self._error("the file has changed since")
        self._skips = self._may_skip and marks_unreferenced(self._stream.codec_context)
        # Frames of Theora must not come later than the empty packets that repeat them.
        self._stream.thread_type = "SLICE" if self._stream.codec_context.name == "theora" else "AUTO"
        self._stream.codec_context.thread_count = self._threads
        self._frames = self._decode()
        self._skipped.clear()
        self.position = -1
        self._frame: Any = None

    def _seek(self, keyframe: int) -> bool:
        """Seek to the keyframe with this ordinal; return False if another frame comes, or none."""
        wanted = self._pts[keyframe]
        self.position = -1  # unknown until a frame has been decoded
        self._skipped.clear()
        try:
            self._container.seek(wanted, stream=self._stream, backward=True)
            self._frames = self._decode()
            frame = next((frame for frame in self._frames if frame.pts is None or frame.pts >= wanted), None)
        except FFmpegError:  # some containers cannot seek
            return False
        if frame is None or frame.pts != wanted:
            return False
        self.position = keyframe
        self._frame = frame
        return True

    def _step(self) -> None:
        """Decode the next frame that is not skipped and check its presentation time against the index."""
        expected = self.position + 1
        try:
            frame = next(self._frames, None)
        except FFmpegError as error:
            raise self._mismatch(f"frame {expected} does not decode ({error.strerror})") from error
        while expected in self._skipped and (frame is None or frame.pts != self._pts[expected]):
            self._skipped.remove(expected)
            expected += 1
        if frame is None:
            raise self._mismatch(f"it ends after {expected} of {len(self._pts)} frames")
        if expected == len(self._pts) or frame.pts != self._pts[expected]:
            raise self._mismatch(f"frame {expected} has presentation time {frame.pts}, which is not the index's")
        self._skipped.discard(expected)
        self.position = expected
        self._frame = frame

    def _decode(self) -> Iterator[Any]:
        """Yield frames in display order.

        In a file cut between keyframes the packets before the first keyframe do not decode; they are skipped.
        """
        started = False
        frame: Any = None
        for packet in self._container.demux(self._stream):
            self._allow_skipping(packet)
            if frame is not None and repeats_frame(packet):
                frame.pts = packet.pts
                yield frame
                continue
            try:
                frames = packet.decode()
            except FFmpegError:
                if started:
                    raise
                continue
            for frame in frames:
                started = True
                self.decoded += 1
                yield frame

    def _allow_skipping(self, packet: Any) -> None:
        """Let FFmpeg skip a packet's frame if no frame refers to it, unless the frame is wanted or may be later."""
        ordinal = self._ordinal_of(packet) if self._skips else None
        skip = ordinal is not None and ordinal < self._until and ordinal not in self._wanted
        if ordinal is not None and skip:
            self._skipped.add(ordinal)
        self._stream.codec_context.skip_frame = "NONREF" if skip else "DEFAULT"

    def _ordinal_of(self, packet: Any) -> Optional[int]:
        """Return the ordinal of the frame that a packet holds by its time, None for keyframes and unknown times."""
        if packet.pts is None or packet.is_keyframe:
            return None
        ordinal = bisect_left(self._pts, packet.pts)
        return ordinal if ordinal < len(self._pts) and self._pts[ordinal] == packet.pts else None

    def _mismatch(self, what: str) -> Exception:
        """Return the error for a file that differs from its index, and close it; or ask to read without skipping."""
        if self._skips:
            return _LostFrameError()
        return self._error(what)

    def _error(self, what: str) -> MediaError:
        """Close the file, and return the error for one that differs from its index."""
        self.close()
        return MediaError(self._index.path, f"it does not read as it was scanned: {what}", reencode(self._index.path))


class _LostFrameError(Exception):
    """Where frames are skipped, another frame came than the next one by the index, or none."""


def marks_unreferenced(codec: Any) -> bool:
    """Return True if nothing depends on the frames that a stream marks as unreferenced.

    HEVC marks frames that no frame of the same temporal layer refers to; a higher layer may.
    """
    if codec.name != "hevc":
        return codec.name in SKIPPING
    record = codec.extradata or b""
    return len(record) > HVCC_LAYERS and record[0] == 1 and record[HVCC_LAYERS] >> 3 & 7 == 1

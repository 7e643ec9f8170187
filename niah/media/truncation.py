"""Detect truncated files: compare what was read with what the header promises.

Reading a truncated file yields a shorter video and no error. A header's frame count is unreliable,
but a header that promises seconds more than the file holds means that the end is missing.
(MPEG-TS and live WebM promise nothing, so truncating them cannot be detected.)
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

import av

from niah.media.errors import MediaError, reencode

SLACK_SECONDS = Fraction(1, 2)  # a header may promise this much more than was read, or three frames
ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")  # the object that holds the file's size


@dataclass(frozen=True)
class ReadExtent:
    """How much reading a file to its end yielded."""

    packets: int  # of the video
    video_end: Optional[int]  # ticks
    ends: Dict[int, Fraction]  # seconds, by stream
    step: Fraction  # mean number of ticks from frame to frame


def refuse_truncated(path: Path, container: Any, stream: Any, found: ReadExtent) -> None:
    """Raise MediaError if the data end well before the header says they do."""
    if found.video_end is None:
        return
    if container.format.name == "asf":
        _refuse_short_asf(path)
    promised, read = _seconds(container, stream, found)
    missing = max(promised - read, _missing_frames(container, stream, found) * found.step * stream.time_base)
    if missing > max(SLACK_SECONDS, 3 * found.step * stream.time_base):
        whole = float(read + missing)
        raise _truncated(path, f"its header promises {whole:.2f} s, the data end after {float(read):.2f} s")


def _seconds(container: Any, stream: Any, found: ReadExtent) -> Tuple[Fraction, Fraction]:
    """Return the promised and the read seconds.

    The stream's own duration comes first, because a container's duration includes its audio.
    """
    end = Fraction(found.video_end or 0)
    tag = _tag_seconds(stream.metadata.get("DURATION"))
    # In Matroska it is the container's, whichever stream lasts longest.
    if stream.duration and not tag and "matroska" not in container.format.name:
        read = end - (stream.start_time or 0)  # ticks
        return stream.duration * stream.time_base, read * stream.time_base
    if tag:
        return tag, end * stream.time_base
    if container.duration:
        start = Fraction(container.start_time or 0, av.time_base)
        return Fraction(container.duration, av.time_base), max(found.ends.values()) - start
    return Fraction(0), end * stream.time_base


def _missing_frames(container: Any, stream: Any, found: ReadExtent) -> int:
    """Return how many packets of an AVI are missing: FFmpeg computes an AVI's duration from the file's size.

    Other formats are not checked this way: an mp4's edit list may drop frames.
    """
    if container.format.name != "avi":
        return 0
    return stream.frames - found.packets


def _tag_seconds(text: Optional[str]) -> Optional[Fraction]:
    """Read Matroska's DURATION tag, "00:00:13.077000000"."""
    parts = (text or "").split(":")
    if len(parts) != 3 or not all(part.replace(".", "", 1).isdigit() for part in parts):
        return None
    hours, minutes, seconds = (Fraction(part) for part in parts)
    return hours * 3600 + minutes * 60 + seconds


def _refuse_short_asf(path: Path) -> None:
    """Compare an ASF file's size with the one in its header: FFmpeg computes an ASF's duration from the file's size."""
    with open(path, "rb") as file:
        head = file.read(1 << 16)
    offset = head.find(ASF_PROPERTIES)
    if offset < 0:
        return
    promised = int.from_bytes(head[offset + 40 : offset + 48], "little")
    size = os.stat(path).st_size
    if promised > size:
        raise _truncated(path, f"its header promises {promised:,} bytes, it has {size:,}")


def _truncated(path: Path, what: str) -> MediaError:
    """Return the error for a truncated file."""
    remedy = f"copy or download it again, or keep what is left of it: {reencode(path)}"
    return MediaError(path, f"it is truncated: {what}", remedy)

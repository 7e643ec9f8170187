"""Decode a file once, from start to end, and note when each frame is shown.

Only this tells how many frames a file really holds. The verdict is kept in a small
JSON named after the file's hash, so that a file is measured once per machine and
FFmpeg, wherever it lies and whatever it is called.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple, Union

import av
from av.error import FFmpegError

from niah.io import cache_folder, replace_file
from niah.media.container import open_video, sha256_of
from niah.media.errors import MediaError, reencode
from niah.media.index import Index, absolute
from niah.media.truncation import Found, refuse_truncated

FORMAT = 1  # of the stored JSON


def scan(path: Union[str, Path]) -> Index:
    """Return when each frame of `path` is shown; decodes the whole file unless that was done before.

    Raises MediaError for anything that is not a whole, sound video.
    """
    path = absolute(path)
    try:
        status = os.stat(path)
    except OSError:
        sha256_of(path)  # says what is wrong with it
        raise
    return _measured(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=256)
def _measured(path: str, size: int, mtime_ns: int) -> Index:
    """Measure one state of a file: every case asks again, and hashing gigabytes takes seconds."""
    digest = sha256_of(path)
    stored = _stored_under(digest)
    index = _load(stored, path, digest)
    if index is None:
        index = _decode(Path(path), digest)
        _save(stored, index)
    return index


@dataclass
class _Pass:
    """What one pass over the packets of a file saw."""

    stamps: List[int] = field(default_factory=list)  # of displayed frames, in showing order
    keys: List[int] = field(default_factory=list)
    first: Any = None  # the first decoded frame: size and rotation
    last_duration: int = 0
    packets: int = 0  # of the video stream, whether or not they decode
    video_end: Optional[int] = None  # ticks
    ends: Dict[int, Fraction] = field(default_factory=dict)  # seconds, per stream
    error: str = ""


def _decode(path: Path, digest: str) -> Index:
    container, stream = open_video(path)
    with container:
        seen = _read_packets(path, container, stream)
        refuse_truncated(path, container, stream, Found(seen.packets, seen.video_end, seen.ends, _mean_step(seen)))
        if seen.error:
            raise MediaError(path, f"it is damaged: {seen.error}", reencode(path))
        if not seen.stamps:
            raise MediaError(path, "not one frame of it can be decoded (zero frames)", "leave it out, or re-encode it")
        return _index(path, digest, stream, seen)


def _read_packets(path: Path, container: Any, stream: Any) -> _Pass:
    """Decode every video packet; of other streams only note how far they reach."""
    seen = _Pass()
    others = [other for other in container.streams if other.type in ("audio", "video") and other.time_base]
    budget = path.stat().st_size + 100_000  # packets: none is smaller than a byte, bar a few that flush
    try:
        for packet in container.demux(*{other.index: other for other in [stream, *others]}.values()):
            budget -= 1
            if budget < 0:
                raise MediaError(path, "it holds more packets than bytes, so it would never end", reencode(path))
            _note_end(seen, packet, stream)
            if packet.stream.index == stream.index:
                seen.packets += packet.size > 0
                _decode_packet(seen, packet)
    except FFmpegError as error:
        seen.error = seen.error or f"reading stops after {len(seen.stamps)} frames ({error.strerror})"
    return seen


def _note_end(seen: _Pass, packet: Any, stream: Any) -> None:
    stamp = packet.pts if packet.pts is not None else packet.dts
    if stamp is None:
        return
    end = stamp + (packet.duration or 0)
    seconds = end * packet.time_base
    seen.ends[packet.stream.index] = max(seconds, seen.ends.get(packet.stream.index, seconds))
    if packet.stream.index == stream.index:
        seen.video_end = end if seen.video_end is None else max(end, seen.video_end)


def _decode_packet(seen: _Pass, packet: Any) -> None:
    """Decode one packet; after the first error the rest are only counted."""
    if seen.error:
        return
    try:
        for frame in packet.decode():
            if frame.pts is None:
                seen.error = f"frame {len(seen.stamps)} has no presentation time"
            elif frame.is_corrupt:
                seen.error = f"frame {len(seen.stamps)} decodes with errors"
            else:
                _note_frame(seen, frame)
    except FFmpegError as error:
        # A cut that starts between keyframes begins with packets nobody can decode: players skip them.
        if seen.stamps or packet.is_keyframe:
            seen.error = f"after {len(seen.stamps)} frames a packet does not decode ({error.strerror})"


def _note_frame(seen: _Pass, frame: Any) -> None:
    if seen.first is None:
        seen.first = frame
    if frame.key_frame:
        seen.keys.append(len(seen.stamps))
    seen.stamps.append(frame.pts)
    seen.last_duration = frame.duration or 0


def _mean_step(seen: _Pass) -> Fraction:
    """Return the mean ticks from one frame to the next; 0 where there are not two."""
    if len(seen.stamps) < 2:
        return Fraction(0)
    return Fraction(max(seen.stamps) - min(seen.stamps), len(seen.stamps) - 1)


def _index(path: Path, digest: str, stream: Any, seen: _Pass) -> Index:
    """Put the pass into an index.

    Decoders put frames out in showing order, whatever their stamps say: AVI and ASF files with
    B-frames carry the right times on the wrong frames. The times are then sorted, the frames not.
    """
    times = tuple(sorted(seen.stamps))
    ordered = all(one < other for one, other in zip(seen.stamps, seen.stamps[1:]))
    rotation = _rotation(path, seen.first.rotation)
    aspect = Fraction(stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or 1)
    width, height = seen.first.width, seen.first.height
    if rotation % 180:
        width, height, aspect = height, width, 1 / aspect
    return Index(
        path=absolute(path),
        sha256=digest,
        width=width,
        height=height,
        rotation=rotation,
        pixel_aspect=aspect,
        time_base=Fraction(stream.time_base),
        times=times,
        end=times[-1] + _last_step(times, stream, seen.last_duration),
        keyframes=tuple(seen.keys) if ordered else (),
        stamps=None if ordered else tuple(seen.stamps),
    )


def _rotation(path: Path, degrees: float) -> int:
    if degrees % 90:
        raise MediaError(path, f"it asks to be turned by {degrees} degrees", reencode(path))
    return int(degrees) % 360


def _last_step(times: Tuple[int, ...], stream: Any, duration: int) -> int:
    """Return how long the last frame is shown: as it says, else the mean step, else one frame of the stated rate."""
    if duration > 0:
        return duration
    if len(times) > 1:
        return max(1, round(Fraction(times[-1] - times[0], len(times) - 1)))
    rate = stream.average_rate or stream.guessed_rate
    return max(1, round(1 / (rate * stream.time_base))) if rate else 1


def _stored_under(digest: str) -> Path:
    """Return the JSON of one file; another FFmpeg may show other frames, so it has its own."""
    codec = ".".join(str(part) for part in av.library_versions["libavcodec"])
    return cache_folder() / "index" / f"{digest}-av{av.__version__}-{codec}-{FORMAT}.json"


def _load(stored: Path, path: Union[str, Path], digest: str) -> Optional[Index]:
    """Return what is remembered of a file; None where that is nothing, or was damaged: it is measured again then."""
    try:
        values = json.loads(stored.read_text(encoding="utf-8"))
        values["times"] = tuple(values["times"])
        values["keyframes"] = tuple(values["keyframes"])
        values["stamps"] = tuple(values["stamps"]) if values["stamps"] is not None else None
        values["pixel_aspect"] = Fraction(values["pixel_aspect"])
        values["time_base"] = Fraction(values["time_base"])
        return Index(path=absolute(path), sha256=digest, **values)
    except (FileNotFoundError, PermissionError, ValueError, TypeError, KeyError):  # no use, no harm
        return None


def _save(stored: Path, index: Index) -> None:
    values = {name: getattr(index, name) for name in ("width", "height", "rotation", "times", "end")}
    values.update(keyframes=index.keyframes, stamps=index.stamps)
    values.update(pixel_aspect=str(index.pixel_aspect), time_base=str(index.time_base))
    with contextlib.suppress(OSError):  # a full or read-only disk costs a second scan, nothing else
        stored.parent.mkdir(parents=True, exist_ok=True)
        replace_file(stored, json.dumps(values))

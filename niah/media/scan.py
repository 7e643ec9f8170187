"""Decode a file once, from start to end, and record the presentation time of each frame.

Only a full decode gives the true number of frames. The result is cached in a small JSON file
named after the file's hash and the FFmpeg version, so a file is scanned once per machine,
whatever its path.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import av
from av.error import FFmpegError

from niah.io import cache_folder, replace_file
from niah.media.bounds import refuse_corrupt, refuse_long
from niah.media.container import open_video, repeats_frame, sha256_of
from niah.media.errors import MediaError, reencode
from niah.media.index import Index, absolute, state_of
from niah.media.truncation import ReadExtent, refuse_truncated

FORMAT = 2  # of the cached JSON
JUMP_SECONDS = 1  # by which times fall where two recordings were joined, and by more than
JUMP_FRAMES = 16  # typical steps: B-frames fall by fewer


def scan(path: Union[str, Path]) -> Index:
    """Return the index of a file; decodes the whole file unless the index is cached.

    Raises MediaError for anything but a complete, undamaged video.
    """
    path = absolute(path)
    try:
        state = state_of(path)
    except OSError:
        sha256_of(path)  # raises a MediaError that says what is wrong
        raise
    return _scan_unless_cached(path, state)


@lru_cache(maxsize=256)
def _scan_unless_cached(path: str, state: Tuple[int, int]) -> Index:
    """Scan one state of a file.

    Kept in memory, because every case scans its sources and hashing gigabytes takes seconds.
    """
    digest = sha256_of(path)
    cached = _cache_path(digest)
    index = _load_cached(cached, path, digest)
    if index is None:
        index = _decode(Path(path), digest)
        _save_cached(cached, index)
    return dataclasses.replace(index, state=state)


@dataclass
class _DecodePass:
    """What one pass over the packets of a file found."""

    pts: List[int] = field(default_factory=list)  # of the displayed frames, in display order
    keyframes: List[int] = field(default_factory=list)  # ordinals
    first: Any = None  # the first decoded frame: size and rotation
    last_duration: int = 0
    corrupt: int = 0  # packets
    packets: int = 0  # of the video stream, also those that do not decode
    video_end: Optional[int] = None  # ticks
    ends: Dict[int, Fraction] = field(default_factory=dict)  # seconds, by stream
    error: str = ""
    untimed: bool = False  # a frame has no presentation time


def _decode(path: Path, digest: str) -> Index:
    container, stream = open_video(path)
    with container:
        seen = _read_packets(path, container, stream)
        extent = ReadExtent(seen.packets, seen.video_end, seen.ends, _mean_step(seen))
        refuse_truncated(path, container, stream, extent)
        if seen.untimed:
            raise MediaError(
                path,
                f"frame {len(seen.pts)} has no presentation time, as in a raw stream outside of a container",
                reencode(path),
            )
        if seen.error:
            raise MediaError(path, f"it is damaged: {seen.error}", reencode(path))
        refuse_corrupt(path, seen.corrupt, seen.packets)
        if not seen.pts:
            raise MediaError(path, "none of its frames can be decoded (zero frames)", "leave it out, or re-encode it")
        return _build_index(path, digest, stream, seen)


def _read_packets(path: Path, container: Any, stream: Any) -> _DecodePass:
    """Decode every video packet; of the other streams only record where they end."""
    seen = _DecodePass()
    others = [other for other in container.streams if other.type in ("audio", "video") and other.time_base]
    budget = path.stat().st_size + 100_000  # packets: each has at least one byte, except a few that flush
    try:
        for packet in container.demux(*{other.index: other for other in [stream, *others]}.values()):
            budget -= 1
            if budget < 0:
                raise MediaError(path, "it yields more packets than bytes, so reading never ends", reencode(path))
            _record_end(seen, packet, stream)
            if packet.stream.index == stream.index:
                seen.packets += packet.size > 0
                seen.corrupt += packet.is_corrupt
                _decode_packet(seen, packet)
                if len(seen.pts) > 1:
                    refuse_long(path, abs(seen.pts[-1] - seen.pts[0]) * Fraction(stream.time_base))
    except FFmpegError as error:
        seen.error = seen.error or f"reading stops after {len(seen.pts)} frames ({error.strerror})"
    return seen


def _record_end(seen: _DecodePass, packet: Any, stream: Any) -> None:
    """Record the end of a packet if it is the latest of its stream so far."""
    time = packet.pts if packet.pts is not None else packet.dts
    if time is None:
        return
    end = time + (packet.duration or 0)
    seconds = end * packet.time_base
    seen.ends[packet.stream.index] = max(seconds, seen.ends.get(packet.stream.index, seconds))
    if packet.stream.index == stream.index:
        seen.video_end = end if seen.video_end is None else max(end, seen.video_end)


def _decode_packet(seen: _DecodePass, packet: Any) -> None:
    """Decode one packet; does nothing after the first error."""
    if seen.error:
        return
    if repeats_frame(packet):
        seen.pts.append(packet.pts)
        return
    try:
        for frame in packet.decode():
            if frame.pts is None:
                seen.untimed, seen.error = True, "untimed"
            elif frame.is_corrupt:
                seen.error = f"frame {len(seen.pts)} decodes with errors"
            else:
                _record_frame(seen, frame)
    except FFmpegError as error:
        # A file cut between keyframes begins with packets that cannot be decoded; players skip them.
        if seen.pts or packet.is_keyframe:
            seen.error = f"after {len(seen.pts)} frames a packet does not decode ({error.strerror})"


def _record_frame(seen: _DecodePass, frame: Any) -> None:
    if seen.first is None:
        seen.first = frame
    if frame.key_frame:
        seen.keyframes.append(len(seen.pts))
    seen.pts.append(frame.pts)
    seen.last_duration = frame.duration or 0


def _mean_step(seen: _DecodePass) -> Fraction:
    """Return the mean number of ticks from one frame to the next; 0 for fewer than two frames."""
    if len(seen.pts) < 2:
        return Fraction(0)
    return Fraction(max(seen.pts) - min(seen.pts), len(seen.pts) - 1)


def _build_index(path: Path, digest: str, stream: Any, seen: _DecodePass) -> Index:
    """Return the index of a decoded file.

    Decoders output frames in display order, whatever their presentation times say: AVI and ASF files
    with B-frames carry the right times on the wrong frames. The times are then sorted, the frames are not.
    Where times fall further, two recordings were joined: time goes on from the end of the first.
    """
    times = tuple(sorted(_continuous(seen.pts, Fraction(stream.time_base))))
    ordered = all(previous < time for previous, time in zip(seen.pts, seen.pts[1:]))
    rotation = _rotation(path, seen.first.rotation)
    aspect = Fraction(stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or 1)
    width = seen.first.width
    height = seen.first.height
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
        keyframes=tuple(seen.keyframes) if ordered else (),
        pts=None if ordered else tuple(seen.pts),
        corrupt=seen.corrupt,
    )


def _continuous(pts: Sequence[int], time_base: Fraction) -> List[int]:
    """Return presentation times, in display order, that go on where two recordings were joined."""
    rises = sorted(now - before for before, now in zip(pts, pts[1:]) if now > before)
    step = rises[len(rises) // 2] if rises else 1  # ticks, the median
    jump = max(JUMP_SECONDS / time_base, JUMP_FRAMES * step)
    offset, highest = 0, pts[0]
    times = []
    for before, now in zip((pts[0], *pts), pts):
        if before - now > jump:
            offset = highest + step - now
        highest = max(highest, now + offset)
        times.append(now + offset)
    return times


def _rotation(path: Path, degrees: float) -> int:
    """Return a rotation as 0, 90, 180 or 270 degrees. Raises MediaError for any other angle."""
    if degrees % 90:
        raise MediaError(path, f"its rotation is {degrees} degrees, not a multiple of 90", reencode(path))
    return int(degrees) % 360


def _last_step(times: Tuple[int, ...], stream: Any, duration: int) -> int:
    """Return for how many ticks the last frame is displayed.

    That is its stated duration, else the mean step between frames, else one frame at the stated rate.
    """
    if duration > 0:
        return duration
    if len(times) > 1:
        return max(1, round(Fraction(times[-1] - times[0], len(times) - 1)))
    rate = stream.average_rate or stream.guessed_rate
    if not rate:
        return 1
    return max(1, round(1 / (rate * stream.time_base)))


def _cache_path(digest: str) -> Path:
    """Return the path of a file's cached JSON; its name holds FFmpeg's version, as another may decode other frames."""
    codec = ".".join(str(part) for part in av.library_versions["libavcodec"])
    return cache_folder() / "index" / f"{digest}-av{av.__version__}-{codec}-{FORMAT}.json"


def cached_index(path: Union[str, Path]) -> Optional[Index]:
    """Return the index of a file that was scanned before, else None. Raises MediaError for what is no file."""
    digest = sha256_of(path)
    return _load_cached(_cache_path(digest), absolute(path), digest)


def _load_cached(cached: Path, path: Union[str, Path], digest: str) -> Optional[Index]:
    """Return the cached index of a file; None if it is missing or damaged, and the file must be scanned."""
    try:
        return index_from_json(path, digest, json.loads(cached.read_text(encoding="utf-8")))
    except (FileNotFoundError, PermissionError, ValueError, TypeError, KeyError):  # costs a second scan, nothing else
        return None


def _save_cached(cached: Path, index: Index) -> None:
    """Write an index to the cache, if the disk allows it."""
    with contextlib.suppress(OSError):  # a full or read-only disk costs a second scan, nothing else
        cached.parent.mkdir(parents=True, exist_ok=True)
        replace_file(cached, json.dumps(index_to_json(index)))


def scan_to_json(path: Union[str, Path]) -> Dict[str, Any]:
    """Return the hash and the index of a file as JSON can carry them."""
    index = scan(path)
    return {"sha256": index.sha256, "index": index_to_json(index)}


def index_to_json(index: Index) -> Dict[str, Any]:
    """Return an index without its path and hash, as JSON can carry it."""
    values = {name: getattr(index, name) for name in ("width", "height", "rotation", "times", "end", "corrupt")}
    values.update(keyframes=index.keyframes, stamps=index.pts)
    values.update(pixel_aspect=str(index.pixel_aspect), time_base=str(index.time_base))
    return values


def index_from_json(path: Union[str, Path], digest: str, values: Dict[str, Any]) -> Index:
    """Read what `index_to_json` returned. Raises ValueError, TypeError or KeyError for anything else."""
    values = {**values, "times": tuple(values["times"]), "keyframes": tuple(values["keyframes"])}
    pts = values.pop("stamps")  # the key since format 1
    values["pts"] = None if pts is None else tuple(pts)
    values["pixel_aspect"] = Fraction(values["pixel_aspect"])
    values["time_base"] = Fraction(values["time_base"])
    return Index(path=absolute(path), sha256=digest, **values)

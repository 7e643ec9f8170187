"""Make thumbnails of the frames that explain a case: those around the needle, and those the model kept.

Every frame of a source is decoded once, however many cases show it. Frames around needles come first; kept frames
follow up to the size limit, which keeps the page small enough to send.
"""

from __future__ import annotations

import base64
import io
import sys
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, chain

from PIL import Image
from tqdm import tqdm

from niah.analysis.load import RunData
from niah.media.decoders.base import Decoder, load_decoder
from niah.media.errors import MediaError
from niah.media.scan import scan
from niah.report.footage import SourceVideo, SourceVideos
from niah.types import Case

BEFORE = 2  # frames shown before the needle
INSIDE = 6  # ... of the needle
AFTER = 2  # ... after it
MAX_BYTES = 9_000_000  # of cases and pictures as the page holds them; all else of it takes less than one million
QUALITY = 72  # of WebP; sprites of 64 x 64 pixels are still legible
Frame = tuple[str, str, int]  # suite, source name, number of the frame in its source


@dataclass(frozen=True)
class FramePictures:
    """Encoded frames, and notes on those that are missing."""

    encoded: Mapping[Frame, str]  # base64 of WebP
    notes: tuple[str, ...]


def strip(case: Case) -> tuple[int, ...]:
    """Return the frames of a case to show: of each needle some before it, some spread over it, some after."""
    around = [_around(needle.start, needle.stop, case.length) for needle in case.needles]
    return tuple(dict.fromkeys(chain.from_iterable(around)))


@lru_cache(maxsize=2**12)
def _around(start: int, stop: int, frames: int) -> tuple[int, ...]:
    """Return the frames to show of one needle in a video of so many frames."""
    length = stop - start
    count = min(INSIDE, length)
    inside = [start + round(i * (length - 1) / max(1, count - 1)) for i in range(count)]
    return (*range(max(0, start - BEFORE), start), *inside, *range(stop, min(frames, stop + AFTER)))


def take_pictures(runs: Sequence[RunData], videos: SourceVideos, room: int = MAX_BYTES) -> FramePictures:
    """Decode and encode the frames to show of some runs, from the sources that were found, up to `room` bytes."""
    around = dict.fromkeys(frame for run in runs for case in run.cases for frame in _located(run, case, strip(case)))
    kept = dict.fromkeys(
        frame
        for run in runs
        for case in run.cases
        if case.id in run.records
        for frame in _located(run, case, run.records[case.id].frames_kept)
    )
    wanted = [frame for frame in {**around, **kept} if _path(videos, frame) is not None]
    encoded, notes = _encode_all(wanted, videos)
    selected: dict[Frame, str] = {}
    size = 0
    for frame in (frame for frame in wanted if frame in encoded):
        packed = base64.b64encode(encoded[frame]).decode()
        size += len(packed)
        if size > room:
            break
        selected[frame] = packed
    if left := len(encoded) - len(selected):
        notes.append(f"{left} of {len(encoded)} pictures are left out, so that the page stays below 10 MB")
    return FramePictures(selected, tuple(notes))


def by_suite(pictures: FramePictures) -> dict[str, dict[str, dict[int, str]]]:
    """Return pictures by suite, source and frame number."""
    nested: dict[str, dict[str, dict[int, str]]] = {}
    for (suite, source, number), encoded in pictures.encoded.items():
        nested.setdefault(suite, {}).setdefault(source, {})[number] = encoded
    return nested


def _located(run: RunData, case: Case, numbers: Iterable[int]) -> Iterator[Frame]:
    """Yield source and number of some frames of a case; numbers beyond its end, in a damaged record, are skipped."""
    starts = [0, *accumulate(len(span) for span in case.timeline)]
    for number in numbers:
        if 0 <= number < case.length:
            place = bisect_right(starts, number) - 1
            span = case.timeline[place]
            yield run.suite, span.source, span.start + number - starts[place]


def _path(videos: SourceVideos, frame: Frame) -> object:
    """Return the path of a frame's source, or None where it was not found."""
    video = videos.get(frame[:2])
    return None if video is None else video.path


def _encode_all(wanted: Sequence[Frame], videos: SourceVideos) -> tuple[dict[Frame, bytes], list[str]]:
    """Return each frame as WebP, and notes on those that could not be read."""
    by_video: dict[tuple[str, str], list[int]] = {}
    for suite, source, number in wanted:
        by_video.setdefault((suite, source), []).append(number)
    encoded: dict[Frame, bytes] = {}
    notes: list[str] = []
    decoder = load_decoder()
    try:
        with tqdm(total=len(wanted), desc="pictures", unit="frame", file=sys.stderr, disable=None) as bar:
            for (suite, source), numbers in sorted(by_video.items()):
                try:
                    for number, picture in _read(decoder, videos[suite, source], sorted(numbers)):
                        encoded[suite, source, number] = picture
                        bar.update()
                except MediaError as error:  # a report without a picture is better than none
                    notes.append(f"no pictures of {source}: {error}")
                    continue
                if late := [number for number in numbers if (suite, source, number) not in encoded]:
                    notes.append(
                        f"{len(late)} of {len(numbers)} pictures of {source} are left out: the video found here ends "
                        f"before frame {min(late)}"
                    )
    finally:
        decoder.close()
    return encoded, notes


def _read(decoder: Decoder, video: SourceVideo, numbers: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """Yield (number, WebP) of some frames of one source in order, up to the last one that its video has."""
    index = scan(str(video.path)).cropped(video.crop)
    by_ordinal: dict[int, list[int]] = {}
    last = index.count(video.sampling.rate)
    for number in numbers:
        if number < last:
            by_ordinal.setdefault(index.frame_at(number, video.sampling.rate), []).append(number)
    pictures = decoder.read(index, list(by_ordinal), video.sampling)
    for same, pixels in zip(by_ordinal.values(), pictures, strict=True):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "WEBP", quality=QUALITY, method=4)
        yield from ((number, buffer.getvalue()) for number in same)

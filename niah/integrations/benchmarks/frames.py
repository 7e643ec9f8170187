"""Choose the frames of a video that a model is shown, in the ways of papers and releases.

- `paper`: one frame a second, by presentation time, every one of them (ViLaMP's paper).
- `release`: every int(fps)-th frame, thinned evenly to `limit` (600) where there are more (ViLaMP's scripts).
- `all`: every frame the file holds, for a model that samples by itself.
- `uniform`: `limit` (128) frames evenly from the first to the last (LongVA, VNBench's examples, lmms-eval).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from niah.media.index import Index
from niah.settings import unknown_name
from niah.types import Span, UserError

WAYS = ("paper", "release", "uniform", "all")
LIMITS = {"release": 600, "uniform": 128}


@dataclass(frozen=True)
class Frames:
    """One of the named ways and its limit, which `paper` and `all` do not have."""

    way: str = "paper"
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.way not in WAYS:
            raise UserError(unknown_name("way to take frames", self.way, WAYS))
        if self.limit is not None and (self.way not in LIMITS or self.limit < 1):
            raise UserError(f"a limit of frames is 1 or more, and of {', '.join(LIMITS)}; got {self.limit}, {self.way}")

    @property
    def rate(self) -> str:
        """The sampling rate, as a suite writes it."""
        return "1" if self.way == "paper" else "native"

    def timeline(self, index: Index, source: str) -> tuple[Span, ...]:
        """Return the spans of a scanned file that are shown."""
        count = index.count(self.rate)
        if self.way not in LIMITS:
            return (Span(source, 0, count),)
        limit = self.limit or LIMITS[self.way]
        if self.way == "uniform":
            return spans(source, evenly(range(count), min(limit, count)))
        return spans(source, release_frames(float(index.native_rate), count, limit))


def release_frames(fps: float, decoded: int, limit: int = LIMITS["release"]) -> list[int]:
    """Return every int(fps)-th of `decoded` frames, thinned evenly to `limit` where they are more.

    Raises UserError below 1 frame a second, where the release divides by zero.
    """
    step = int(fps)
    if step < 1:
        need = "the release's frames need a video of at least 1 frame a second"
        raise UserError(f"{need}, got {fps}; take frame_sampling=paper")
    frames = range(0, decoded, step)
    return list(frames) if len(frames) <= limit else evenly(frames, limit)


def evenly(frames: Sequence[int], count: int) -> list[int]:
    """Return `count` frames from the first to the last, rounded down as numpy's integer linspace does."""
    if count == 1:
        return [frames[0]]
    stride = (len(frames) - 1) / (count - 1)
    return [frames[place] for place in [*(math.floor(n * stride) for n in range(count - 1)), len(frames) - 1]]


def spans(source: str, numbers: Sequence[int]) -> tuple[Span, ...]:
    """Return the fewest spans that hold the numbered frames in their order."""
    found: list[Span] = []
    for number in numbers:
        if found and found[-1].stop == number:
            found[-1] = Span(source, found[-1].start, number + 1)
        else:
            found.append(Span(source, number, number + 1))
    return tuple(found)

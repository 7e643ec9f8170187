"""Map frame numbers at a sampling rate to the displayed frames of a file.

Headers are often wrong about frame counts and rates, so an index holds the presentation time of
every frame, as `niah.media.scan` found it. All arithmetic uses integers and fractions: at
29.97 frames per second a float drifts by a frame within an hour.
"""

from __future__ import annotations

import dataclasses
import os
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import List, Optional, Tuple, Union

from niah.media.errors import MediaError
from niah.types import UserError

NATIVE = "native"
Rate = Union[str, int, Fraction]


@dataclass(frozen=True)
class Index:
    """The displayed frames of one file; ordinals count them in display order, from 0."""

    path: str
    sha256: str
    width: int  # as displayed, rotation applied
    height: int
    rotation: int  # degrees counter-clockwise by which the stored picture is rotated for display
    pixel_aspect: Fraction  # width over height of one displayed pixel
    time_base: Fraction  # seconds per tick
    times: Tuple[int, ...]  # presentation times in ticks, ascending
    end: int  # ticks; the end of the last frame
    keyframes: Tuple[int, ...]  # ordinals from which decoding can start; empty where seeking is unreliable

    pts: Optional[Tuple[int, ...]] = None  # stored presentation times in display order, where they do not ascend
    crop: Tuple[int, ...] = ()  # pixels cut off at the top, right, bottom and left; no part of the scan
    corrupt: int = 0  # packets that FFmpeg flags as damaged; frames near them may show that
    state: Tuple[int, ...] = dataclasses.field(default=(), compare=False)  # of the file when it was hashed: `state_of`

    def __repr__(self) -> str:
        """Return one line: a debugger would otherwise print the time of every frame."""
        size = f"{self.width}x{self.height}"
        return f"Index({self.path!r}, {len(self.times):,} frames, {self.seconds:.3f} s, {size}, {self.sha256[:8]})"

    def __hash__(self) -> int:
        """Return a hash that does not read the time of every frame; equal indexes have equal ones."""
        return hash((self.path, self.sha256, self.crop))

    def __post_init__(self) -> None:
        if not self.times or self.end <= self.times[0]:
            raise ValueError(f"{self.path}: an index needs frames and a duration, got {len(self.times)} frames")

    def cropped(self, crop: Tuple[int, ...]) -> "Index":
        """Return the index of the same file whose pictures are cropped. Raises MediaError where nothing is left."""
        if not crop:
            return self
        top, right, bottom, left = crop
        if min(crop) < 0 or top + bottom >= self.height or left + right >= self.width:
            raise MediaError(
                self.path,
                f"a picture of {self.width}x{self.height} cannot lose {top}, {right}, {bottom} and {left} pixels at "
                "the top, right, bottom and left",
                "correct crops: in the suite",
            )
        return dataclasses.replace(self, crop=tuple(crop))

    @property
    def key(self) -> str:
        """What tells apart the pictures of two files: the file's hash, and the crop if there is one."""
        return self.sha256 + ("#crop=" + ",".join(map(str, self.crop)) if self.crop else "")

    @property
    def is_unchanged(self) -> bool:
        """True if the file is still the one that was hashed; False where that is not known."""
        try:
            return state_of(self.path) == self.state
        except OSError:
            return False

    @property
    def duration(self) -> Fraction:
        """The exact number of seconds from the first frame to the end of the last."""
        return (self.end - self.times[0]) * self.time_base

    @property
    def seconds(self) -> float:
        """The number of seconds from the first frame to the end of the last."""
        return float(self.duration)

    @property
    def native_rate(self) -> Fraction:
        """The mean number of frames per second of presentation time."""
        return len(self.times) / self.duration

    @property
    def display_aspect(self) -> Fraction:
        """The width over the height of the displayed picture."""
        top, right, bottom, left = self.crop or (0, 0, 0, 0)
        return Fraction(self.width - left - right, self.height - top - bottom) * self.pixel_aspect

    def count(self, rate: Rate) -> int:
        """Return how many frame numbers there are at `rate`: those with number / rate < duration."""
        frames_per_second = parse_rate(rate)
        if frames_per_second is None:
            return len(self.times)
        return _ceil(self.duration * frames_per_second)

    def frame_at(self, number: int, rate: Rate) -> int:
        """Return the ordinal of the frame displayed `number` / `rate` seconds after the first. Raises IndexError."""
        return self.ordinals(number, number + 1, rate)[0]

    def ordinals(self, start: int, stop: int, rate: Rate) -> List[int]:
        """Return the ordinals displayed at frame numbers `start` up to `stop`. Raises IndexError outside the file."""
        if not 0 <= start <= stop <= self.count(rate):
            raise IndexError(f"frames {start} to {stop} of {self.path}: it has 0 to {self.count(rate)} at rate {rate}")
        frames_per_second = parse_rate(rate)
        if frames_per_second is None:
            return list(range(start, stop))
        step = 1 / (frames_per_second * self.time_base)  # ticks from one frame number to the next
        ticks = [self.times[0] + number * step.numerator // step.denominator for number in range(start, stop)]
        return [bisect_right(self.times, tick) - 1 for tick in ticks]

    def time_of(self, ordinal: int) -> Fraction:
        """Return the seconds from the first frame to the one with this ordinal."""
        return (self.times[ordinal] - self.times[0]) * self.time_base

    def span(self, start_seconds: Optional[float], stop_seconds: Optional[float], rate: Rate) -> Tuple[int, int]:
        """Return (start, stop) of the frame numbers displayed from `start_seconds` up to `stop_seconds`.

        None means the first frame for the start and the end of the file for the stop. A stop at most one
        step past the end means the end. Raises MediaError if the file is shorter or the range holds no frame.
        """
        begin = _exact(start_seconds) if start_seconds is not None else Fraction(0)
        finish = _exact(stop_seconds) if stop_seconds is not None else self.duration
        frames_per_second = parse_rate(rate)
        step = 1 / (frames_per_second or self.native_rate)
        if begin < 0 or finish > self.duration + step:
            raise MediaError(
                self.path,
                f"seconds {float(begin):g} to {float(finish):g} were requested, the file lasts {self.seconds:.3f} s",
                "correct start and stop",
            )
        finish = min(finish, self.duration)
        start = self._first_number(begin, frames_per_second)
        stop = self._first_number(finish, frames_per_second)
        if start >= stop:
            raise MediaError(
                self.path,
                f"no frame is displayed from {float(begin):g} s up to {float(finish):g} s at rate {rate}",
                "correct start and stop, or raise the rate",
            )
        return start, stop

    def repeats(self, start: int, stop: int, rate: Rate) -> int:
        """Count the frame numbers after `start` that display the same frame as the number before them."""
        ordinals = self.ordinals(start, stop, rate)
        return sum(previous == ordinal for previous, ordinal in zip(ordinals, ordinals[1:]))

    def _first_number(self, seconds: Fraction, rate: Optional[Fraction]) -> int:
        """Return the first frame number displayed at or after `seconds`."""
        if rate is not None:
            return _ceil(seconds * rate)
        return bisect_left(self.times, self.times[0] + _ceil(seconds / self.time_base))


def parse_rate(rate: Rate) -> Optional[Fraction]:
    """Return a rate as frames per second, or None for "native". Raises UserError for anything else."""
    if rate == NATIVE:
        return None
    try:
        value = Fraction(rate)
    except (ValueError, TypeError, ZeroDivisionError):
        value = Fraction(0)
    if value <= 0:
        raise UserError(f"rate must be 'native' or frames per second above 0 ('1', '30000/1001'), got {rate!r}")
    return value


def state_of(path: Union[str, Path]) -> Tuple[int, int]:
    """Return what changes with a file's content: its bytes, and when it was last written in nanoseconds."""
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


def absolute(path: Union[str, Path]) -> str:
    """Return a path as an index stores it."""
    return str(Path(path).absolute())


def _ceil(value: Fraction) -> int:
    return -(-value.numerator // value.denominator)


def _exact(seconds: Union[int, float, Fraction]) -> Fraction:
    """Return seconds as an exact fraction: 12.1 is 121/10, as written, not the nearest binary fraction."""
    return Fraction(seconds) if isinstance(seconds, (int, Fraction)) else Fraction(repr(float(seconds)))

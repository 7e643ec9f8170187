"""When every frame of a file is shown, measured; and which of them a sampling rate asks for.

Headers lie about frame counts and rates, so nothing here is computed from them. All
arithmetic is in integers and fractions: at 29.97 frames per second a float drifts by a
frame within an hour.
"""

from __future__ import annotations

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
    """The displayed frames of one file: ordinal 0 is the first shown, counted in showing order."""

    path: str
    sha256: str
    width: int  # as displayed, rotation applied
    height: int
    rotation: int  # degrees counter-clockwise that the stored picture is turned by to display it
    pixel_aspect: Fraction  # width over height of one displayed pixel
    time_base: Fraction  # seconds per tick
    times: Tuple[int, ...]  # presentation times in ticks, rising
    end: int  # ticks: when the last frame has been shown
    keyframes: Tuple[int, ...]  # ordinals a decoder may start from; empty where seeking cannot be trusted
    stamps: Optional[Tuple[int, ...]] = None  # times as the file states them, where those are out of order

    def __post_init__(self) -> None:
        if not self.times or self.end <= self.times[0]:
            raise ValueError(f"{self.path}: an index needs frames and a duration, got {len(self.times)} frames")

    @property
    def duration(self) -> Fraction:
        """Seconds from the first frame to the end of the last, exact."""
        return (self.end - self.times[0]) * self.time_base

    @property
    def seconds(self) -> float:
        """Seconds from the first frame to the end of the last."""
        return float(self.duration)

    @property
    def native_rate(self) -> Fraction:
        """Mean frames per second of presentation time."""
        return len(self.times) / self.duration

    @property
    def display_aspect(self) -> Fraction:
        """Width over height of the picture as it is meant to be seen."""
        return Fraction(self.width, self.height) * self.pixel_aspect

    def count(self, rate: Rate) -> int:
        """Return how many frame numbers there are at `rate`: those with number / rate < duration."""
        wanted = parse_rate(rate)
        return len(self.times) if wanted is None else _ceil(self.duration * wanted)

    def frame_at(self, number: int, rate: Rate) -> int:
        """Return the ordinal of the frame on show `number` / `rate` seconds after the first. Raises IndexError."""
        return self.ordinals(number, number + 1, rate)[0]

    def ordinals(self, start: int, stop: int, rate: Rate) -> List[int]:
        """Return the ordinals shown at frame numbers `start` up to `stop`. Raises IndexError outside the file."""
        if not 0 <= start <= stop <= self.count(rate):
            raise IndexError(f"frames {start} to {stop} of {self.path}: it has 0 to {self.count(rate)} at rate {rate}")
        wanted = parse_rate(rate)
        if wanted is None:
            return list(range(start, stop))
        step = 1 / (wanted * self.time_base)  # ticks from one frame number to the next
        up, down, first = step.numerator, step.denominator, self.times[0]
        return [bisect_right(self.times, first + number * up // down) - 1 for number in range(start, stop)]

    def time_of(self, ordinal: int) -> Fraction:
        """Return the seconds from the first frame to the one with this ordinal."""
        return (self.times[ordinal] - self.times[0]) * self.time_base

    def span(self, start_seconds: Optional[float], stop_seconds: Optional[float], rate: Rate) -> Tuple[int, int]:
        """Return (start, stop) of the frame numbers shown from `start_seconds` up to `stop_seconds`.

        None stands for the file's first frame and its end. A stop at most one step past the
        end means the end. Raises MediaError where the file is shorter or the range holds no frame.
        """
        begin = _exact(start_seconds) if start_seconds is not None else Fraction(0)
        finish = _exact(stop_seconds) if stop_seconds is not None else self.duration
        wanted = parse_rate(rate)
        step = 1 / (wanted or self.native_rate)
        if begin < 0 or finish > self.duration + step:
            raise MediaError(
                self.path,
                f"seconds {float(begin):g} to {float(finish):g} were asked for, it lasts {self.seconds:.3f} s",
                "correct start and stop",
            )
        finish = min(finish, self.duration)
        start, stop = self._number(begin, wanted), self._number(finish, wanted)
        if start >= stop:
            raise MediaError(
                self.path,
                f"no frame is shown from {float(begin):g} s up to {float(finish):g} s at rate {rate}",
                "correct start and stop, or raise the rate",
            )
        return start, stop

    def repeats(self, start: int, stop: int, rate: Rate) -> int:
        """Count the frame numbers after `start` that show the same frame as the number before them."""
        shown = self.ordinals(start, stop, rate)
        return sum(one == other for one, other in zip(shown, shown[1:]))

    def _number(self, seconds: Fraction, rate: Optional[Fraction]) -> int:
        """Return the first frame number shown at or after `seconds`."""
        if rate is not None:
            return _ceil(seconds * rate)
        return bisect_left(self.times, self.times[0] + _ceil(seconds / self.time_base))


def parse_rate(rate: Rate) -> Optional[Fraction]:
    """Return frames per second, or None for "native". Raises UserError for anything else."""
    if rate == NATIVE:
        return None
    try:
        value = Fraction(rate)
    except (ValueError, TypeError, ZeroDivisionError):
        value = Fraction(0)
    if value <= 0:
        raise UserError(f"rate must be 'native' or frames per second above 0 ('1', '30000/1001'), got {rate!r}")
    return value


def absolute(path: Union[str, Path]) -> str:
    """Return the path as an index names it."""
    return str(Path(path).absolute())


def _ceil(value: Fraction) -> int:
    return -(-value.numerator // value.denominator)


def _exact(seconds: Union[int, float, Fraction]) -> Fraction:
    """Read 12.1 as 121/10, as the person who wrote it meant, not as the nearest binary fraction."""
    return Fraction(seconds) if isinstance(seconds, (int, Fraction)) else Fraction(repr(float(seconds)))

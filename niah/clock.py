"""Times of a video as people write them: 75 seconds are 1:15, and 3,675 are 1:01:15."""

from __future__ import annotations

import math
import re
from fractions import Fraction

CLOCK = r"(?:\d+:)?\d{1,3}:\d\d(?:\.\d+)?"  # 1:15, 1:01:15, 0:03.5
RANGE = re.compile(rf"({CLOCK}) to ({CLOCK})")


def format_clock(seconds: Fraction | float, decimals: int = 0) -> str:
    """Return seconds as minutes and seconds, from an hour on with hours; halves are rounded up."""
    parts = math.floor(Fraction(seconds) * 10**decimals + Fraction(1, 2))
    whole, rest = divmod(parts, 10**decimals)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    head = f"{hours}:{minute:02}:{second:02}" if hours else f"{minutes}:{second:02}"
    return f"{head}.{rest:0{decimals}}" if decimals else head


def clock_seconds(text: str) -> Fraction:
    """Return the seconds of a text such as "1:15" or "1:01:15.5"."""
    seconds = Fraction(0)
    for part in text.split(":"):
        seconds = 60 * seconds + Fraction(part)
    return seconds


def clock_ranges(text: str) -> list[tuple[Fraction, Fraction]]:
    """Return start and stop, in seconds, of each "1:15 to 2:30" in a text."""
    return [(clock_seconds(start), clock_seconds(stop)) for start, stop in RANGE.findall(text)]

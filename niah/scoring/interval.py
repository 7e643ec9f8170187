"""Read the interval of time that a reply names: "12:05 - 12:40", "between 65 s and 80 s", `{"start": 65, "end": 80}`.

Times are clocks or numbers, of seconds if nothing else is said. A reply that names no interval, two of them, one that
ends before it starts, or frame numbers, is unanswered. (ExtremeWhenBench, arXiv 2606.12300, takes the last two numbers
and exchanges them where they are reversed.)
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Optional, Tuple

from niah.clock import CLOCK, clock_seconds
from niah.scoring.structured import marked_parts
from niah.scoring.visible import visible_text

Interval = Tuple[float, float]  # start and stop, in seconds

_UNITS = {"h": 3600, "m": 60, "s": 1}
_UNIT = r"(?:hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s)"
_COMPOUND = re.compile(  # 1 hour 2 minutes 5 seconds, 2 min 5 s, 2m5s
    r"(?<![\w.:])(?:(\d+) ?(?:hours?|hrs?|h)(?: and|,)? ?)?(\d+) ?(?:minutes?|mins?|m)(?: and|,)? ?"
    r"(\d+(?:\.\d+)?) ?(?:seconds?|secs?|s)\b",
    re.I,
)
_START, _STOP = (rf"(?P<{name}>{CLOCK}|\d+(?:\.\d+)?)(?: ?(?P<{name}_unit>{_UNIT})\b)?" for name in ("start", "stop"))
_RANGES = (
    re.compile(rf"(?<![\w.:]){_START} ?(?:-+|to|until|till|and|bis|à|a|al|至|到) ?{_STOP}(?![\w:]|\.\d)", re.I),
    re.compile(rf"[\[(] ?{_START} ?, ?{_STOP} ?[\])]", re.I),
    re.compile(
        rf"\b(?:start|begin)(?:_?time|s|ning)?\b[\"']? ?(?:[:=]|at|is)? ?[\"']?{_START}[^\d]{{1,30}}?"
        rf"\b(?:end|stop)(?:_?time|s|ing)?\b[\"']? ?(?:[:=]|at|is)? ?[\"']?{_STOP}(?![\w:]|\.\d)",
        re.I,
    ),
)


def read_interval(reply: str, seconds: float, in_thought: bool = False) -> Optional[Interval]:
    """Return the one interval that a reply names, cut to the video; None if it is unanswered.

    Args:
        reply: What the model said.
        seconds: How long the video lasts.
        in_thought: Whether the prompt ended inside a thought; a reply that never closes it is unanswered.
    """
    text = visible_text(reply, in_thought)
    text = " ".join(marked_parts(text)) or text
    if re.search(r"\bframes?\b", text, re.I):
        return None
    text = _COMPOUND.sub(_as_seconds, text)
    named = {found for pattern in _RANGES for match in pattern.finditer(text) for found in [_interval(match)]}
    if len(named) != 1:
        return None
    start, stop = named.pop()
    return (start, min(stop, seconds)) if start < min(stop, seconds) else None


def overlap(one: Interval, other: Interval) -> float:
    """Return the intersection of two intervals over their union (IoU)."""
    shared = max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
    return shared / ((one[1] - one[0]) + (other[1] - other[0]) - shared)


def _as_seconds(found: re.Match) -> str:
    """Return hours, minutes and seconds as seconds."""
    hours, minutes, seconds = (Fraction(part or 0) for part in found.groups())
    return f"{float(3600 * hours + 60 * minutes + seconds):g} s"


def _interval(found: re.Match) -> Interval:
    """Return a match in seconds; a unit that only the stop has is that of both."""
    unit = found["start_unit"] or found["stop_unit"]
    return _seconds(found["start"], unit), _seconds(found["stop"], found["stop_unit"] or unit)


def _seconds(time: str, unit: Optional[str]) -> float:
    """Return a clock or a number with a unit in seconds."""
    return float(clock_seconds(time)) if ":" in time else float(time) * _UNITS[(unit or "s")[0].lower()]

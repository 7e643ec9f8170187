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
_HOURS, _MINUTES, _SECONDS = r"(?:hours?|hrs?|h)", r"(?:minutes?|mins?|m)", r"(?:seconds?|secs?|s)"
_NUMBER, _JOIN = r"\d+(?:\.\d+)?", r"(?: and|,)? ?"
# Not \w: scripts that set no blanks have a word right before and behind a time.
_BEFORE, _AFTER = r"(?<![0-9A-Za-z_.:])", r"(?![0-9A-Za-z_:]|\.\d)"
_COMPOUND = re.compile(  # 1 hour 2 minutes, 1 hour 2 minutes 5 seconds, 2 min 5 s, 2m5s
    rf"{_BEFORE}(?=\d)(?:({_NUMBER}) ?{_HOURS})?(?:{_JOIN}({_NUMBER}) ?{_MINUTES})?"
    rf"(?:{_JOIN}({_NUMBER}) ?{_SECONDS})?\b",
    re.I,
)
_START, _STOP = (
    rf"(?P<{name}>{CLOCK}|{_NUMBER})(?: ?(?P<{name}_unit>{_HOURS}|{_MINUTES}|{_SECONDS})\b)?"
    for name in ("start", "stop")
)
_RANGES = (
    re.compile(
        rf"{_BEFORE}{_START} ?(?:-+>?|to|until|till|and|bis|à|a|al|至|到|から|부터) ?"
        rf"(?:(?:about|around|approximately|roughly) )?{_STOP}{_AFTER}",
        re.I,
    ),
    re.compile(rf"[\[(] ?{_START} ?, ?{_STOP} ?[\])]", re.I),
    re.compile(
        rf"\b(?:start|begin)(?:_?time|s|ning)?\b[\"']? ?(?:[:=]|at|is)? ?[\"']?{_START}[^\d]{{1,30}}?"
        rf"\b(?:end|stop)(?:_?time|s|ing)?\b[\"']? ?(?:[:=]|at|is)? ?[\"']?{_STOP}{_AFTER}",
        re.I,
    ),
)
_FRAMES = re.compile(r"\bframes?\b|\bfotogramas?\b|帧|幀|フレーム|프레임", re.I)
_TILDE = re.compile(r"(?<=\d)\s?[~\uff5e\u301c]\s?(?=\d)")  # a dash in East Asian texts
_OTHER_UNITS = tuple(
    (re.compile(rf"(?<=\d)\s?(?:{words})"), f" {unit} ")
    for words, unit in (("小时|小時|時間|시간", "h"), ("分钟|分鐘|分|분", "min"), ("秒钟|秒鐘|秒|초", "s"))
)


def read_interval(reply: str, seconds: float, in_thought: bool = False) -> Optional[Interval]:
    """Return the one interval that a reply names, cut to the video; None if it is unanswered.

    Args:
        reply: What the model said.
        seconds: How long the video lasts.
        in_thought: Whether the prompt ended inside a thought; a reply that never closes it is unanswered.
    """
    text = visible_text(_TILDE.sub("-", reply), in_thought)
    text = " ".join(marked_parts(text)) or text
    if _FRAMES.search(text):
        return None
    for words, unit in _OTHER_UNITS:
        text = words.sub(unit, text)
    text = _COMPOUND.sub(_as_seconds, re.sub(" +", " ", text))
    named = {found for pattern in _RANGES for match in pattern.finditer(text) for found in [_interval(match)]}
    if len(named) != 1:
        return None
    start, stop = named.pop()
    return (start, min(stop, seconds)) if start < min(stop, seconds) else None


def overlap(one: Interval, other: Interval) -> float:
    """Return the intersection of two intervals over their union (IoU)."""
    shared = max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
    return shared / ((one[1] - one[0]) + (other[1] - other[0]) - shared)


def format_interval(interval: Optional[Interval]) -> str:
    """Return an interval in seconds for a log: "65.5 s - 80 s"; nothing for none."""
    return "" if interval is None else f"{interval[0]:g} s - {interval[1]:g} s"


def _as_seconds(found: re.Match) -> str:
    """Return hours, minutes and seconds as seconds; one of them alone stays, as the unit may be that of both times."""
    if sum(part is not None for part in found.groups()) < 2:
        return found.group()
    hours, minutes, seconds = (Fraction(part or 0) for part in found.groups())
    return f"{float(3600 * hours + 60 * minutes + seconds):g} s"


def _interval(found: re.Match) -> Interval:
    """Return a match in seconds; a unit that only the stop has is that of both."""
    unit = found["start_unit"] or found["stop_unit"]
    return _seconds(found["start"], unit), _seconds(found["stop"], found["stop_unit"] or unit)


def _seconds(time: str, unit: Optional[str]) -> float:
    """Return a clock or a number with a unit in seconds."""
    return float(clock_seconds(time)) if ":" in time else float(time) * _UNITS[(unit or "s")[0].lower()]

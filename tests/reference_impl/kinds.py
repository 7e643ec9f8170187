"""What seeker answers to each kind of question, frame by frame, from the lines of cases.jsonl alone.

Calibration clip `needle-007` has the bar-code of source 7, so a frame's source says which clip it shows. Nothing here is
shared with the generator, the adapter or the tables.
"""

from __future__ import annotations

import re
from typing import Any

Row = dict[str, Any]  # a line of cases.jsonl


def shown(row: Row) -> list[tuple[str, int]]:
    """Return source and number of every frame of a case's video."""
    frames = []
    for span in row["timeline"]:
        for number in range(span["start"], span["stop"]):
            frames.append((span["source"], number))
    return frames


def sampled(row: Row, k: int) -> list[int]:
    """Return the middles of k equal parts of a video; all frames of a shorter one."""
    length = len(shown(row))
    if length <= k:
        return list(range(length))
    return [(2 * part + 1) * length // (2 * k) for part in range(k)]


def is_right(row: Row, k: int) -> bool:
    """Return whether seeker with k frames answers a case correctly."""
    frames = shown(row)
    return any(frames[frame][0] == row["needle"] for frame in sampled(row, k))


def letter_of_time(row: Row, clip: str) -> str:
    """Return the letter of the only option whose times include every frame of a clip, and those of no other frame."""
    times = [frame / row["fps"] for frame, (source, _) in enumerate(shown(row)) if source == clip]
    found = []
    for letter, option in zip("ABCDEFGHIJ", row["options"], strict=False):
        inside = [any(start <= time < stop for start, stop in ranges(option)) for time in times]
        assert all(inside) or not any(inside), (row["id"], option)
        found += [letter] * all(inside)
    (letter,) = found
    return letter


def ranges(option: str) -> list[tuple[float, float]]:
    """Return the start and stop, in seconds, of each part of an option such as "9:10 to 10:00, or 0:00 to 1:30"."""
    return [(seconds(start), seconds(stop)) for start, stop in re.findall(r"([\d:.]+) to ([\d:.]+)", option)]


def seconds(clock: str) -> float:
    """Return the seconds of 1:30, 1:01:30 or 0:04.5."""
    parts = [float(part) for part in clock.split(":")]
    return sum(part * 60**place for place, part in enumerate(reversed(parts)))


def first_clip(row: Row, k: int) -> str:
    """Return the clip that the first sampled frame of any clip shows; "" if all of them show haystack."""
    frames = shown(row)
    clips = [frames[frame][0] for frame in sampled(row, k) if frames[frame][0].startswith("needle")]
    return clips[0] if clips else ""


def is_right_about_order(row: Row, k: int) -> bool:
    """Return whether seeker knows which of two clips comes first: it saw a frame of each."""
    frames = shown(row)
    seen = {frames[frame][0] for frame in sampled(row, k)}
    return set(row["asked"]) <= seen


def order(row: Row) -> str:
    """Return the letter of the clip asked about that is shown first."""
    for source, _ in shown(row):
        if source in row["asked"]:
            return "AB"[row["asked"].index(source)]
    raise ValueError(row["id"])


def copies(row: Row) -> int:
    """Return how often the clip asked about is shown, counted by its first frame."""
    return shown(row).count((row["needle"], 0))


def copies_seen(row: Row, k: int) -> int:
    """Return of how many copies seeker sees a frame: the starts that these frames name."""
    frames = shown(row)
    starts = set()
    for frame in sampled(row, k):
        source, number = frames[frame]
        if source == row["needle"]:
            starts.add(frame - number)
    return len(starts)


def interval_overlap(row: Row, k: int) -> float:
    """Return the overlap of the clip with what seeker says: from its start to the end of the last frame of it seen."""
    frames = shown(row)
    clip = [frame for frame, (source, _) in enumerate(frames) if source == row["needle"]]
    seen = [frame for frame in sampled(row, k) if frame in clip]
    return len(range(clip[0], max(seen) + 1)) / len(clip) if seen else 0.0

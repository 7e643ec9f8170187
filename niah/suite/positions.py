"""Draw where needles start: uniformly within a depth bin, then moved to a scene cut of the haystack.

Fixed depths alias with uniform sampling: depending on k alone, k evenly spaced frames always or never include a needle
at depth 0.1, 0.3, 0.5, 0.7 or 0.9. With a start drawn within a bin, they include it as often as its length implies. A
needle inside a scene stands out, because the same scene continues after it; one between two scenes does not.

Depth is start / (length - needle frames). Bins divide 0 to 1 equally; the last one is closed. A clip may extend into
the next bin: otherwise no start could be drawn near one end of each bin, and aliasing would return.
"""

from __future__ import annotations

import bisect
import random
from collections.abc import Sequence


def starts_in_bin(number: int, bins: int, room: int) -> range:
    """Return the starts whose depth, start / room, lies in bin `number` of `bins`; may be empty if `room` is small."""
    if not 0 <= number < bins:
        raise ValueError(f"expected a bin from 0 to {bins - 1}, got {number}")
    start = -(-number * room // bins)  # rounded up
    stop = -(-(number + 1) * room // bins)
    return range(start, stop + (number == bins - 1))


def bin_of(start: int, bins: int, room: int) -> int:
    """Return which of `bins` depth bins contains a start, 0 to `room`; the last bin is closed."""
    if not 0 <= start <= room:
        raise ValueError(f"expected a start from 0 to {room}, got {start}")
    if not room:
        raise ValueError("a needle that fills the video has no depth")
    return min(bins * start // room, bins - 1)


def draw_start(name: str, number: int, bins: int, room: int, cuts: Sequence[int]) -> int | None:
    """Return the start of a needle in one depth bin, or None if the bin has no start.

    The start is drawn uniformly from the bin and then moved to the nearest of `cuts` in the same bin. Without a cut in
    the bin it is not moved.

    Args:
        name: Seeds the draw, so that all models get the same cases.
        number: Index of the bin.
        bins: The number of bins.
        room: The largest possible start: the length of the video without the needle.
        cuts: Frames of the haystack at which scenes begin, ascending.
    """
    starts = starts_in_bin(number, bins, room)
    if not starts:
        return None
    drawn = random.Random(name).choice(starts)
    inside = cuts[bisect.bisect_left(cuts, starts.start) : bisect.bisect_left(cuts, starts.stop)]
    return nearest(drawn, inside) if inside else drawn


def nearest(frame: int, cuts: Sequence[int]) -> int:
    """Return the cut nearest to a frame, the earlier of two equally near; `cuts` are ascending and not empty."""
    after = bisect.bisect_left(cuts, frame)
    candidates = cuts[max(after - 1, 0) : after + 1]
    return min(candidates, key=lambda cut: (abs(cut - frame), cut))

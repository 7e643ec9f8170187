"""Where needles start: drawn uniformly within a depth bin, then moved to a scene cut of the haystack.

Fixed depths alias with uniform sampling: k evenly spaced frames meet 0.1, 0.3, 0.5, 0.7 and 0.9 always or never, by the
arithmetic of k. A start drawn within a bin meets them as often as its frames deserve. A needle that cuts a scene in two
gives itself away, because the same scene resumes behind it; one that stands between two scenes does not.

Depth is start / (length - needle frames). Bins share 0 to 1 equally; the last one is closed. A clip may reach into the
next bin: forbidding that would keep starts away from one end of each bin, and so bring the aliasing back.
"""

from __future__ import annotations

import bisect
import random
from collections.abc import Sequence


def starts_in_bin(number: int, bins: int, room: int) -> range:
    """Return the starts whose depth, start / room, lies in bin `number` of `bins`; none where there is little room."""
    if not 0 <= number < bins:
        raise ValueError(f"wanted a bin from 0 to {bins - 1}, got {number}")
    start = -(-number * room // bins)  # rounded up
    stop = -(-(number + 1) * room // bins)
    return range(start, stop + (number == bins - 1))


def bin_of(start: int, bins: int, room: int) -> int:
    """Return which of `bins` depth bins holds a start, 0 to `room`."""
    if not 0 <= start <= room:
        raise ValueError(f"wanted a start from 0 to {room}, got {start}")
    return min(bins * start // room, bins - 1) if room else 0


def draw_start(name: str, number: int, bins: int, room: int, cuts: Sequence[int]) -> int | None:
    """Return the start of a needle in one depth bin, or None where the bin holds none.

    The start is uniform over the bin's frames and follows from `name` alone, so that all models meet the same cases. It
    is then moved to the nearest of `cuts` (ascending; frames of the haystack before which a scene begins) that lies in
    the same bin; without one in the bin it stays where it was drawn.
    """
    starts = starts_in_bin(number, bins, room)
    if not starts:
        return None
    drawn = random.Random(name).choice(starts)
    inside = cuts[bisect.bisect_left(cuts, starts.start) : bisect.bisect_left(cuts, starts.stop)]
    return nearest(drawn, inside) if inside else drawn


def nearest(frame: int, cuts: Sequence[int]) -> int:
    """Return the cut nearest to a frame, of two equally near ones the earlier; `cuts` ascend and are not empty."""
    after = bisect.bisect_left(cuts, frame)
    candidates = cuts[max(after - 1, 0) : after + 1]
    return min(candidates, key=lambda cut: (abs(cut - frame), cut))

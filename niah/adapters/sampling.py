"""Which frames a model that takes only so many is shown.

Bin centres, so that the first and the last frame, and depths 0 and 1 with them, are no
easier than others.
"""

from __future__ import annotations

from typing import List


def bin_centres(count: int, limit: int) -> List[int]:
    """Return the middle frame of each of `limit` equal parts, or every frame of a shorter video."""
    return sorted({(2 * part + 1) * count // (2 * limit) for part in range(limit)}) if count else []

"""Which frames of a video file the release's scripts look at."""

from __future__ import annotations

import math

CAP = 600  # frames; 3600 before 2025-03-24


def release_frames(fps: float, decoded: int, cap: int = CAP) -> list[int]:
    """Return every int(fps)-th of `decoded` frames, thinned evenly to `cap` where they are more.

    Raises ValueError below 1 frame a second, where the release divides by zero.
    """
    step = int(fps)
    if step < 1:
        raise ValueError(f"the release's sampling needs at least 1 frame a second, got {fps}: it would divide by zero")
    frames = list(range(0, decoded, step))
    if len(frames) <= cap:
        return frames
    if cap == 1:
        return frames[:1]
    stride = (len(frames) - 1) / (cap - 1)
    last = [len(frames) - 1]  # exactly, as numpy's linspace ends
    return [frames[place] for place in [*(math.floor(n * stride) for n in range(cap - 1)), *last]]

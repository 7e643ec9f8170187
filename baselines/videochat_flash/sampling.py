"""Which frames VideoChat-Flash looks at, and the sentence it tells the language model about them."""

from __future__ import annotations

import numpy as np

FEWEST = 64  # frames, where the video has so many
STEP = 8


def frame_indices(frames: int, fps: float, most: int) -> list[int]:
    """Return the frames shown: about one a second in multiples of 8, at most `most`, then at least 64.

    The middles of equal integer intervals, in playing order; the last frame repeats where a video has fewer
    than 8. Raises ValueError for a video without frames.
    """
    if frames < 1:
        raise ValueError("a video without frames has none to sample")
    wanted = STEP * int(frames / fps // STEP) or STEP
    fewest = FEWEST if frames >= FEWEST else STEP * (frames // STEP)
    wanted = max(min(wanted, most), fewest)
    count = min(wanted, frames)
    # np.linspace, truncated, as the release: exact integer division would differ by a frame now and then.
    edges = np.linspace(0, frames, count + 1).astype(int)
    middles = ((edges[:-1] + edges[1:] - 1) // 2).tolist()
    return middles + [middles[-1]] * (wanted - count)


def time_message(seconds: float, frames: int) -> str:
    """Return the sentence with the duration and the number of frames shown."""
    return f"The video lasts for {seconds:.2f} seconds, and {frames} frames are uniformly sampled from it."

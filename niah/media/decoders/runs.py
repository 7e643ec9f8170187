"""Cut the wanted frames of a file into runs that can be decoded at the same time, and say by how many threads."""

from __future__ import annotations

import os
from bisect import bisect_right
from typing import List, Sequence

from niah.media.index import Index

SHORTEST_RUN = 96  # frames of the file from one cut to the next: below, seeking costs more than it saves
READERS_BYTES = 160 << 20  # of all open readers of one file; measured: 18 MiB for one at 1280 x 720
BUFFERED_PICTURES = 13  # that a decoder with one thread holds, in YUV 4:2:0; the size of a reader follows from it


def cut_runs(ordinals: Sequence[int], keyframes: Sequence[int], shortest: int) -> List[Sequence[int]]:
    """Cut ascending ordinals at keyframes: each run is decoded from a keyframe where no other run needs a frame.

    The keyframes from which two neighbouring runs are decoded are at least `shortest` frames apart.
    """
    starts = [0] if ordinals else []
    begun = keyframe_of(ordinals[0], keyframes) if ordinals else 0
    for position, ordinal in enumerate(ordinals):
        keyframe = keyframe_of(ordinal, keyframes)
        if keyframe - begun >= shortest:
            starts.append(position)
            begun = keyframe
    return [ordinals[start:stop] for start, stop in zip(starts, [*starts[1:], len(ordinals)])]


def readers_for(index: Index) -> int:
    """Return how many readers of one file may decode at a time: as many as there are cores and memory for."""
    each = index.width * index.height * 3 // 2 * BUFFERED_PICTURES
    return max(1, min(cores(), READERS_BYTES // each))


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def keyframe_of(ordinal: int, keyframes: Sequence[int]) -> int:
    """Return the ordinal of the last keyframe up to a frame; 0 where there is none."""
    before = bisect_right(keyframes, ordinal)
    return keyframes[before - 1] if before else 0

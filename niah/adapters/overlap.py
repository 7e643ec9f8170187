"""How much of a source's time a model hides: its run beside one that sleeps as long as the model computes.

Where everything is hidden the run takes as long as computing alone, where nothing is, twice as long.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence

import numpy as np
import torch

from niah.adapters.bench import WARM_UP, BenchModel, NoiseVideo
from niah.adapters.meter import clock
from niah.media.in_order import in_order
from niah.media.video import AHEAD_FRAMES


class SleepingVideo(NoiseVideo):
    """Noise for which a reader sleeps some seconds a frame: in a thread of its own where frames were announced."""

    def __init__(self, count: int, side: int, seconds: float) -> None:
        super().__init__(count, side)
        self.read, self.slept = 0, 0.0
        self._seconds = seconds
        self._announced: list[int] = []  # and not asked for yet
        self._ahead: Generator[int, None, None] | None = None

    def announce(self, indices: Sequence[int]) -> None:
        """Begin to read frames ahead of being asked for them, in this order."""
        self.close()
        self._announced = list(indices)
        wanted = tuple(indices)
        self._ahead = in_order([lambda: map(self._sleep, wanted)], 1, AHEAD_FRAMES)

    def frames(self, indices: Sequence[int]) -> np.ndarray:
        """Return the named frames once they are read."""
        wanted = list(indices)
        if self._ahead is not None and self._announced[: len(wanted)] == wanted:
            del self._announced[: len(wanted)]
            for _ in wanted:
                next(self._ahead)
        else:
            self.close()
            for number in wanted:
                self._sleep(number)
        return super().frames(indices)

    def close(self) -> None:
        """End the reading ahead."""
        if self._ahead is not None:
            self._ahead.close()
        self._ahead = None

    def _sleep(self, number: int) -> int:
        began = time.perf_counter()
        time.sleep(self._seconds)
        self.read += 1
        self.slept += time.perf_counter() - began
        return number


def overlap(model: BenchModel, frames: int) -> str:
    """Run a model alone, then beside a source that takes as long; return the seconds and their ratio in words."""
    with torch.inference_mode():
        _run(model, SleepingVideo(min(WARM_UP, frames), model.side, 0.0))
        idle = SleepingVideo(frames, model.side, 0.0)
        alone = _run(model, idle)
        beside = SleepingVideo(frames, model.side, alone / idle.read)
        both = _run(model, beside)
    longer = max(alone, beside.slept)
    return (
        f"{frames:,} frames: computing {alone:.2f} s, reading {beside.slept:.2f} s, both {both:.2f} s, "
        f"{both / longer:.2f} of the longer"
    )


def _run(model: BenchModel, video: SleepingVideo) -> float:
    """Return the seconds up to the first logits."""
    began = clock(model.device)
    try:
        model.run(video, "streamed")
        return clock(model.device) - began
    finally:
        video.close()

"""A video of grey pictures that tell their frame, for adapters that send frames to a server or an engine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class GreyFilm:
    """A video whose frame number n is grey 2 n."""

    decode_seconds = 0.0

    def __init__(self, count: int, fps: float = 1.0) -> None:
        self.count, self.fps = count, fps

    def __len__(self) -> int:
        return self.count

    def announce(self, indices: Sequence[int]) -> None:
        pass

    def frames(self, indices: Sequence[int]) -> np.ndarray:
        return np.stack([np.full((16, 16, 3), 2 * index, np.uint8) for index in indices])

"""A video of noise that needs no file, for adapters that ask for frames by index."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from niah.types import FrameKey

SIZE = 45, 60  # height and width


class FakeVideo:
    """Frames of named sources, each a picture of its own; counts what it decodes, and how many at once."""

    decode_seconds = 0.0

    def __init__(self, *spans: tuple[str, int, int], fps: float = 1.0) -> None:
        self.places = [(source, number) for source, start, stop in spans for number in range(start, stop)]
        self.fps = fps
        self.handed_out: set[int] = set()
        self.decoded, self.most = 0, 0
        self.announced: list[int] = []  # and not yet asked for, in order

    def __len__(self) -> int:
        return len(self.places)

    def keys(self, start: int, stop: int) -> list[FrameKey]:
        return [FrameKey(source, str(number), "noise", "fake 1", number) for source, number in self.places[start:stop]]

    def announce(self, indices):
        self.announced = list(indices)

    def iterate(self, chunk):
        raise NotImplementedError("the adapter asks for frames by index")

    def path(self):
        raise NotImplementedError("the adapter needs no file")

    def frames(self, indices: Sequence[int]) -> np.ndarray:
        self.decoded, self.most = self.decoded + len(indices), max(self.most, len(indices))
        assert list(indices) == self.announced[: len(indices)] or not self.announced, "another frame was announced"
        del self.announced[: len(indices)]
        draws = [np.random.default_rng([ord(source), number]) for source, number in (self.places[i] for i in indices)]
        return np.stack([draw.integers(0, 256, (*SIZE, 3), dtype=np.uint8) for draw in draws])

"""Some frames of a video as a video of its own, for a model whose release shows it only those."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from niah.types import FrameKey, Video


class SampledVideo:
    """The numbered frames of a video.

    A key carries the place of its frame among those taken, not among all: so frames that lie apart still fill a batch
    of an encoder, and a frame whose place changes with the length of the video is encoded anew.
    """

    def __init__(self, video: Video, numbers: Sequence[int]) -> None:
        self._video, self.numbers = video, tuple(numbers)
        self.fps = video.fps * len(self.numbers) / len(video) if len(video) else video.fps

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def handed_out(self) -> set[int]:
        """The frames of the whole video that were given so far."""
        return self._video.handed_out

    @property
    def decode_seconds(self) -> float:
        """Time spent waiting for the decoder so far."""
        return self._video.decode_seconds

    def frames(self, indices: Sequence[int]) -> np.ndarray:
        """Return the frames with these places among those taken."""
        return self._video.frames([self.numbers[index] for index in indices])

    def announce(self, indices: Sequence[int]) -> None:
        """Have the frames with these places decoded while the model computes."""
        self._video.announce([self.numbers[index] for index in indices])

    def iterate(self, chunk: int) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
        """Yield (places, frames) of at most `chunk` frames, announced."""
        self.announce(range(len(self)))
        for start in range(0, len(self), chunk):
            places = tuple(range(start, min(start + chunk, len(self))))
            yield places, self.frames(places)

    def keys(self, start: int, stop: int) -> list[FrameKey]:
        """Return the keys of the frames at places `start` up to `stop`."""
        whole = self._video.keys(0, len(self._video))
        return [whole[self.numbers[place]]._replace(number=place) for place in range(start, stop)]

    def path(self) -> str:
        """Render the whole video."""
        return self._video.path()

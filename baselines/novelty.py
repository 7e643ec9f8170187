"""Keep the K frames least similar to the rest, without looking at the question, and guess.

niah run --model novelty        accuracy near .25; what matters is whether a needle is among the kept

If it keeps needle frames more often than chance would, needles look unlike their haystack,
and a model can find them without reading the question.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, UInt8

from baselines.chance import guess
from niah.adapters.feature_store import FeatureStore
from niah.settings import positive_int
from niah.types import Question, Reply, Video

CHUNK = 64  # frames decoded at a time
REMEMBERED = 48 << 20  # bytes of descriptions kept between cases: of 130,000 frames, 384 bytes each
GRID = 4  # cells along a side, whose mean colours describe a frame


class QuestionBlind:
    """An adapter that selects frames by their colours alone and guesses: one pass, 48 numbers held per frame.

    `select` takes descriptors, (frames, 48), and a limit, and returns at most so many frames in playing order.
    Descriptions are kept between cases, which share their haystacks: decoding is nearly all the time this takes.
    """

    def __init__(self, select: Callable[[np.ndarray, int], list[int]], limit: int) -> None:
        self.select = select
        self.limit = limit
        self._known = FeatureStore(REMEMBERED, 0, ".")
        self._sizes: dict[str, tuple[int, int]] = {}  # height and width of frames, by their preprocessing

    def answer(self, video: Video, question: Question) -> Reply:
        """Keep the selected frames; the letter is a guess."""
        began, waited = time.perf_counter(), video.decode_seconds
        keys = video.keys(0, len(video))
        found = [self._known.get(key) for key in keys]
        missing = [number for number, numbers in enumerate(found) if numbers is None]
        video.announce(missing)
        for start in range(0, len(missing), CHUNK):
            chunk = missing[start : start + CHUNK]
            frames = video.frames(chunk)
            for number, numbers in zip(chunk, describe(frames), strict=True):
                found[number] = numbers
                self._known.put(keys[number], numbers)
            self._sizes[keys[chunk[0]].preprocessing] = frames.shape[1:3]
        kept = self.select(np.array(found), self.limit) if keys else []
        size = self._sizes[keys[0].preprocessing] if keys else None
        seconds = time.perf_counter() - began - (video.decode_seconds - waited)
        used = tuple(range(len(video)))
        return Reply(
            guess(video, question),
            frames_used=used,
            frames_kept=tuple(kept),
            seconds={"select": seconds},
            reused_frames=len(keys) - len(missing),
            settings={"reads_question": False},  # the validity checks look for it
            frame_size=size,
            frame_times=None if size is None else False,
        )


def describe(frames: UInt8[np.ndarray, "frames height width 3"]) -> Float[np.ndarray, "frames numbers"]:
    """Return the mean colours of a 4 x 4 grid, 48 numbers a frame; frames need at least 4 x 4 pixels."""
    height, width = frames.shape[1:3]
    rows, columns = (np.arange(GRID) * length // GRID for length in (height, width))
    sums = np.add.reduceat(np.add.reduceat(frames, rows, axis=1, dtype=np.int64), columns, axis=2)
    areas = np.diff([*rows, height])[:, None] * np.diff([*columns, width])  # (4, 4)
    return (sums / areas[..., None]).reshape(len(frames), -1)


def outliers(descriptors: Float[np.ndarray, "frames numbers"], limit: int) -> list[int]:
    """Return, in playing order, the `limit` frames farthest from the median, in units of the median deviation."""
    deviations = abs(descriptors - np.median(descriptors, axis=0))
    distances = (deviations / (np.median(deviations, axis=0) + 1)).sum(axis=1)  # + 1: flat parts have no spread
    return sorted(np.argsort(-distances, kind="stable")[:limit].tolist())


def load(frames: int = 32) -> QuestionBlind:
    """Return an adapter that keeps `frames` frames."""
    return QuestionBlind(outliers, positive_int("frames", frames))

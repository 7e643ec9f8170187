"""Read the bar-codes of k evenly spread frames: the harness's own reference model.

niah run --model seeker --suite calibration        right exactly where a sampled frame lies in the needle

Frames are taken at bin centres, so depths 0 and 1 are no easier than others. On footage
without bar-codes it guesses.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from baselines.chance import guess
from niah.adapters.sampling import bin_centres
from niah.settings import positive_int
from niah.suite.footage.calibration import QUESTION, Barcode, read_barcode
from niah.types import LETTERS, Question, Reply, Video

NOT_FOUND = "No inserted clip was found."  # names no option: read as unanswered
BATCH = 16  # frames held at a time


class Seeker:
    """An adapter that reads from every frame it sees where it comes from."""

    def __init__(self, frames: int) -> None:
        self.limit = frames

    def answer(self, video: Video, question: Question) -> Reply:
        """Answer with the option that a sampled needle frame holds."""
        began, waited = time.perf_counter(), video.decode_seconds
        sampled = bin_centres(len(video), self.limit)
        codes: list[Barcode | None] = []
        size: tuple[int, int] | None = None
        video.announce(sampled)
        for start in range(0, len(sampled), BATCH):
            frames = video.frames(sampled[start : start + BATCH])
            codes += [read_barcode(frame) for frame in frames]
            size = frames.shape[1:3]
        seconds = time.perf_counter() - began - (video.decode_seconds - waited)
        text = _text([code for code in codes if code is not None], video, question)
        return Reply(
            text,
            frames_used=tuple(sampled),
            frames_kept=tuple(sampled),
            seconds={"read": seconds},
            frame_size=size,
            frame_times=False if sampled else None,
        )


def load(frames: int = 64) -> Seeker:
    """Return an adapter that samples `frames` frames."""
    return Seeker(positive_int("frames", frames))


def _text(codes: Sequence[Barcode], video: Video, question: Question) -> str:
    """Return the reply: the coded option, that there was none, or on other footage a guess."""
    if not codes and question.text != QUESTION:  # a blind calibration case shows no code either: nothing was found
        return guess(video, question)
    values = [str(code.value) for code in codes if code.value is not None]
    found = next((value for value in values if value in question.options), None)
    return NOT_FOUND if found is None else LETTERS[question.options.index(found)]

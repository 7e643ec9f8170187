"""Read the bar-codes of k evenly spread frames: the harness's own reference model.

niah run --model seeker --suite calibration        right exactly where a sampled frame lies in the needle

Frames are taken at bin centres, so depths 0 and 1 are no easier than others. On footage
without bar-codes it guesses.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from fractions import Fraction

from baselines.chance import guess
from niah.adapters.sampling import bin_centres
from niah.clock import clock_ranges
from niah.settings import positive_int, unknown_name
from niah.suite.footage.calibration import QUESTION, Barcode, read_barcode
from niah.types import LETTERS, Question, Reply, UserError, Video

NOT_FOUND = "No inserted clip was found."  # names no option: read as unanswered
CLIPS = ("asked", "first")  # the clip that the question names, or the first one that it sees
BATCH = 16  # frames held at a time


class Seeker:
    """An adapter that reads from every frame it sees where it comes from."""

    def __init__(self, frames: int, clip: str) -> None:
        self.limit = frames
        self.clip = clip

    def answer(self, video: Video, question: Question) -> Reply:
        """Answer from the bar-codes of the sampled frames."""
        began, waited = time.perf_counter(), video.decode_seconds
        sampled = bin_centres(len(video), self.limit)
        codes: list[tuple[int, Barcode | None]] = []
        size: tuple[int, int] | None = None
        video.announce(sampled)
        for start in range(0, len(sampled), BATCH):
            numbers = sampled[start : start + BATCH]
            frames = video.frames(numbers)
            codes += zip(numbers, map(read_barcode, frames), strict=True)
            size = frames.shape[1:3]
        seconds = time.perf_counter() - began - (video.decode_seconds - waited)
        seen = [(frame, code) for frame, code in codes if code is not None]
        text = _text(seen, video, question, self.clip == "asked")
        return Reply(
            text,
            frames_used=tuple(sampled),
            frames_kept=tuple(sampled),
            seconds={"read": seconds},
            frame_size=size,
            frame_times=False if sampled else None,
        )


def load(frames: int = 64, clip: str = "asked") -> Seeker:
    """Return an adapter that samples `frames` frames; `clip="first"` takes the first clip for the one asked about.

    Raises UserError for another `clip`.
    """
    if clip not in CLIPS:
        raise UserError(unknown_name("clip", clip, CLIPS))
    return Seeker(positive_int("frames", frames), clip)


def _text(codes: Sequence[tuple[int, Barcode]], video: Video, question: Question, is_keyed: bool) -> str:
    """Return the reply to what is asked about the coded clips, each code with the number of its frame in the video.

    On other footage it is a guess.
    """
    needles = [(frame, code) for frame, code in codes if code.value is not None]
    asked = [int(source) for source in re.findall(r"\bclip (\d+)\b", question.text)]
    starts = {source: sorted({frame - code.number for frame, code in needles if code.source == source})
              for source in asked}  # fmt: skip
    if len(asked) == 2:
        return _first(*(starts[source] for source in asked))
    if asked and is_keyed:
        needles = [(frame, code) for frame, code in needles if code.source == asked[0]]
    if asked and question.text.startswith("The video lasts"):
        return _when(starts[asked[0]], [frame for frame, code in needles if code.source == asked[0]], video, question)
    if asked and question.text.endswith("How many times is it shown?"):
        return LETTERS[question.options.index(str(len(starts[asked[0]])))]
    # A blind calibration case shows no code either: nothing was found.
    if not codes and not question.text.startswith(QUESTION):
        return guess(video, question)
    found = next((str(code.value) for _, code in needles if str(code.value) in question.options), None)
    return NOT_FOUND if found is None else LETTERS[question.options.index(found)]


def _when(starts: Sequence[int], seen: Sequence[int], video: Video, question: Question) -> str:
    """Return the option in which the clip starts, or the interval from its start to the end of the last frame seen.

    `starts` are where the clip's frames say it starts, `seen` the numbers of these frames in the video.
    """
    if not starts:
        return NOT_FOUND
    start = starts[0] / Fraction(str(video.fps))
    if not question.options:
        return f"{float(start):.3f} s - {(max(seen) + 1) / video.fps:.3f} s"
    return next(
        letter
        for letter, option in zip(LETTERS, question.options, strict=False)
        if any(first <= start < stop for first, stop in clock_ranges(option))
    )


def _first(one: Sequence[int], other: Sequence[int]) -> str:
    """Return which of two clips starts first, if both were seen."""
    if not one or not other:
        return NOT_FOUND
    return "A" if one[0] < other[0] else "B"

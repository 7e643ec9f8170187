"""Guess every answer: the floor of every figure.

niah run --model chance        accuracy near .25 where questions have four options
"""

from __future__ import annotations

import hashlib
import random
from typing import Any

from niah.types import LETTERS, Question, Reply, Video

MOST_PARTS = 1 << 17


class Chance:
    """An adapter that looks at nothing."""

    def answer(self, video: Video, question: Question) -> Reply:
        """Answer with a letter derived from the case itself."""
        return Reply(guess(video, question))


def load() -> Chance:
    """Return the adapter; it has no settings."""
    return Chance()


def guess(video: Video, question: Question) -> str:
    """Return a letter derived from the question and the keys of the video's frames, or an interval; decodes nothing.

    So a run can be repeated, while cells of a heatmap that show other frames get guesses of their own.
    """
    parts = (question.text, *question.options, *video.keys(0, len(video)))
    seed = hashlib.sha256(b"".join(map(_parts.__getitem__, parts)))
    draw = random.Random(seed.hexdigest())
    if question.options:
        return LETTERS[draw.randrange(len(question.options))]
    start, stop = sorted(draw.sample(range(len(video) + 1), 2)) if len(video) else (0, 1)
    return f"{start / video.fps:.2f} s to {stop / video.fps:.2f} s"


class _Parts(dict[Any, bytes]):
    """The bytes of texts and keys: cases show the same thousands of frames again, and looking up is all the work."""

    def __missing__(self, part: Any) -> bytes:
        if len(self) >= MOST_PARTS:
            self.clear()
        made = self[part] = repr(part).encode()
        return made


_parts = _Parts()

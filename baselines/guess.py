"""Guess a letter: what baselines without a model answer when they have nothing to go by.

The letter follows from the question and the names of the video's frames, so that a
run can be repeated, while cells of a heatmap that show other frames are guessed apart.
"""

from __future__ import annotations

import hashlib
import random

from niah.types import LETTERS, Question, UserError, Video


def guess(video: Video, question: Question) -> str:
    """Return a letter that the question's text and options and the video's keys decide; decodes nothing."""
    seed = hashlib.sha256()
    for part in (question.text, *question.options, *video.keys(0, len(video))):
        seed.update(repr(part).encode())
    return LETTERS[random.Random(seed.hexdigest()).randrange(len(question.options))]


def positive(name: str, value: int) -> int:
    """Return a setting that counts something. Raises UserError unless it is a whole number from 1 up."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(f"the setting {name} is a whole number from 1 up, got {value!r}; mend --model_args")
    return value

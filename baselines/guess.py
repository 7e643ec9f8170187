"""Guess a letter: what baselines without a model answer when they have nothing to go by.

The letter follows from the question and the names of the video's frames, so that a
run can be repeated, while cells of a heatmap that show other frames are guessed apart.
"""

from __future__ import annotations

import hashlib
import random

from niah.types import LETTERS, Question, Video


def guess(video: Video, question: Question) -> str:
    """Return a letter that the question's text and options and the video's keys decide; decodes nothing."""
    seed = hashlib.sha256()
    for part in (question.text, *question.options, *video.keys(0, len(video))):
        seed.update(repr(part).encode())
    return LETTERS[random.Random(seed.hexdigest()).randrange(len(question.options))]

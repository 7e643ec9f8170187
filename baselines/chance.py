"""Guess every answer: the floor of every figure.

niah run --model chance        accuracy near .25 where questions have four options
"""

from __future__ import annotations

from baselines.guess import guess
from niah.types import Question, Reply, Video


class Chance:
    """An adapter that looks at nothing."""

    def answer(self, video: Video, question: Question) -> Reply:
        """Answer with a letter drawn from the case's own content."""
        return Reply(guess(video, question))


def load() -> Chance:
    """Return the adapter; it has no settings."""
    return Chance()

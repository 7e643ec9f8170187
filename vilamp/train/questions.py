"""What a drawn clip can be asked: its own question, and others that its pictures answer.

Reading a video costs a compressor seconds and a question nothing, so a training of minutes learns more from several
questions about one video. Suites ask a clip its own question only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from niah.suite.footage.clips import CROSSING, DrawnClip
from niah.suite.footage.scenes import Track
from niah.types import LETTERS

QUESTIONS = {"motion": "Which way does the {look} move?", "digit": "Which digit is beside the {look}?"}


@dataclass(frozen=True)
class ClipQuestion:
    """A question about a clip and its right answer; `options` are those of the clip's own question, else none."""

    text: str
    answer: str
    options: tuple[str, ...] = ()


def questions(clip: DrawnClip) -> list[ClipQuestion]:
    """Return the clip's own question, then those about the motion and the digit of its target that it also answers."""
    own = ClipQuestion(clip.question, clip.options[LETTERS.index(clip.answer)], clip.options)
    targets = [track for track in clip.scene.tracks if track.look == clip.target]
    others = _about(targets[0]) if len(targets) == 1 else []  # of several, none would be meant
    return [own, *(question for question in others if question.text != own.text)]


def questions_about_others(clip: DrawnClip) -> list[ClipQuestion]:
    """Return what a clip answers about the sprites that its own question does not name.

    A model that does not see the question has to know of each sprite what it is and what it does.
    """
    others = (track for track in clip.scene.tracks if track.look != clip.target)
    return [question for track in others for question in _about(track)]


def _about(track: Track) -> list[ClipQuestion]:
    """Return what pictures answer about a sprite: where it goes, if it crosses them, and its digit, if it has one."""
    answers = {"motion": _direction(track), "digit": None if track.digit is None else str(track.digit)}
    return [
        ClipQuestion(QUESTIONS[kind].format(look=track.look), answer)
        for kind, answer in answers.items()
        if answer is not None
    ]


def _direction(track: Track) -> str | None:
    """Return where a sprite goes that crosses the picture, None for one that does not."""
    across, down = int(np.ptp(track.xs)), int(np.ptp(track.ys))
    if min(across, down) > 0 or max(across, down) < CROSSING[0]:
        return None
    if across:
        return "right" if track.xs[-1] > track.xs[0] else "left"
    return "down" if track.ys[-1] > track.ys[0] else "up"

"""All that a clip can be asked in training: its own question, and what its pictures answer as well.

The costliest scheme reads a video for seconds and a question for nothing, so a training of minutes learns more from
several questions about one video. Every scheme gets the same ones. Suites ask a clip its own question only.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from niah.suite.footage.clips import Clip
from niah.suite.footage.wording import WORDED_TYPES, WORDINGS, base_type, reword
from niah.types import LETTERS

TEXTS = {"motion": "Which way does the {look} move?", "digit": "Which digit is beside the {look}?"}


@dataclass(frozen=True)
class ClipQuestion:
    """A question about a clip and its right answer; `options` are those of the clip's own question, else none."""

    text: str
    answer: str
    options: tuple[str, ...] = ()


def questions(clip: Clip, allowed: Collection[str] = WORDINGS) -> list[ClipQuestion]:
    """Return the clip's own question first, then the others: the same target's motion and digit, as told and named.

    The others tell the target in an `allowed` way only.
    A clip whose target is unnamed shows one sprite and is asked in no other words; a named one's is unique.
    """
    own = ClipQuestion(clip.question, clip.options[LETTERS.index(clip.answer)], clip.options)
    answers = {"motion": _way(clip), "digit": _digit(clip)}
    own_way = WORDED_TYPES[clip.type]
    told = ("unnamed",) if own_way == "unnamed" else ("named", "indirect")
    texts = {
        reword(text.replace("{look}", str(clip.target)), clip.target, how): answers[base]
        for base, text in TEXTS.items()
        for how in told
        if how in allowed or how == own_way
    }
    assert texts[own.text] == own.answer, f"{clip.type}: the pictures say {texts[own.text]}, the clip {own.answer}"
    return [
        own,
        *(ClipQuestion(text, answer) for text, answer in texts.items() if answer is not None and text != own.text),
    ]


def _way(clip: Clip) -> str:
    """Return where the target goes, which crosses the picture in motion and in digit clips alike."""
    (track,) = (one for one in clip.scene.tracks if one.look == clip.target)
    across, down = int(np.ptp(track.xs)), int(np.ptp(track.ys))
    assert base_type(clip.type) in TEXTS and min(across, down) == 0, clip.type
    if across:
        return "right" if track.xs[-1] > track.xs[0] else "left"
    return "down" if track.ys[-1] > track.ys[0] else "up"


def _digit(clip: Clip) -> str | None:
    """Return the target's digit, if it has one."""
    (track,) = (one for one in clip.scene.tracks if one.look == clip.target)
    return None if track.digit is None else str(track.digit)

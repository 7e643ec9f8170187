"""Draw the clips of built-in needles so that all answers are correct equally often.

Independent draws are uneven by chance: of 16 needles about a direction, 7 had the answer
"left" and none "right", and a model that always says "left" looked good. Therefore letters
take turns, and so do the answers themselves where all targets share them. Their order is
shuffled. A clip with another answer is drawn again.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from math import lcm
from typing import NamedTuple

from niah.suite.footage.clips import DIRECTIONS, NUMBERS, DrawnClip, draw_clip
from niah.suite.footage.draw import DIGITS
from niah.suite.footage.scenes import random_for, reserved_looks
from niah.suite.footage.wording import base_type
from niah.types import LETTERS

# Answers that any target can have; a colour or an order of appearance depends on the target.
SHARED = {"motion": tuple(DIRECTIONS), "digit": tuple(map(str, DIGITS)), "count": NUMBERS}
PLACES = LETTERS[:4]


class NamedClip(NamedTuple):
    """A clip and the name that seeded it: the needle's name and the number of the attempt."""

    name: str
    clip: DrawnClip


def choose_clips(world: str, types: Sequence[str]) -> list[NamedClip]:
    """Return a clip for each needle, the n-th of type `types[n]`; targets take turns, too."""
    assigned = {kind: iter(assign_answers(world, kind, types.count(kind))) for kind in set(types)}
    looks = reserved_looks(world)
    clips = []
    for number, kind in enumerate(types):
        letter, answer = next(assigned[kind])
        for attempt in count():
            name = f"needle-{number:03d}.{attempt}"
            clip = draw_clip(world, name, kind, looks[number % len(looks)])
            if clip.answer == letter and answer in (None, clip.options[LETTERS.index(letter)]):
                clips.append(NamedClip(name, clip))
                break
    return clips


def assign_answers(world: str, kind: str, needles: int) -> list[tuple[str, str | None]]:
    """Return the letter of each needle's correct option, and the option itself if options take turns."""
    answers = SHARED.get(base_type(kind), (None,))
    period = lcm(len(PLACES), len(answers))  # needles after which the same pairs would repeat
    pairs = [(PLACES[n % len(PLACES)], answers[(n + n // period) % len(answers)]) for n in range(needles)]
    random_for(world, "answers", kind).shuffle(pairs)
    return pairs

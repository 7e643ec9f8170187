"""Choose the clips of built-in needles so that no answer is right more often than another.

Answers drawn freely are uneven by chance: of 16 needles that ask for a direction, 7
once said "left" and none "right", and a model that always says "left" looked able. So the
letters take turns, and so do the answers themselves where all targets share them;
which needle gets which is shuffled. A clip that answers otherwise is drawn again.
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

# Answers any target may have; a colour or an order of appearance depends on the target.
SHARED = {"motion": tuple(DIRECTIONS), "digit": tuple(map(str, DIGITS)), "count": NUMBERS}
PLACES = LETTERS[:4]


class NamedClip(NamedTuple):
    """A clip and the name it is drawn from: the needle's name and the number of the attempt."""

    name: str
    clip: DrawnClip


def choose_clips(world: str, types: Sequence[str]) -> list[NamedClip]:
    """Return a clip for each needle, number n with type `types[n]`; targets take turns too."""
    wishes = {kind: iter(_wishes(world, kind, types.count(kind))) for kind in set(types)}
    looks = reserved_looks(world)
    chosen = []
    for number, kind in enumerate(types):
        letter, answer = next(wishes[kind])
        for attempt in count():
            name = f"needle-{number:03d}.{attempt}"
            made = draw_clip(world, name, kind, looks[number % len(looks)])
            if made.answer == letter and answer in (None, made.options[LETTERS.index(letter)]):
                chosen.append(NamedClip(name, made))
                break
    return chosen


def _wishes(world: str, kind: str, needles: int) -> list[tuple[str, str | None]]:
    """Return the letter of each needle's right option, and the option itself where it takes turns."""
    answers = SHARED.get(base_type(kind), (None,))
    again = lcm(len(PLACES), len(answers))  # after so many needles the same pairs would come again
    wishes = [(PLACES[n % len(PLACES)], answers[(n + n // again) % len(answers)]) for n in range(needles)]
    random_for(world, "answers", kind).shuffle(wishes)
    return wishes

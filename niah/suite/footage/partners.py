"""Draw the clips of built-in needles in pairs whose answers can be confused, for questions about look-alikes.

Two clips of a pair are of one type, and the answer of each is an option of the other's question. Pairs alternate
between two forms: another target, and the same target, where a mark tells the clips apart ("... and moves left").
All answers are correct equally often, as in `niah.suite.footage.balance`; a clip that does not fit is drawn again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count

from niah.suite.footage.balance import NamedClip, assign_answers
from niah.suite.footage.clips import DrawnClip, draw_clip
from niah.suite.footage.draw import Look
from niah.suite.footage.scenes import random_for, reserved_looks
from niah.types import LETTERS

SHUFFLES = 10_000
Planned = tuple[str, str | None]  # the letter of the correct option, and the option if options take turns


def choose_partners(world: str, types: Sequence[str]) -> tuple[list[NamedClip], dict[int, int]]:
    """Return a clip for each needle, the n-th of type `types[n]`, and the partner of each that has one."""
    looks = reserved_looks(world)
    chosen: dict[int, NamedClip] = {}
    partners: dict[int, int] = {}
    for kind in dict.fromkeys(types):
        numbers = [number for number, other in enumerate(types) if other == kind]
        answers = _shuffled(world, kind, assign_answers(world, kind, len(numbers)))
        for pair in range(0, len(numbers), 2):
            two = numbers[pair : pair + 2]
            same = pair // 2 % 2 == 1
            clips = _pair(world, kind, two, answers[pair : pair + 2], _targets(looks, two, same), same)
            chosen |= dict(zip(two, clips, strict=True))
            if len(two) == 2:
                partners |= {two[0]: two[1], two[1]: two[0]}
    return [chosen[number] for number in range(len(types))], partners


def _shuffled(world: str, kind: str, answers: Sequence[Planned]) -> list[Planned]:
    """Return the answers in an order in which those of a pair differ; in any order if there is none."""
    ordered = list(answers)
    for attempt in range(SHUFFLES):
        random_for(world, "partners", kind, str(attempt)).shuffle(ordered)
        pairs = zip(ordered[::2], ordered[1::2], strict=False)
        if all(one[1] is None or one[1] != other[1] for one, other in pairs):
            break
    return ordered


def _targets(looks: Sequence[Look], numbers: Sequence[int], same: bool) -> list[Look]:
    """Return the target of each needle of a pair; targets take turns."""
    return [looks[(numbers[0] if same else number) % len(looks)] for number in numbers]


def _pair(
    world: str, kind: str, numbers: Sequence[int], answers: Sequence[Planned], targets: Sequence[Look], same: bool
) -> list[NamedClip]:
    """Return the two clips of a pair, or the one that is left.

    Args:
        world: Seeds every draw.
        kind: The type of both clips.
        numbers: Of the needles.
        answers: Of the needles.
        targets: Of the needles.
        same: Whether both have one target, so that a mark must tell them apart.
    """
    texts = [answer for _, answer in answers]
    clips: list[NamedClip] = []
    for place, (number, (letter, answer)) in enumerate(zip(numbers, answers, strict=True)):
        marks = [one.clip.mark for one in clips]
        for name, clip in _drawn(world, kind, number, targets[place]):
            own = clip.options[LETTERS.index(clip.answer)]
            others = [text for text in texts[:place] + texts[place + 1 :] if text is not None]
            fits = clip.answer == letter and answer in (None, own) and all(text in clip.options for text in others)
            if fits and (not same or len(numbers) < 2 or (clip.mark and clip.mark not in marks)):
                clips.append(NamedClip(name, clip.marked() if same and len(numbers) == 2 else clip))
                break
    return clips


def _drawn(world: str, kind: str, number: int, target: Look) -> Iterator[tuple[str, DrawnClip]]:
    """Yield clips of a needle, each with the name that seeded it."""
    for attempt in count():
        name = f"needle-{number:03d}p.{attempt}"  # other pictures than a needle without a partner
        yield name, draw_clip(world, name, kind, target)

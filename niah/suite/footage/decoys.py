"""Decoys: haystack scenes that look like a needle's clip but do not contain its answer.

Haystacks never show a look that a question is about, so without decoys the name of the target alone would identify the
clip, which favours models that read the question. A needle's decoys alternate between two kinds: the target without
the answer (it stands still if the question is about a direction, and has no digit if it is about a digit), and a clip
of the needle's type about a similar look, with the target's colour or shape.
"""

from __future__ import annotations

import random

import numpy as np

from niah.suite.footage import draw
from niah.suite.footage.clips import CLIP_FRAMES, DIRECTIONS, crossing, draw_clip
from niah.suite.footage.draw import Look
from niah.suite.footage.scenes import Scene, Track, any_digit, arrange, common_looks, drifting, random_for, room
from niah.suite.footage.wording import base_type


def decoy(world: str, needle: str, number: int, type: str, target: Look) -> Scene:
    """Draw decoy `number` of a needle, 10 to 40 frames; `type` and `target` are those of the needle's clip."""
    name = f"{needle}.decoy-{number}"
    if number % 2:
        rng = random_for(world, name, "near")
        similar = [look for look in common_looks(world) if look.colour == target.colour or look.shape == target.shape]
        return draw_clip(world, name, type, rng.choice(similar)).scene
    return target_without_answer(world, name, type, target)


def target_without_answer(world: str, name: str, type: str, target: Look) -> Scene:
    """Draw a scene that shows the target but not the answer to a question of this type.

    Bystanders of other looks move and carry digits as in clips.
    """
    rng = random_for(world, name, "without")
    count = rng.randint(*CLIP_FRAMES)
    others = rng.sample(common_looks(world), rng.randint(1, 2))

    def draw_target() -> Track:
        if base_type(type) == "motion":
            return standing(rng, target, any_digit(rng), count)
        if base_type(type) == "digit":
            return crossing(rng, target, None, rng.choice(DIRECTIONS), count, rng.randrange(count))
        return drifting(
            rng, target, any_digit(rng), count
        )  # it does not change colour, is alone, and follows no other sprite

    makers = [draw_target, *(lambda look=look: drifting(rng, look, any_digit(rng), count, 8) for look in others)]
    return Scene(count, draw.backdrop(rng), tuple(arrange(makers)))


def standing(rng: random.Random, target: Look, digit: int | None, count: int) -> Track:
    """Draw a sprite that stands still."""
    x, y = (rng.randint(draw.REACH, last) for last in room(digit))
    return Track(target, digit, np.full(count, x), np.full(count, y), 0, count)

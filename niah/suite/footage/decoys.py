"""Decoys: haystack scenes that look like a needle's clip and do not hold its answer.

Haystacks show no look that a question asks about, so a target's name alone would be a unique key to its clip, and
favour whoever is told the name. A needle's decoys take turns: the asked look without the asked fact (standing still
where the question is about a direction, without a digit where it is about a digit), and a clip of the needle's own
type about a near look, of the target's colour or shape.
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
    """Draw decoy `number` of a needle whose clip is of this type and asks about this target; 10 to 40 frames."""
    name = f"{needle}.decoy-{number}"
    if number % 2:
        rng = random_for(world, name, "near")
        near = [look for look in common_looks(world) if look.colour == target.colour or look.shape == target.shape]
        return draw_clip(world, name, type, rng.choice(near)).scene
    return draw_without_answer(world, name, type, target)


def draw_without_answer(world: str, name: str, type: str, target: Look) -> Scene:
    """Draw a scene that shows the target and does not answer a question of this type about it.

    Bystanders, of other looks, move and carry digits as they do in clips.
    """
    rng = random_for(world, name, "without")
    count = rng.randint(*CLIP_FRAMES)
    others = rng.sample(common_looks(world), rng.randint(1, 2))

    def asked() -> Track:
        if base_type(type) == "motion":
            return standing(rng, target, any_digit(rng), count)
        if base_type(type) == "digit":
            return crossing(rng, target, None, rng.choice(DIRECTIONS), count, rng.randrange(count))
        return drifting(rng, target, any_digit(rng), count)  # neither turns, nor is one of several, nor follows another

    makers = [asked, *(lambda look=look: drifting(rng, look, any_digit(rng), count, 8) for look in others)]
    return Scene(count, draw.backdrop(rng), tuple(arrange(makers)))


def standing(rng: random.Random, target: Look, digit: int | None, count: int) -> Track:
    """Draw a sprite that stands still."""
    x, y = (rng.randint(draw.REACH, last) for last in room(digit))
    return Track(target, digit, np.full(count, x), np.full(count, y), 0, count)

"""How the sprites of a clip move; a crossing shows in no single frame which way it goes.

A place must not hint at a direction. So backwards is as likely as forwards, and the
coordinate that stands still does so where its own path would be at one `pause`, the same for
all sprites: exchanging axes is then the same as exchanging pause and time. For the same
reason crossing sprites may pass behind one another: keeping them apart would make
some places likelier for one axis.
"""

from __future__ import annotations

import random

import numpy as np

from niah.suite.footage import draw
from niah.suite.footage.draw import Look
from niah.suite.footage.scenes import Track, room

CROSSING = (24, 42)  # pixels a sprite that crosses the picture covers
DIRECTIONS = ("left", "right", "up", "down")


def crossing(rng: random.Random, look: Look, digit: int | None, way: str, count: int, pause: int) -> Track:
    """Draw a straight path of 24 to 42 pixels in the direction `way`; `pause` is a frame number."""
    forwards = 1 if way in ("right", "down") else -1
    xs, ys = (_rising(rng, last, count)[::forwards] for last in room(digit))
    if way in ("left", "right"):
        ys = np.full(count, ys[pause])
    else:
        xs = np.full(count, xs[pause])
    return Track(look, digit, xs, ys, 0, count)


def swaying(rng: random.Random, middle: int, count: int) -> np.ndarray:
    """Draw one coordinate that goes to and fro by 3 pixels around `middle`."""
    way = (rng.randrange(12 * 16) + rng.randint(4, 16) * np.arange(count)) // 16 % 12
    return middle + 3 - abs(way - 6)


def _rising(rng: random.Random, last: int, count: int) -> np.ndarray:
    """Draw one coordinate that rises steadily by 24 to 42 pixels, up to `last` at most."""
    length = rng.randint(*CROSSING)
    first = rng.randint(draw.REACH, last - length)
    return first + length * np.arange(count) // (count - 1)

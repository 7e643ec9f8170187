"""Draw sprites, digit plates and moving textures with integers only.

Floats may round differently on another machine, and then one name would stand for different
pictures. Sprites are bright with a near-black outline on dark, dull textures, so that colour,
shape and digit survive H.264 with halved colour planes.
"""

from __future__ import annotations

import random
from functools import cache
from typing import NamedTuple

import numpy as np

SIZE = 64  # pixels a side of every frame
REACH = 6  # pixels from a sprite's centre to its outline, up, down and left
PLATE_REACH = 15  # pixels from a sprite's centre to the right border of its digit plate

SHAPES = ("circle", "square", "triangle", "diamond", "cross", "ring")
COLOURS = {
    "red": (225, 30, 40),
    "green": (40, 180, 50),
    "blue": (50, 80, 240),
    "yellow": (250, 235, 40),
    "purple": (190, 50, 210),
    "cyan": (60, 220, 230),
    "orange": (250, 135, 20),
    "white": (245, 245, 245),
}
DIGITS = tuple(range(10))
OUTLINE = (8, 8, 8)
BORDER = 3  # pixels
PLATE = (240, 240, 240)

_GLYPHS = """
01110 00100 01110 11111 00010 11111 00110 11111 01110 01110
10001 01100 10001 00010 00110 10000 01000 00001 10001 10001
10011 00100 00001 00100 01010 11110 10000 00010 10001 10001
10101 00100 00010 00010 10010 00001 11110 00100 01110 01111
11001 00100 00100 00001 11111 00001 10001 01000 10001 00001
10001 00100 01000 10001 00010 10001 10001 01000 10001 00010
01110 01110 11111 01110 00010 01110 01110 01000 01110 01100
"""


class Look(NamedTuple):
    """The shape and the colour of a sprite; as text, "red circle"."""

    shape: str
    colour: str

    def __str__(self) -> str:
        return f"{self.colour} {self.shape}"


class Backdrop(NamedTuple):
    """A texture that repeats every 64 pixels, twice in each direction, and how it drifts."""

    tile: np.ndarray  # (128, 128, 3)
    drift: tuple[int, int]  # down and right, in sixteenths of a pixel a frame

    def at(self, number: int) -> np.ndarray:
        """Return the texture of frame `number`, a fresh (64, 64, 3) uint8 array."""
        top, left = ((speed * number >> 4) % SIZE for speed in self.drift)
        return self.tile[top : top + SIZE, left : left + SIZE].copy()


def paste(frame: np.ndarray, look: Look, digit: int | None, x: int, y: int) -> None:
    """Draw a sprite, and the plate with its digit to its right, centred on (x, y) of `frame`."""
    picture, mask = sprite_picture(look, digit)
    top, left = y - REACH, x - REACH
    part = frame[top : top + picture.shape[0], left : left + picture.shape[1]]
    np.copyto(part, picture, where=mask)


def border(frame: np.ndarray) -> None:
    """Draw a white border around a frame; it covers the outline and two pixels of a sprite at the edge."""
    for edge in (frame[:BORDER], frame[-BORDER:], frame[:, :BORDER], frame[:, -BORDER:]):
        edge[:] = COLOURS["white"]


@cache  # 48 looks, with one of ten digits or none
def sprite_picture(look: Look, digit: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return picture (13, width, 3) and mask (13, width, 1); width is 13, with a digit 22."""
    side = 2 * REACH + 1
    width = side if digit is None else REACH + PLATE_REACH + 1
    picture = np.zeros((side, width, 3), np.uint8)
    mask = np.zeros((side, width, 1), bool)
    fill = np.pad(shape_mask(look.shape), 1)  # (13, 13)
    picture[:, :side] = OUTLINE
    picture[:, :side][fill] = COLOURS[look.colour]
    mask[:, :side, 0] = _grow(fill)
    if digit is not None:
        picture[1:-1, side:] = OUTLINE
        picture[2:-2, side + 1 : -1] = PLATE  # one pixel of plate around a glyph of 5 x 7
        picture[3:-3, side + 2 : -2][glyph(digit)] = OUTLINE
        mask[1:-1, side:] = True
    return picture, mask


def shape_mask(shape: str) -> np.ndarray:
    """Return the (11, 11) pixels that a shape fills."""
    y, x = np.mgrid[-5:6, -5:6]
    round_ = x * x + y * y
    return {
        "circle": round_ <= 30,
        "square": np.ones_like(x, dtype=bool),
        "triangle": abs(x) <= (y + 5) // 2,
        "diamond": abs(x) + abs(y) <= 5,
        "cross": (abs(x) <= 1) | (abs(y) <= 1),
        "ring": (round_ <= 30) & (round_ > 8),
    }[shape]


def glyph(digit: int) -> np.ndarray:
    """Return the (7, 5) pixels of a digit."""
    rows = [line.split()[digit] for line in _GLYPHS.split("\n") if line]
    return np.array([[pixel == "1" for pixel in row] for row in rows])


def backdrop(rng: random.Random) -> Backdrop:
    """Draw a texture (noise, stripes or checks between two dull, dark colours) and its drift."""
    make = rng.choice((_noise, _noise, _stripes, _checks))
    mix = make(rng)  # (64, 64), 0 to 255
    grey = rng.randrange(45, 95)
    low, high = (
        np.array([grey + side * rng.randrange(6, 26) + rng.randrange(-14, 15) for _ in range(3)]) for side in (-1, 1)
    )
    tile = low + ((high - low) * mix[..., None] >> 8)  # (64, 64, 3)
    down = right = 0
    while abs(down) + abs(right) < 4:
        down, right = rng.randrange(-20, 21), rng.randrange(-20, 21)
    return Backdrop(np.tile(tile.astype(np.uint8), (2, 2, 1)), (down, right))


def _noise(rng: random.Random) -> np.ndarray:
    """Return a lattice of random bytes, smoothed between its points; (64, 64), 0 to 255."""
    points = rng.choice((4, 8, 16))
    lattice = np.frombuffer(rng.randbytes(points * points), np.uint8).astype(np.int64).reshape(points, points)
    step = SIZE // points
    cell, part = np.divmod(np.arange(SIZE), step)
    after = (cell + 1) % points
    rows = lattice[cell] * (step - part)[:, None] + lattice[after] * part[:, None]  # (64, points)
    return (rows[:, cell] * (step - part) + rows[:, after] * part) // (step * step)


def _stripes(rng: random.Random) -> np.ndarray:
    """Return stripes with soft edges, straight or slanted; (64, 64), 0 to 255."""
    period = rng.choice((8, 16, 32))
    across, down = rng.choice(((1, 0), (0, 1), (1, 1), (1, -1), (2, 1), (1, 2)))
    y, x = np.mgrid[:SIZE, :SIZE]
    phase = (across * x + down * y) % period
    return abs(2 * phase - period) * 255 // period


def _checks(rng: random.Random) -> np.ndarray:
    """Return a checkerboard; (64, 64), 40 or 215."""
    side = rng.choice((4, 8, 16))
    y, x = np.mgrid[:SIZE, :SIZE]
    return np.where((x // side + y // side) % 2 == 0, 40, 215)


def _grow(mask: np.ndarray) -> np.ndarray:
    """Return a mask widened by one pixel on all sides and corners."""
    padded = np.pad(mask, 1)
    height, width = mask.shape
    grown = np.zeros_like(mask)
    for top in range(3):
        for left in range(3):
            grown |= padded[top : top + height, left : left + width]
    return grown

"""Haystack scenes: a moving texture, one to three drifting sprites, and a label for each.

A scene is drawn from its world, haystack and number alone, so training can draw any number of
short haystacks without files. A world reserves 16 of the 48 looks for its needles, so no haystack
shows what a question is about.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count as count_up
from typing import NamedTuple

import numpy as np

from niah.suite.footage import draw
from niah.suite.footage.draw import COLOURS, DIGITS, SHAPES, SIZE, Backdrop, Look

FOOTAGE_VERSION = 1  # of every rule that determines a pixel; part of every seed
ALL_LOOKS = tuple(Look(shape, colour) for shape in SHAPES for colour in COLOURS)
SCENE_FRAMES = (24, 120)  # shortest and longest scene
GAP = 2  # pixels between two sprites that are kept apart
PLATE_CENTRE = 11  # pixels from a sprite's centre to that of its digit plate
ATTEMPTS = 8  # to find room for a sprite before all sprites of the scene are drawn again


class SpriteLabel(NamedTuple):
    """One sprite of one frame and its centre in pixels; the centre of its digit plate is 11 pixels to the right."""

    shape: str
    colour: str
    digit: int | None
    x: int
    y: int


@dataclass(frozen=True, eq=False)
class Track:
    """The path of one sprite through a scene; it is visible in frames `start` up to `stop`."""

    look: Look
    digit: int | None
    xs: np.ndarray  # (count,) of all frames of the scene, pixels
    ys: np.ndarray
    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class Scene:
    """`count` frames of sprites on one texture, with a border if `bordered`."""

    count: int
    backdrop: Backdrop
    tracks: tuple[Track, ...]
    bordered: bool = False

    def frame(self, number: int) -> np.ndarray:
        """Return one frame, (64, 64, 3) uint8 RGB."""
        if not 0 <= number < self.count:
            raise IndexError(f"the scene has frames 0 to {self.count - 1}, asked for {number}")
        picture = self.backdrop.at(number)
        for track in self.tracks:
            if track.start <= number < track.stop:
                draw.paste(picture, track.look, track.digit, track.xs[number], track.ys[number])
        if self.bordered:
            draw.border(picture)
        return picture

    def frames(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return frames `start` up to `stop` (all by default), (stop - start, 64, 64, 3) uint8 RGB."""
        stop = self.count if stop is None else stop
        pictures = np.empty((stop - start, SIZE, SIZE, 3), np.uint8)
        for number in range(start, stop):
            pictures[number - start] = self.frame(number)
        return pictures

    def sprites(self, number: int) -> list[SpriteLabel]:
        """Return a label for every visible sprite of a frame; all sprites are entirely inside the picture.

        Only sprites of `motion` clips pass behind one another. A sprite has no label while its
        centre is covered, and no digit while the centre of its plate is covered.
        """
        labels: list[SpriteLabel] = []
        above: list[tuple[int, int, int]] = []  # x, y and reach of the sprites drawn later
        for track in reversed(self.tracks):
            if track.start <= number < track.stop:
                x, y = int(track.xs[number]), int(track.ys[number])
                digit = None if _covered(x + PLATE_CENTRE, y, above) else track.digit
                if not _covered(x, y, above):
                    labels.append(SpriteLabel(*track.look, digit, x, y))
                above.append((x, y, reach(track.digit)))
        return labels[::-1]


def random_for(world: str, *names: str) -> random.Random:
    """Return a random generator seeded with a name; it gives the same numbers on every machine."""
    return random.Random("/".join((str(FOOTAGE_VERSION), world, *names)))


@lru_cache(maxsize=256)
def reserved_looks(world: str) -> tuple[Look, ...]:
    """Return the 16 looks reserved for the needles of a world: each colour twice, each shape 2 or 3 times."""
    rng = random_for(world, "reserved")
    while True:
        shapes = [*SHAPES, *SHAPES, *rng.sample(SHAPES, 4)]
        rng.shuffle(shapes)
        looks = [Look(shape, colour) for shape, colour in zip(shapes, (*COLOURS, *COLOURS), strict=True)]
        if len(set(looks)) == len(looks):
            rng.shuffle(looks)
            return tuple(looks)


@lru_cache(maxsize=256)
def common_looks(world: str) -> tuple[Look, ...]:
    """Return the 32 looks of the haystacks of a world, and of the bystanders in its clips."""
    return tuple(look for look in ALL_LOOKS if look not in reserved_looks(world))


def draw_scene(world: str, name: str, number: int, durations: tuple[int, int] = SCENE_FRAMES) -> Scene:
    """Draw scene `number` of the haystack called `name`: 1 to 3 sprites, about half with digits.

    `durations` are the shortest and the longest scene, in frames.
    """
    rng = random_for(world, name, f"scene-{number}")
    count = rng.randint(*durations)
    looks = rng.sample(common_looks(world), rng.randint(1, 3))
    widest = (36, 24, 12)[len(looks) - 1]  # the more sprites, the less room for each
    digits = [any_digit(rng) for _ in looks]
    makers = [
        lambda look=look, digit=digit: drifting(rng, look, digit, count, widest)
        for look, digit in zip(looks, digits, strict=True)
    ]
    return Scene(count, draw.backdrop(rng), tuple(arrange(makers)))


def draw_scenes(world: str, name: str, durations: tuple[int, int] = SCENE_FRAMES) -> Iterator[Scene]:
    """Yield the scenes of a haystack, without end."""
    return (draw_scene(world, name, number, durations) for number in count_up())


def scene_cuts(world: str, name: str, frames: int, durations: tuple[int, int]) -> tuple[int, ...]:
    """Return the frames of a haystack's opening at which scenes begin, without the first frame."""
    cuts = []
    cut = 0
    for number in count_up():
        cut += random_for(world, name, f"scene-{number}").randint(*durations)  # the first draw of `draw_scene`
        if cut >= frames:
            return tuple(cuts)
        cuts.append(cut)
    raise AssertionError("unreachable: scenes are endless")


def draw_haystack(
    world: str, name: str, frames: int, durations: tuple[int, int] = SCENE_FRAMES
) -> Iterator[np.ndarray]:
    """Yield the first `frames` frames of a haystack, each (64, 64, 3) uint8 RGB; longer haystacks start the same."""
    left = frames
    for part in draw_scenes(world, name, durations):
        for number in range(min(left, part.count)):
            yield part.frame(number)
        left -= part.count
        if left <= 0:
            return


def any_digit(rng: random.Random) -> int | None:
    """Draw a digit, or None with probability 1/2."""
    return rng.choice(DIGITS) if rng.randrange(2) else None


def drifting(rng: random.Random, look: Look, digit: int | None, count: int, widest: int = 24) -> Track:
    """Draw a sprite that moves to and fro in a box at most `widest` pixels wide and high."""
    xs, ys = (_roam(rng, last, count, widest) for last in room(digit))
    return Track(look, digit, xs, ys, 0, count)


def arrange(makers: Sequence[Callable[[], Track]]) -> list[Track]:
    """Draw a track from each maker such that no two touch; start again if there is no room for one."""
    while True:
        tracks: list[Track] = []
        for draw_one in makers:
            track = _draw_clear(tracks, draw_one)
            if track is None:
                break
            tracks.append(track)
        else:
            return tracks


def touches(one: Track, other: Track) -> bool:
    """Return True if two sprites come closer than the gap in any frame that shows both."""
    seen = slice(max(one.start, other.start), min(one.stop, other.stop))
    across, down = other.xs[seen] - one.xs[seen], other.ys[seen] - one.ys[seen]
    beside = (across <= reach(one.digit) + draw.REACH + GAP) & (-across <= reach(other.digit) + draw.REACH + GAP)
    return bool((beside & (abs(down) <= 2 * draw.REACH + GAP)).any())


def _covered(x: int, y: int, above: Sequence[tuple[int, int, int]]) -> bool:
    """Return True if a pixel is covered by one of the sprites given by x, y and reach."""
    return any(-draw.REACH <= x - left <= right and abs(y - top) <= draw.REACH for left, top, right in above)


def reach(digit: int | None) -> int:
    """Return how many pixels a sprite, its digit plate included, extends to the right of its centre."""
    return draw.REACH if digit is None else draw.PLATE_REACH


def _draw_clear(others: list[Track], draw_one: Callable[[], Track]) -> Track | None:
    """Return a drawn track that touches none of the others, or None if all attempts fail."""
    for _ in range(ATTEMPTS):
        track = draw_one()
        if not any(touches(track, other) for other in others):
            return track
    return None


def room(digit: int | None) -> tuple[int, int]:
    """Return the largest x and y of a sprite's centre; the smallest is 6 for both."""
    return SIZE - 1 - reach(digit), SIZE - 1 - draw.REACH


def _roam(rng: random.Random, last: int, count: int, widest: int) -> np.ndarray:
    """Return one coordinate over time: to and fro between two limits, 1/4 to 2 pixels a frame."""
    width = rng.randint(6, widest)
    low = rng.randint(draw.REACH, last - width)
    speed = rng.randint(4, 32)  # sixteenths of a pixel a frame
    way = (rng.randrange(2 * width * 16) + speed * np.arange(count)) // 16 % (2 * width)
    return low + width - abs(way - width)

"""Needle clips: 10 to 40 frames in which a named target does something, and a question about it.

The options and the correct letter are drawn first and the clip is drawn to match, so that no
wording hints at the answer. Bystanders move, change colour and carry digits like the target:
without finding the target, a model can only guess.

No single frame shows where a sprite is going. Paths lead backwards as often as forwards, and
across as often as down. The coordinate that does not change is the one its own path would have
at one `pause`, the same for all sprites: exchanging the axes then equals exchanging pause and
time. For the same reason sprites that cross may pass behind one another: keeping them apart
would make some positions likelier for one axis.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from niah.suite.footage import draw
from niah.suite.footage.draw import COLOURS, DIGITS, Look
from niah.suite.footage.scenes import (
    Scene,
    SpriteLabel,
    Track,
    any_digit,
    arrange,
    common_looks,
    drifting,
    random_for,
    reserved_looks,
    room,
)
from niah.suite.footage.wording import WORDED_TYPES, base_type, cue, reword
from niah.types import LETTERS

CLIP_FRAMES = (10, 40)  # shortest and longest clip
CROSSING = (24, 42)  # pixels a sprite that crosses the picture covers
DIRECTIONS = ("left", "right", "up", "down")
NUMBERS = ("one", "two", "three", "four")


@dataclass(frozen=True, eq=False)
class DrawnClip:
    """A needle before it is written to a file: its frames and its question."""

    scene: Scene
    type: str
    target: Look  # the sprite that the question is about; str(target) is "red circle"
    question: str
    options: tuple[str, ...]
    answer: str  # a letter
    mark: str = ""  # what else the target does, by which clips of one target can be told apart
    is_marked: bool = False  # whether the cue includes the mark

    @property
    def count(self) -> int:
        """The number of frames."""
        return self.scene.count

    @property
    def cue(self) -> str:
        """A phrase that says which clip this is."""
        return cue(self.type, self.target, self.mark if self.is_marked else "")

    def marked(self) -> DrawnClip:
        """Return the clip with a cue that tells it from other clips of its target."""
        return replace(self, is_marked=True)

    def frames(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return frames `start` up to `stop` (all by default), (stop - start, 64, 64, 3) uint8 RGB."""
        return self.scene.frames(start, stop)

    def sprites(self, number: int) -> list[SpriteLabel]:
        """Return a label for every sprite that frame `number` shows."""
        return self.scene.sprites(number)


@dataclass(frozen=True)
class _Plan:
    """What a clip of any type is drawn from."""

    rng: random.Random
    world: str
    target: Look
    count: int
    alone: bool  # no bystanders, because the question does not say which sprite is meant


class _Content(NamedTuple):
    """The question and the sprites of a clip; `right` is the index of the correct option."""

    question: str
    options: Sequence[str]
    right: int
    tracks: list[Track]
    mark: str = ""


def draw_clip(world: str, name: str, type: str | None = None, target: Look | None = None) -> DrawnClip:
    """Draw the clip called `name`; its type and its target, a reserved look, are drawn too unless given."""
    type = random_for(world, name, "type").choice(TYPES) if type is None else type
    if type not in (*TYPES, *WORDED_TYPES):
        raise ValueError(f"no type of clip is called {type!r}; known: {', '.join((*TYPES, *WORDED_TYPES))}")
    rng = random_for(world, name, type)
    drawn = rng.choice(reserved_looks(world))  # drawn even if given, so that later draws do not depend on it
    wording = WORDED_TYPES.get(type, "named")
    plan = _Plan(rng, world, drawn if target is None else target, rng.randint(*CLIP_FRAMES), wording == "unnamed")
    made = _MAKERS[base_type(type)](plan)
    scene = Scene(plan.count, draw.backdrop(rng), tuple(made.tracks), plan.alone)
    question = reword(made.question, plan.target, wording)
    return DrawnClip(scene, type, plan.target, question, tuple(made.options), LETTERS[made.right], made.mark)


def _motion(plan: _Plan) -> _Content:
    """Let the target cross the picture, and bystanders cross it in other directions, possibly behind the target."""
    rng = plan.rng
    options = rng.sample(DIRECTIONS, 4)
    right = rng.randrange(4)
    bystanders = _bystanders(plan)
    ways = [*rng.sample([way for way in DIRECTIONS if way != options[right]], len(bystanders)), options[right]]
    pause = rng.randrange(plan.count)
    tracks = [
        crossing(rng, look, any_digit(rng), way, plan.count, pause)
        for look, way in zip((*bystanders, plan.target), ways, strict=True)
    ]
    mark = "" if tracks[-1].digit is None else f"has the digit {tracks[-1].digit} beside it"
    return _Content(f"Which way does the {plan.target} move?", options, right, tracks, mark)


def _digit(plan: _Plan) -> _Content:
    """Let the target cross the picture with a digit, and let bystanders carry the digits of wrong options."""
    rng = plan.rng
    digits = rng.sample(DIGITS, 4)
    right = rng.randrange(4)
    wrong = [digit for digit in digits if digit != digits[right]]
    way = rng.choice(DIRECTIONS)
    count = plan.count
    makers: list[Callable[[], Track]] = [
        lambda: crossing(rng, plan.target, digits[right], way, count, rng.randrange(count))
    ]
    makers += [
        lambda look=look, digit=digit: drifting(rng, look, digit, count, 8)
        for look, digit in zip(_bystanders(plan), rng.sample(wrong, 3), strict=False)
    ]
    options = [str(digit) for digit in digits]
    return _Content(f"Which digit is beside the {plan.target}?", options, right, arrange(makers), f"moves {way}")


def _colour(plan: _Plan) -> _Content:
    """Let the target change its colour, and a bystander of another shape change to the colour of a wrong option."""
    rng = plan.rng
    target = plan.target
    usual = common_looks(plan.world)
    # Changing to a reserved look would put another needle's target into this clip.
    options = rng.sample([colour for colour in COLOURS if Look(target.shape, colour) in usual], 4)
    right = rng.randrange(4)
    wrong = [colour for colour in options if colour != options[right]]
    pairs = [
        (look, Look(look.shape, colour))
        for look in usual
        for colour in wrong
        if look.shape != target.shape and look.colour != colour and Look(look.shape, colour) in usual
    ]
    turns = [(target, Look(target.shape, options[right])), rng.choice(pairs)]
    digits = [any_digit(rng) for _ in turns]
    makers = [
        lambda look=look, digit=digit: drifting(rng, look, digit, plan.count)
        for (look, _), digit in zip(turns, digits, strict=True)
    ]
    tracks = []
    for track, (_, later) in zip(arrange(makers), turns, strict=True):
        moment = plan.count * rng.randint(30, 70) // 100
        tracks.append(replace(track, stop=moment))
        tracks.append(replace(track, look=later, start=moment))
    return _Content(f"Which colour does the {target} turn into?", options, right, tracks)


def _order(plan: _Plan) -> _Content:
    """Show five sprites one after another: the target and those of the four options."""
    rng = plan.rng
    looks = rng.sample(common_looks(plan.world), 4)
    right = rng.randrange(4)
    side = rng.choice(("before", "after"))
    others = [look for look in looks if look != looks[right]]
    rng.shuffle(others)
    pair = [looks[right], plan.target] if side == "before" else [plan.target, looks[right]]
    first = rng.randint(0, 3)  # number of other sprites before the pair
    shown = [*others[:first], *pair, *others[first:]]
    tracks = [
        replace(
            drifting(rng, look, any_digit(rng), plan.count),
            start=part * plan.count // 5,
            stop=(part + 1) * plan.count // 5,
        )
        for part, look in enumerate(shown)
    ]
    options = [str(look) for look in looks]
    return _Content(f"Which sprite appears right {side} the {plan.target}?", options, right, tracks)


def _count(plan: _Plan) -> _Content:
    """Show one to four targets, and one or two bystanders."""
    rng = plan.rng
    options = rng.sample(NUMBERS, 4)
    right = rng.randrange(4)
    looks = [plan.target] * (1 + NUMBERS.index(options[right])) + _bystanders(plan)
    cells = rng.sample([(column, row) for column in range(3) for row in range(3)], len(looks))
    tracks = []
    for look, cell in zip(looks, cells, strict=True):
        xs, ys = (swaying(rng, 21 * number + 10, plan.count) for number in cell)
        tracks.append(Track(look, None, xs, ys, 0, plan.count))
    return _Content(f"How many {plan.target}{_plural(plan.target)} are there?", options, right, tracks)


_MAKERS = {"motion": _motion, "colour": _colour, "order": _order, "digit": _digit, "count": _count}
TYPES = tuple(_MAKERS)


def _bystanders(plan: _Plan) -> list[Look]:
    """Draw one or two looks that are not reserved; about half of them share colour or shape with the target."""
    if plan.alone:
        return []
    usual = common_looks(plan.world)
    similar = [look for look in usual if look.colour == plan.target.colour or look.shape == plan.target.shape]
    looks: list[Look] = []
    for _ in range(plan.rng.randint(1, 2)):
        pool = similar if plan.rng.randrange(2) else usual
        looks.append(plan.rng.choice([look for look in pool if look not in looks]))
    return looks


def _plural(look: Look) -> str:
    """Return the ending that makes a shape's name plural."""
    return "es" if look.shape == "cross" else "s"


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
    """Draw one coordinate that oscillates by 3 pixels around `middle`."""
    way = (rng.randrange(12 * 16) + rng.randint(4, 16) * np.arange(count)) // 16 % 12
    return middle + 3 - abs(way - 6)


def _rising(rng: random.Random, last: int, count: int) -> np.ndarray:
    """Draw one coordinate that rises steadily by 24 to 42 pixels, up to `last` at most."""
    length = rng.randint(*CROSSING)
    first = rng.randint(draw.REACH, last - length)
    return first + length * np.arange(count) // (count - 1)

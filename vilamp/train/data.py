"""Build the training data: pools of built-in footage with a label for every patch.

Pools come from worlds named "train/...", a name that no suite can have, so no needle of a suite is ever seen in
training. Where PyAV is installed, frames are encoded with H.264 and decoded, like every file the model will see.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from niah.suite.config import QUESTION_TEMPLATE
from niah.suite.footage import draw
from niah.suite.footage.clips import DrawnClip, draw_clip
from niah.suite.footage.draw import COLOURS, DIGITS, SHAPES, SIZE, Look
from niah.suite.footage.scenes import SpriteLabel, draw_scenes, random_for

PATCH = 8  # pixels a side of a patch
SIDE = SIZE // PATCH  # patches a side of a frame
TEMPLATES = (
    "Which way does the {look} move?",
    "Which digit is beside the {look}?",
    "Which colour does the {look} turn into?",
    "Which sprite appears right before the {look}?",
    "Which sprite appears right after the {look}?",
    "How many {look}s are there?",
)
LOOKS = tuple(Look(shape, colour) for shape in SHAPES for colour in COLOURS)
NO_LABEL = -1


def vocabulary_words() -> tuple[str, ...]:
    """Return the vocabulary of the built-in footage's questions and options."""
    texts = [template.replace("{look}", "") for template in (*TEMPLATES, QUESTION_TEMPLATE.replace("{question}", ""))]
    found = [w for text in texts for w in text.lower().replace("?", " ?").replace(".", " .").split()]
    plurals = [f"{shape}{'es' if shape == 'cross' else 's'}" for shape in SHAPES]
    options = ["left", "right", "up", "down", "one", "two", "three", "four", *map(str, DIGITS)]
    found = [w for w in found if w.isalpha() and len(w) > 1 or w in "?."]
    return tuple(dict.fromkeys([*found, "answer", ":", *COLOURS, *SHAPES, *plurals, *options]))


@dataclass(frozen=True, eq=False)
class Pool:
    """Footage of one world as pixels: a haystack, then clips end to end, then crowded frames.

    `labels` has for each patch the indices of its sprite's shape, colour and digit in SHAPES, COLOURS and DIGITS,
    or -1. The plate with a sprite's digit counts as part of the sprite. Crowded frames show one to eight sprites each
    and are for the encoders alone.
    """

    world: str
    frames: np.ndarray  # (frames, 64, 64, 3) uint8
    labels: np.ndarray  # (frames, patches, 3) int8
    haystack: int  # how many frames the haystack has
    clips: tuple[DrawnClip, ...]
    starts: tuple[int, ...]  # the first frame of each clip, and the end of the last clip


def build_pool(world: str, haystack: int, clips: int, types: tuple[str, ...], crowds: int = 0) -> Pool:
    """Draw `haystack` frames, `clips` needle clips and `crowds` crowded frames.

    Memory: 12 KB a frame, and 24 KB while frames pass through the codec.
    """
    needles = draw_clips(world, clips, types)
    pictures, sprites, starts = [], [], []
    for part in draw_scenes(world, "haystack"):
        pictures.append(part.frames())
        sprites.extend(part.sprites(number) for number in range(part.count))
        if len(sprites) >= haystack:
            break
    pictures, sprites = [np.concatenate(pictures)[:haystack]], sprites[:haystack]
    for needle in needles:
        starts.append(len(sprites))
        pictures.append(needle.frames())
        sprites.extend(needle.sprites(number) for number in range(needle.count))
    starts.append(len(sprites))
    for number in range(crowds):
        picture, found = crowd(world, number)
        pictures.append(picture[None])
        sprites.append(found)
    drawn_frames = np.concatenate(pictures)
    pictures.clear()
    frames = np.empty_like(drawn_frames)
    for number, picture in zip(range(len(frames)), through_codec(drawn_frames), strict=True):
        frames[number] = picture
    labels = np.stack([patch_labels(found) for found in sprites])
    return Pool(world, frames, labels, haystack, needles, tuple(starts))


def draw_clips(world: str, count: int, types: tuple[str, ...]) -> tuple[DrawnClip, ...]:
    """Return the needle clips of a world, the types in turn; no pixel is drawn yet."""
    return tuple(draw_clip(world, f"clip-{number}", types[number % len(types)]) for number in range(count))


def crowd(world: str, number: int) -> tuple[np.ndarray, list[SpriteLabel]]:
    """Return a frame of one to eight sprites with digits, in two columns on a new texture, and its sprites."""
    rng = random_for(world, f"crowd-{number}")
    picture = draw.backdrop(rng).at(rng.randrange(1000))
    sprites = []
    for place in rng.sample(range(8), rng.randint(1, 8)):
        x, y = 32 * (place % 2) + rng.randint(6, 16), 16 * (place // 2) + rng.randint(6, 9)
        look = rng.choice(LOOKS)
        digit = rng.choice(DIGITS)
        draw.paste(picture, look, digit, x, y)
        sprites.append(SpriteLabel(*look, digit, x, y))
    return picture, sprites


def codec_name() -> str:
    """Return which codec training frames pass through: "h264", or "none" on a machine without PyAV."""
    return "h264" if find_spec("av") else "none"


def through_codec(frames: np.ndarray) -> Iterator[np.ndarray]:
    """Yield frames after the encoding that every suite's files go through; without PyAV, as they are."""
    if codec_name() == "none":
        yield from frames
        return
    import av

    from niah.media.writer import write_mp4

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pool.mp4"
        write_mp4(path, frames, Fraction(1))
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="rgb24")


def patch_labels(sprites: list[SpriteLabel]) -> np.ndarray:
    """Return the indices of shape, colour and digit of the sprite that covers most of each patch: (patches, 3) int8.

    A sprite counts if it covers more than a third of the patch.
    """
    edges = np.arange(SIDE) * PATCH
    best = np.full((SIDE, SIDE), PATCH * PATCH // 3)  # pixels that the best sprite so far covers
    labels = np.full((SIDE, SIDE, 3), NO_LABEL, np.int8)
    for sprite in sprites:
        plate = 9 if sprite.digit is not None else 0  # pixels the plate adds on the right
        across = _overlap(edges, sprite.x - 6, sprite.x + 7 + plate)
        down = _overlap(edges, sprite.y - 6, sprite.y + 7)
        covered = down[:, None] * across[None, :]  # (side, side) pixels
        won = covered > best
        best[won] = covered[won]
        digit = NO_LABEL if sprite.digit is None else sprite.digit
        labels[won] = (SHAPES.index(sprite.shape), list(COLOURS).index(sprite.colour), digit)
    return labels.reshape(SIDE * SIDE, 3)


def _overlap(edges: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Return how many pixels of each patch lie in start..stop along one axis."""
    return np.clip(np.minimum(edges + PATCH, stop) - np.maximum(edges, start), 0, PATCH)

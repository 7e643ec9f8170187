"""Calibration footage: every frame is a bar-code of its source and number, and in needles of the answer.

The codes show which frames a harness really handed over, so the score of a model that samples
known frames is known in advance. A code has 8 x 8 blocks and fills the picture: it survives
H.264 and resizing down to 16 x 16 pixels.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from niah.suite.footage.clips import CLIP_FRAMES
from niah.suite.footage.draw import SIZE
from niah.suite.footage.scenes import random_for
from niah.types import LETTERS

QUESTION = "Which number is coded into the inserted clip?"
VALUES = 16  # answers that a needle can encode: 0 to 15
SOURCES = 256  # haystacks, and needles, that can be distinguished
LONGEST = 65536  # frames of one source

_BLOCKS = 8  # a side
_MARK = 0b1011001110001011010  # 19 bits that are unlikely in any texture
_DARK, _LIGHT = 30, 225


class Barcode(NamedTuple):
    """The content of one frame's bar-code."""

    source: int  # number of its haystack, or of its needle
    number: int  # of the frame in its source
    value: int | None  # the answer, in needles; None in haystacks


@dataclass(frozen=True)
class CodedClip:
    """A needle whose frames are bar-codes; the target is the encoded answer."""

    source: int
    count: int
    target: str
    question: str
    options: tuple[str, ...]
    answer: str  # a letter
    type: str = "calibration"

    @property
    def cue(self) -> str:
        """A phrase that says which clip this is, by the number in its bar-codes."""
        return f"clip {self.source}"

    def frames(self) -> np.ndarray:
        """Return all frames, (count, 64, 64, 3) uint8 RGB."""
        return np.stack([draw_barcode(Barcode(self.source, number, int(self.target))) for number in range(self.count)])


def coded_clip(world: str, name: str, source: int, value: int, partner: int | None = None) -> CodedClip:
    """Draw the calibration needle with the answer `value`: its length, its wrong options, and the correct letter.

    With `partner`, the value of the clip that it can be confused with, that is one of the wrong options.
    """
    rng = random_for(world, name, "calibration")
    count = rng.randint(*CLIP_FRAMES)
    options = rng.sample([str(other) for other in range(VALUES) if other != value], 3)
    if partner is not None and str(partner) not in options:
        options[0] = str(partner)
    right = rng.randrange(4)
    options.insert(right, str(value))
    return CodedClip(source, count, str(value), QUESTION, tuple(options), LETTERS[right])


def coded_haystack(source: int, frames: int) -> Iterator[np.ndarray]:
    """Yield the first `frames` frames of calibration haystack `source`, each (64, 64, 3) uint8 RGB."""
    return (draw_barcode(Barcode(source, number, None)) for number in range(frames))


def draw_barcode(code: Barcode) -> np.ndarray:
    """Return the picture of a bar-code, (64, 64, 3) uint8 RGB. Raises ValueError for numbers out of range."""
    if not (0 <= code.source < SOURCES and 0 <= code.number < LONGEST and 0 <= (code.value or 0) < VALUES):
        raise ValueError(f"{code} does not fit: wanted source < {SOURCES}, number < {LONGEST}, value < {VALUES}")
    payload = code.source << 21 | code.number << 5 | (code.value is not None) << 4 | (code.value or 0)  # 29 bits
    word = _MARK << 45 | payload << 16 | _checksum(payload)
    bits = np.array([word >> place & 1 for place in range(63, -1, -1)], bool).reshape(_BLOCKS, _BLOCKS)
    blocks = np.where(bits, _LIGHT, _DARK).astype(np.uint8)
    side = SIZE // _BLOCKS
    return np.repeat(blocks.repeat(side, 0).repeat(side, 1)[..., None], 3, 2)


def read_barcode(frame: np.ndarray) -> Barcode | None:
    """Return the bar-code of a frame (height, width, 3); None unless its mark and checksum are correct."""
    if min(frame.shape[:2]) < 2 * _BLOCKS:
        return None
    rows, columns = (_middles(length) for length in frame.shape[:2])
    middles = frame[rows[:, None], columns].reshape(_BLOCKS, len(rows) // _BLOCKS, _BLOCKS, -1)
    bits = middles.mean((1, 3)) > (_DARK + _LIGHT) / 2  # (8, 8)
    word = int("".join("1" if bit else "0" for bit in bits.flat), 2)
    payload = word >> 16 & (1 << 29) - 1
    if word >> 45 != _MARK or word & 0xFFFF != _checksum(payload):
        return None
    in_needle = payload >> 4 & 1
    return Barcode(payload >> 21, payload >> 5 & 0xFFFF, payload & 15 if in_needle else None)


def _middles(length: int) -> np.ndarray:
    """Return the rows (or columns) of the middle half of every block, block by block."""
    reach = max(1, length // (4 * _BLOCKS))
    centres = (2 * np.arange(_BLOCKS) + 1) * length // (2 * _BLOCKS)
    return (centres[:, None] + np.arange(-reach, reach)).ravel()


def _checksum(payload: int) -> int:
    """Return 16 bits that a misread code is unlikely to match."""
    return crc_hqx(payload.to_bytes(4, "big"), 0xFFFF)

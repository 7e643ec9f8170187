"""Lengths and depths of cases, as pure functions of integers.

Length counts all frames of the video, needle included. Depth is the needle's start / (length - needle
frames): at 0 the needle comes first and at 1 last, whatever its size. Fractions are exact: 0.1 is one tenth.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

PAPER_LENGTHS = (2000, 4000, 6000, 8000, 10000)  # the paper's five lengths
SHORTEST, LONGEST = 2000, 10000  # of the paper design
LENGTH_BINS, DEPTH_BINS = 16, 5
BIN_FRAMES = 500


@dataclass(frozen=True)
class Cell:
    """One cell of the paper design: `count` cases, numbered from `first` over the whole design."""

    length_bin: int
    depth_bin: int
    first: int
    count: int


def needle_start(depth: float, length: int, needle_frames: int) -> int:
    """Return the frame at which a needle starts: depth x (length - needle frames), with halves rounded up."""
    exact = Fraction(str(depth)) * (length - needle_frames)
    return math.floor(exact + Fraction(1, 2))


def nearest_paper_length(length: int) -> int:
    """Return the nearest of the paper's five lengths, the longer of two equally near: 4,000 for 3,000."""
    return min(PAPER_LENGTHS, key=lambda paper_length: (abs(paper_length - length), -paper_length))


def length_bin(length: int) -> int:
    """Return which of 16 bins of 500 frames, from 2,000 to 10,000, contains `length`; the last one is closed."""
    if not SHORTEST <= length <= LONGEST:
        raise ValueError(f"the paper's lengths range from {SHORTEST} to {LONGEST} frames, got {length}")
    return min((length - SHORTEST) // BIN_FRAMES, LENGTH_BINS - 1)


def lengths_in(bin_number: int) -> range:
    """Return the lengths of one length bin."""
    start = SHORTEST + BIN_FRAMES * bin_number
    return range(start, start + BIN_FRAMES + (bin_number == LENGTH_BINS - 1))


def paper_cells(cases: int) -> Iterator[Cell]:
    """Yield the 80 cells; 3,000 cases put 37 or 38 in each."""
    cells = LENGTH_BINS * DEPTH_BINS
    for cell in range(cells):
        first = cell * cases // cells
        stop = (cell + 1) * cases // cells
        yield Cell(cell // DEPTH_BINS, cell % DEPTH_BINS, first, stop - first)


def deal(names_by_type: dict[str, list[str]], count: int, seed: str) -> list[str]:
    """Return `count` needle names such that any run of them is balanced over types, and each type over its needles.

    Types take turns. Within a type every needle comes once before any comes again, in an order that is
    shuffled in each round: a fixed order would always put a needle into the same depth bin.
    """
    types = sorted(names_by_type)
    rounds: dict[str, list[str]] = {kind: [] for kind in types}
    dealt = []
    for number in range(count):
        kind = types[number % len(types)]
        if not rounds[kind]:
            rounds[kind] = sorted(names_by_type[kind])
            random.Random(f"{seed}/{kind}/{number}").shuffle(rounds[kind])
        dealt.append(rounds[kind].pop())
    return dealt

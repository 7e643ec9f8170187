"""The rows and columns of a table: how the lengths and depths of a design are labelled and grouped.

A depth is two frame numbers; its label is derived here. The grid design has exact lengths and depths. The paper
design draws both freely, and a suite of version 2 draws starts freely within bins, so their depths go into equal
bins; the paper design's lengths are grouped in two ways: "nearest", the nearest of the paper's five lengths (ties
upwards), and "bin", 16 bins of 500 frames.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache

from niah.suite.config import Suite
from niah.suite.design import (
    BIN_FRAMES,
    DEPTH_BINS,
    LENGTH_BINS,
    LONGEST,
    PAPER_LENGTHS,
    SHORTEST,
    length_bin,
    nearest_paper_length,
)
from niah.suite.positions import bin_of
from niah.types import ALL_TYPES, SINGLE, Case

ALL = ALL_TYPES  # the label of a marginal: over every type, length or depth
ROWS = {"first": "distance", "times": "copies"}  # of kinds whose rows are not depths
MAX_GRID_VALUES = 12  # distinct lengths or depths; cases without a suite that have more are no grid
LENGTH_BIN_LABELS = tuple(
    f"{SHORTEST + BIN_FRAMES * number}-{SHORTEST + BIN_FRAMES * (number + 1) - (number < LENGTH_BINS - 1)}"
    for number in range(LENGTH_BINS)
)


@cache
def depth_bin_labels(bins: int = DEPTH_BINS) -> tuple[str, ...]:
    """Return the labels of equal depth bins: "0-0.2" and so on."""
    return tuple(f"{number / bins:g}-{(number + 1) / bins:g}" for number in range(bins))


DEPTH_BIN_LABELS = depth_bin_labels()


@dataclass(frozen=True)
class Layout:
    """The lengths and depths of a design ("grid" or "paper"); without depths, equal bins are used.

    Kinds of questions about several clips have other rows than depths: `first` the distances of two clips, `times`
    the number of copies.
    """

    design: str
    lengths: tuple[int, ...]
    depths: tuple[float, ...] = ()
    bins: int = DEPTH_BINS
    kind: str = SINGLE
    distances: tuple[float, ...] = ()
    copies: int = 0

    @property
    def row(self) -> str:
        """Return what the rows of a table are: depth, distance or copies."""
        return ROWS.get(self.kind, "depth")

    @property
    def grouping(self) -> str:
        """Return how lengths are grouped by default: a key of `length_labels`."""
        return "exact" if self.design == "grid" else "nearest"

    def length_labels(self) -> dict[str, tuple[str, ...]]:
        """Return the length labels of each grouping, in order."""
        return self._length_labels

    @cached_property
    def _length_labels(self) -> dict[str, tuple[str, ...]]:
        lengths = tuple(str(length) for length in self.lengths)
        return {"exact": lengths} if self.design == "grid" else {"nearest": lengths, "bin": LENGTH_BIN_LABELS}

    def depth_labels(self) -> tuple[str, ...]:
        """Return the labels of the rows, in order."""
        if self.row == "distance":
            return tuple(f"{distance:g}" for distance in self.distances)
        if self.row == "copies":
            return tuple(str(number) for number in range(self.copies + 1))
        return tuple(f"{depth:g}" for depth in self.depths) or depth_bin_labels(self.bins)

    def length_label(self, case: Case, by: str) -> str | None:
        """Return the length label of a case in one grouping; None if it has no haystack, or lies outside the bins."""
        if not case.haystack:
            return None
        if by == "exact":
            return str(case.length)
        if by == "nearest":
            return str(nearest_paper_length(case.length))
        return LENGTH_BIN_LABELS[length_bin(case.length)] if SHORTEST <= case.length <= LONGEST else None

    def depth_label(self, case: Case) -> str | None:
        """Return the depth label of a case: the nearest of the design's depths, or a bin; None without a needle.

        Where rows are no depths, it is the distance of its clips or the number of copies, and None for controls.
        """
        if self.row != "depth":
            return self._row_label(case)
        position = case.position
        if position is None:
            return None
        start, room = position
        if not self.depths:
            return depth_bin_labels(self.bins)[bin_of(start, self.bins, room)]
        return f"{_nearest(self.depths, start / room):g}"

    def _row_label(self, case: Case) -> str | None:
        """Return the distance, or the number of copies, of a case; None for a control without a haystack."""
        if case.condition not in ("full", "swapped"):
            return None
        if self.row == "copies":
            return str(len(case.needles))
        shown = clip_distance(case)
        return f"{min(self.distances, key=lambda distance: abs(distance - shown)):g}"

    def nominal_depth(self, case: Case) -> float | None:
        """Return the depth that the design asked for, before rounding to a frame; None without one."""
        if self.row != "depth":
            return None
        depth = case.depth
        if depth is None or not self.depths:
            return depth
        return _nearest(self.depths, depth)


@lru_cache(maxsize=2**16)
def _nearest(depths: tuple[float, ...], depth: float) -> float:
    """Return the nearest of the design's depths."""
    return min(depths, key=lambda nominal: abs(nominal - depth))


def clip_distance(case: Case) -> float:
    """Return the distance of the two clips of a case: frames of haystack between them / all frames of haystack."""
    one, other = sorted(case.needles, key=lambda placed: placed.start)
    inserted = sum(placed.stop - placed.start for placed in case.needles)
    return (other.start - one.stop) / (case.length - inserted)


def infer_layout(cases: Sequence[Case], suite: Suite | None) -> Layout:
    """Return a suite's layout; without a suite, a grid if the cases have few distinct lengths."""
    if suite is not None and suite.design == "paper":
        return Layout("paper", PAPER_LENGTHS)
    lengths = tuple(sorted({case.length for case in cases if case.haystack}))
    if suite is not None:
        lengths = tuple(sorted({*suite.lengths, *lengths}))
        others = (tuple(sorted(suite.all_distances)), suite.most_copies)
        return Layout("grid", lengths, tuple(sorted(suite.depths)), suite.bins, SINGLE, *others)
    if len(lengths) > MAX_GRID_VALUES:
        return Layout("paper", PAPER_LENGTHS)
    depths = tuple(sorted({round(case.depth, 2) for case in cases if case.depth is not None}))
    return Layout("grid", lengths, depths if len(depths) <= MAX_GRID_VALUES else ())


def merge_layouts(first: Layout, second: Layout) -> Layout | None:
    """Return the layout of two grids together; None if one is no grid: it must then be inferred from the cases."""
    if first == second:
        return first
    if not first.design == second.design == "grid":
        return None
    if (first.bins, first.distances, first.copies) != (second.bins, second.distances, second.copies):
        return None
    lengths = tuple(sorted({*first.lengths, *second.lengths}))
    depths = {*first.depths, *second.depths} if first.depths and second.depths else ()
    return dataclasses.replace(first, lengths=lengths, depths=tuple(sorted(depths)))


def format_depth(label: str) -> str:
    """Return a depth for people: 0.1 stays as it is, the bin 0.2-0.4 becomes 20-40%."""
    start, dash, stop = label.partition("-")
    return f"{float(start):.0%}-{float(stop):.0%}".replace("%-", "-") if dash else label


def format_length(frames: str | int) -> str:
    """Return a length label as people write it: 2000 as 2K, the bin 2000-2499 as 2K-2.5K."""
    start, dash, stop = str(frames).partition("-")
    if dash:
        return f"{format_length(start)}-{format_length(int(stop) + int(stop) % 2)}"  # 2499 is shown as 2500
    if not start.isdigit():
        return start
    count = int(start)
    return f"{count / 1000:g}K" if count >= 1000 and count % 100 == 0 else start

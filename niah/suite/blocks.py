"""Which needle is asked in which cells, and which letter is right there: a balanced incomplete block design.

What limits every interval is the number of needle sources, so a suite asks many needles in some cells each rather
than few needles in all. Each needle is asked at every length, in `bins_per_length` of the depth bins, and each cell
asks equally many needles of each type. The right letter takes turns within a cell, so that a model that always
answers "A" scores exactly chance in every cell whose needles divide by the options, and over the cells of a needle,
so that no letter belongs to a needle.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class CaseSlot:
    """One `full` case before it has a start: its needle, cell and haystack, and the right letter's turn."""

    needle: str
    length: int  # number of the length, from 0
    bin: int  # depth bin, from 0
    home: int  # number of the haystack among those of this needle, from 0
    turn: int  # the right letter is this one, modulo the number of options


def slots(
    needles_by_type: Mapping[str, Sequence[str]], lengths: int, bins: int, bins_per_length: int
) -> Iterator[CaseSlot]:
    """Yield every slot, type by type and needle by needle, lengths ascending.

    The cells of needle i at length l are the bins i + l + o (modulo `bins`), for offsets o spread evenly over the bins.
    """
    if not 1 <= bins_per_length <= bins:
        raise ValueError(f"wanted bins_per_length from 1 to {bins}, got {bins_per_length}")
    offsets = [number * bins // bins_per_length for number in range(bins_per_length)]
    for names in needles_by_type.values():
        asked: dict[tuple[int, int], int] = {}  # needles of this type so far, by cell
        for number, name in enumerate(names):
            for length in range(lengths):
                for home, offset in enumerate(offsets):
                    bin_number = (number + length + offset) % bins
                    rank = asked.get((length, bin_number), 0)
                    asked[length, bin_number] = rank + 1
                    yield CaseSlot(name, length, bin_number, home, turn=rank + 3 * length + 2 * bin_number)


def rotate_options(options: Sequence[str], right: int, turn: int) -> tuple[tuple[str, ...], int]:
    """Return the options turned so that option `right` stands at place `turn`, modulo their number, and that place."""
    count = len(options)
    place = turn % count
    first = (right - place) % count
    return (*options[first:], *options[:first]), place

"""A balanced incomplete block design: which needle is asked in which cells, and which letter is correct there.

The width of every confidence interval depends on the number of needle sources. A suite therefore asks many needles in
some cells each, not few needles in all cells. Each needle is asked at every length, in `bins_per_length` of the depth
bins, and each cell asks the same number of needles of each type. The correct letter rotates within a cell: a model that
always answers "A" scores exactly chance in every cell whose number of needles is a multiple of the number of options.
It also rotates over the cells of a needle, so that a needle does not have a letter of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class CaseSlot:
    """One `full` case before its start is drawn: its needle, cell, haystack and correct letter."""

    needle: str
    length: int  # index of the length
    bin: int  # index of the depth bin
    haystack: int  # index among the haystacks of this needle, modulo their number
    turn: int  # index of the correct letter, modulo the number of options


def slots(
    needles_by_type: Mapping[str, Sequence[str]], lengths: int, bins: int, bins_per_length: int
) -> Iterator[CaseSlot]:
    """Yield every slot, type by type and needle by needle, lengths ascending.

    Needle i is asked at length l in the bins i + l + o (modulo `bins`), for offsets o spread evenly over the bins.

    Args:
        needles_by_type: The names of the needles of each question type.
        lengths: The number of lengths.
        bins: The number of depth bins.
        bins_per_length: In how many bins each needle is asked at a length.
    """
    if not 1 <= bins_per_length <= bins:
        raise ValueError(f"expected bins_per_length from 1 to {bins}, got {bins_per_length}")
    offsets = [number * bins // bins_per_length for number in range(bins_per_length)]
    for names in needles_by_type.values():
        asked: dict[tuple[int, int], int] = {}  # number of needles of this type so far, by cell
        for number, name in enumerate(names):
            for length in range(lengths):
                for place, offset in enumerate(offsets):
                    bin_number = (number + length + offset) % bins
                    rank = asked.get((length, bin_number), 0)
                    asked[length, bin_number] = rank + 1
                    haystack = length * bins_per_length + place  # in turn over all cases of the needle
                    yield CaseSlot(name, length, bin_number, haystack, turn=rank + 3 * length + 2 * bin_number)


def rotate_options(options: Sequence[str], correct: int, turn: int) -> tuple[tuple[str, ...], int]:
    """Return the options, rotated so that option `correct` has index `turn` modulo their number, and that index."""
    index = turn % len(options)
    first = (correct - index) % len(options)
    return (*options[first:], *options[:first]), index

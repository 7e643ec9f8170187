"""Lengths, depths and cells, as numbers that can be checked by hand."""

from collections import Counter

import pytest

from niah.suite.design import (
    DEPTH_BINS,
    deal,
    length_bin,
    lengths_in,
    nearest_paper_length,
    needle_start,
    paper_cells,
)
from niah.suite.positions import bin_of, starts_in_bin

STARTS = [
    # depth, length, needle frames, start
    (0.5, 2000, 20, 990),  # half of the 1,980 frames that are not needle
    (0.1, 2000, 20, 198),
    (0.0, 2000, 20, 0),
    (1.0, 2000, 20, 1980),  # the needle comes last
    (0.5, 12, 1, 6),  # 5.5 rounds up
    (0.3, 25, 0, 8),  # 7.5 exactly: as a float, 0.3 x 25 could fall short
    (0.7, 5, 0, 4),  # 3.5
    (0.9, 10000, 40, 8964),
]


@pytest.mark.parametrize("depth, length, frames, start", STARTS)
def test_depth_becomes_a_start_frame_with_halves_rounded_up(depth, length, frames, start):
    assert needle_start(depth, length, frames) == start


@pytest.mark.parametrize(
    "length, group",
    [(200, 2000), (2000, 2000), (2999, 2000), (3000, 4000), (4999, 4000), (5000, 6000), (9000, 10000), (10000, 10000)],
)
def test_a_length_belongs_to_the_nearest_group_and_ties_go_up(length, group):
    assert nearest_paper_length(length) == group


@pytest.mark.parametrize("length, number", [(2000, 0), (2499, 0), (2500, 1), (9499, 14), (9500, 15), (10000, 15)])
def test_length_bins_hold_500_frames_and_the_last_is_closed(length, number):
    assert length_bin(length) == number


@pytest.mark.parametrize("length", [1999, 10001])
def test_a_length_outside_the_paper_has_no_bin(length):
    with pytest.raises(ValueError, match="2000 to 10000"):
        length_bin(length)


@pytest.mark.parametrize(
    "start, number", [(0, 0), (199, 0), (200, 1), (599, 2), (600, 3), (800, 4), (999, 4), (1000, 4)]
)
def test_depth_bins_hold_a_fifth_of_the_room_and_the_last_is_closed(start, number):
    assert bin_of(start, DEPTH_BINS, room=1000) == number


def test_a_needle_that_fills_the_video_has_no_depth():
    with pytest.raises(ValueError, match="no depth"):
        bin_of(0, DEPTH_BINS, room=0)


def test_the_16_length_bins_cover_2000_to_10000_once():
    assert [length for number in range(16) for length in lengths_in(number)] == list(range(2000, 10001))


@pytest.mark.parametrize("room", [5, 7, 1980, 9987])
def test_the_five_depth_bins_cover_every_start_once(room):
    starts = [start for number in range(5) for start in starts_in_bin(number, DEPTH_BINS, room)]
    assert starts == list(range(room + 1))


@pytest.mark.parametrize("number", range(5))
def test_starts_drawn_for_a_depth_bin_lie_in_it(number):
    assert {bin_of(start, DEPTH_BINS, 1988) for start in starts_in_bin(number, DEPTH_BINS, 1988)} == {number}


def test_3000_cases_are_37_or_38_a_cell():
    counts = Counter(cell.count for cell in paper_cells(3000))
    assert counts == {37: 40, 38: 40}  # 3000 = 80 x 37.5


def test_the_80_cells_number_the_cases_without_gap():
    numbers = [cell.first + place for cell in paper_cells(3000) for place in range(cell.count)]
    assert numbers == list(range(3000))


def test_types_take_turns_and_each_needle_is_dealt_before_any_twice():
    dealt = deal({"colour": ["a", "b"], "count": ["x", "y", "z"]}, 12, "seed")
    assert [name in "ab" for name in dealt] == [True, False] * 6
    assert Counter(dealt) == {"a": 3, "b": 3, "x": 2, "y": 2, "z": 2}


def test_dealing_is_shuffled_anew_each_round():
    dealt = deal({"colour": list("abcdef")}, 12, "seed")
    assert dealt[:6] != dealt[6:]

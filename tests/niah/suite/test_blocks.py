from collections import Counter, defaultdict

import pytest

from niah.suite.blocks import CaseSlot, rotate_options, slots

DEFAULT = {"motion": [f"m{number:02}" for number in range(60)], "digit": [f"d{number:02}" for number in range(60)]}


@pytest.mark.parametrize("bins_per_length", [1, 2, 5])
def test_every_cell_asks_equally_many_needles_of_each_type(bins_per_length):
    cells = Counter((slot.needle[0], slot.length, slot.bin) for slot in slots(DEFAULT, 5, 5, bins_per_length))
    assert len(cells) == 2 * 25 and set(cells.values()) == {12 * bins_per_length}


def test_every_needle_is_asked_at_every_length_in_different_bins():
    by_needle = defaultdict(list)
    for slot in slots(DEFAULT, 5, 5, 2):
        by_needle[slot.needle].append(slot)
    for asked in by_needle.values():
        assert Counter(slot.length for slot in asked) == {length: 2 for length in range(5)}
        assert Counter(slot.bin for slot in asked) == {number: 2 for number in range(5)}
        assert Counter(slot.haystack % 2 for slot in asked) == {0: 5, 1: 5}


def test_a_needle_changes_its_haystack_even_where_it_is_asked_once_at_a_length():
    haystacks = defaultdict(list)
    for slot in slots(DEFAULT, 5, 5, 1):
        haystacks[slot.needle].append(slot.haystack % 2)
    assert all(found == [0, 1, 0, 1, 0] for found in haystacks.values())


@pytest.mark.parametrize("bins_per_length", [1, 2, 5])
def test_a_constant_reply_scores_exactly_chance_in_every_cell(bins_per_length):
    letters = defaultdict(Counter)
    for slot in slots(DEFAULT, 5, 5, bins_per_length):
        letters[slot.needle[0], slot.length, slot.bin][slot.turn % 4] += 1
    assert all(set(counts.values()) == {3 * bins_per_length} and len(counts) == 4 for counts in letters.values())


def test_every_letter_is_right_for_every_needle_in_some_cell():
    letters = defaultdict(set)
    for slot in slots(DEFAULT, 5, 5, 2):
        letters[slot.needle].add(slot.turn % 4)
    assert all(found == {0, 1, 2, 3} for found in letters.values())


def test_one_needle_in_all_bins():
    assert list(slots({"t": ["n"]}, 1, 2, 2)) == [CaseSlot("n", 0, 0, 0, 0), CaseSlot("n", 0, 1, 1, 2)]


def test_bins_go_up_with_the_needle_and_with_the_length():
    cells = [(slot.needle, slot.length, slot.bin) for slot in slots({"t": ["n0", "n1"]}, 2, 3, 1)]
    assert cells == [("n0", 0, 0), ("n0", 1, 1), ("n1", 0, 1), ("n1", 1, 2)]


def test_more_bins_than_there_are_are_refused():
    with pytest.raises(ValueError, match="expected bins_per_length from 1 to 5, got 6"):
        list(slots(DEFAULT, 5, 5, 6))


ROTATED = [  # options, right, turn -> options, place
    ("abcd", 2, 0, "cdab", 0),
    ("abcd", 2, 1, "bcda", 1),
    ("abcd", 2, 2, "abcd", 2),
    ("abcd", 2, 7, "dabc", 3),
    ("ab", 0, 3, "ba", 1),
]


@pytest.mark.parametrize("options, right, turn, wanted, place", ROTATED)
def test_options_turn_so_that_the_right_one_stands_where_it_should(options, right, turn, wanted, place):
    assert rotate_options(tuple(options), right, turn) == (tuple(wanted), place)

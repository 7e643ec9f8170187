"""Clips drawn in pairs: of one type, with answers that can be confused, every second pair of one target."""

from collections import Counter

import pytest

from niah.suite.footage.partners import choose_partners
from niah.types import LETTERS

TYPES = ["motion", "digit"] * 8


@pytest.fixture(scope="module")
def drawn():
    clips, partners = choose_partners("pairs", TYPES)
    return [one.clip for one in clips], partners


def answer(clip):
    return clip.options[LETTERS.index(clip.answer)]


def test_every_needle_has_a_partner_of_its_type_whose_answer_is_a_wrong_option(drawn):
    clips, partners = drawn
    assert sorted(partners) == list(range(16))
    for number, other in partners.items():
        assert partners[other] == number and clips[number].type == clips[other].type == TYPES[number]
        assert answer(clips[other]) in clips[number].options and answer(clips[other]) != answer(clips[number])


def test_every_second_pair_has_one_target_and_two_marks(drawn):
    clips, partners = drawn
    same = [(n, other) for n, other in partners.items() if clips[n].target == clips[other].target]
    assert len(same) == 8
    for number, other in same:
        assert clips[number].question == clips[other].question and clips[number].cue != clips[other].cue
        assert clips[number].mark and clips[number].cue.endswith(clips[number].mark)


def test_letters_and_answers_take_turns(drawn):
    clips, _ = drawn
    for kind in ("motion", "digit"):
        letters = Counter(clip.answer for clip in clips if clip.type == kind)
        assert set(letters.values()) == {2}
    assert set(Counter(answer(clip) for clip in clips if clip.type == "motion").values()) == {2}


def test_a_needle_that_is_left_has_no_partner():
    clips, partners = choose_partners("pairs", ["motion"] * 3)
    assert len(clips) == 3 and partners == {0: 1, 1: 0}

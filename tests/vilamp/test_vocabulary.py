"""Any text becomes ids; the largest id is where CLIP reads the query."""

import pytest

from niah.types import Question
from vilamp.vocabulary import BYTES, FIRST_WORD, START, Vocabulary, cloze

VOCABULARY = Vocabulary(("red", "circle", "3"))
RED, CIRCLE, THREE = FIRST_WORD, FIRST_WORD + 1, FIRST_WORD + 2

TEXTS = [
    ("red circle", [RED, CIRCLE]),
    ("Red  CIRCLE", [RED, CIRCLE]),
    ("3", [THREE]),
    ("33", [THREE, THREE]),
    ("redcircle", list(b"redcircle")),  # another word, not two known ones
    ("a red", [ord("a"), RED]),
    ("red é", [RED, 0xC3, 0xA9]),
    ("red 日", [RED, 0xE6, 0x97, 0xA5]),
    ("", []),
]


@pytest.mark.parametrize("text, ids", TEXTS)
def test_text_is_encoded_as(text, ids):
    assert VOCABULARY.encode(text) == ids


def test_the_end_of_a_query_is_its_largest_id_even_when_it_is_cut():
    ids = VOCABULARY.encode_query("red " * 50, 8)
    assert ids == [START, *[RED] * 6, VOCABULARY.end]
    assert max(ids) == VOCABULARY.end


def test_a_short_query_is_no_longer_than_it_must_be():
    assert VOCABULARY.encode_query("red", 5) == [START, RED, VOCABULARY.end]


def test_bytes_pad_start_words_and_end_fill_the_vocabulary():
    assert len(VOCABULARY) == BYTES + 2 + 3 + 1


def test_the_cloze_prompt_shows_the_suites_sentence_but_no_option():
    question = Question("Which {way}?", ("left", "right"), "A clip was inserted. {question}")
    assert cloze(question) == "A clip was inserted. Which {way}? answer:"

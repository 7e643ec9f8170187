"""Questions with less and less help: what they say, what the pictures then show, and that nothing older has moved."""

from pathlib import Path

import pytest

from niah.suite.footage.balance import choose_clips
from niah.suite.footage.clips import TYPES, draw_clip
from niah.suite.footage.draw import Look
from niah.suite.footage.wording import WORDED_TYPES, reword
from vilamp.train import data

WORDS = Path(__file__).resolve().parents[4] / "vilamp" / "checkpoints" / "micro" / "words.txt"
WORDED = [
    ("named", "Which way does the red ring move?"),
    ("indirect", "Which way does the ring with the colour of blood move?"),
    ("unnamed", "Which way does the sprite move while the border is there?"),
]


@pytest.mark.parametrize("told, question", WORDED)
def test_a_question_tells_as_much_of_its_target_as_it_should(told, question):
    assert reword("Which way does the red ring move?", Look("ring", "red"), told) == question


@pytest.mark.parametrize("type", WORDED_TYPES)
def test_only_clips_whose_target_is_unnamed_have_a_border_and_then_one_sprite(type):
    for number in range(20):
        made = draw_clip("w", f"needle-{number:03d}", type)
        frames = made.frames()
        edges = [frames[:, :3], frames[:, -3:], frames[:, :, :3], frames[:, :, -3:]]
        bordered = all((edge == 245).all() for edge in edges)
        assert bordered == (WORDED_TYPES[type] == "unnamed")
        assert (len(made.scene.tracks) == 1) == bordered


def test_clips_drawn_without_a_type_are_of_the_types_there_always_were():
    assert {draw_clip("w", f"any-{number}").type for number in range(60)} == set(TYPES)
    assert not set(TYPES) & set(WORDED_TYPES)


def test_answers_of_a_phrased_type_take_turns():
    chosen = [one.clip for one in choose_clips("w", ["motion-unnamed"] * 16)]
    right = [made.options["ABCD".index(made.answer)] for made in chosen]
    assert sorted(right.count(way) for way in ("left", "right", "up", "down")) == [4] * 4


def test_words_of_the_trained_encoders_are_what_they_were():
    assert list(data.vocabulary_words()) == WORDS.read_text(encoding="utf-8").split()


def test_an_unnamed_digit_clip_shows_the_digit_of_its_answer():
    made = draw_clip("w", "needle-000", "digit-unnamed")
    shown = {sprite.digit for number in range(made.count) for sprite in made.sprites(number)}
    assert shown == {int(made.options["ABCD".index(made.answer)])}

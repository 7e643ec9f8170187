"""Questions about a clip are answered by its pictures, and its own comes first."""

import pytest

from niah.suite.footage.clips import draw_clip
from vilamp.train.questions import questions, questions_about_others

WAYS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


def sprites(clip, frame, look):
    return [one for one in clip.sprites(frame) if (one.shape, one.colour) == tuple(look)]


@pytest.mark.parametrize("type", ["motion", "digit"])
def test_a_clip_is_asked_its_own_question_first_and_others_that_its_pictures_answer(type):
    for number in range(20):
        clip = draw_clip("w", f"needle-{number}", type)
        first, *others = questions(clip)
        assert (first.text, first.options) == (clip.question, clip.options)
        assert first.answer == clip.options["ABCD".index(clip.answer)]
        digits = {str(one.digit) for one in sprites(clip, 0, clip.target)} - {"None"}
        assert [one.options for one in others] == [()] * len(others)
        assert {one.answer for one in [first, *others] if "digit" in one.text} == digits


def test_a_question_about_motion_is_answered_by_where_the_sprite_goes():
    for number in range(20):
        clip = draw_clip("w", f"needle-{number}", "digit")
        for one in [*questions(clip), *questions_about_others(clip)]:
            if "move" not in one.text:
                continue
            look = one.text.removeprefix("Which way does the ").removesuffix(" move?").split()[::-1]
            ((first,), (last,)) = (sprites(clip, frame, look) for frame in (0, clip.count - 1))
            across, down = WAYS[one.answer]
            assert (last.x - first.x) * across + (last.y - first.y) * down >= 24


def test_sprites_that_the_question_does_not_name_are_asked_about_too():
    for number in range(20):
        clip = draw_clip("w", f"needle-{number}", "motion")
        assert not [one for one in questions_about_others(clip) if str(clip.target) in one.text]
    assert any(questions_about_others(draw_clip("w", f"needle-{number}", "motion")) for number in range(20))

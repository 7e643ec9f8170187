"""Some frames of a video as a video: their pixels, their keys, and what they cost."""

import numpy as np
import pytest

from niah.adapters.feature_cache import slot_batches
from niah.adapters.sampled_video import SampledVideo
from niah.types import Question, UserError
from tests.helpers import tiny_releases
from tests.helpers.fake_video import FakeVideo
from vilamp.adapter import load


def test_its_frames_are_those_of_the_video():
    video = FakeVideo(("h", 0, 10), fps=2.0)
    sampled = SampledVideo(video, [1, 4, 7])
    assert (len(sampled), sampled.fps) == (3, 0.6)  # 3 frames in the same 5 seconds
    assert np.array_equal(sampled.frames([2, 0]), video.frames([7, 1]))
    assert [places for places, _ in sampled.iterate(2)] == [(0, 1), (2,)]
    fresh = FakeVideo(("h", 0, 10), fps=2.0)  # of which nothing is announced
    assert np.array_equal(next(sampled.iterate(2))[1], fresh.frames([1, 4]))


def test_frames_that_lie_apart_fill_a_batch_of_an_encoder():
    sampled = SampledVideo(FakeVideo(("h", 0, 100)), range(0, 100, 10))
    assert [len(batch) for batch in slot_batches(sampled.keys(0, 10), range(10), 5)] == [5, 5]
    first, other = sampled.keys(1, 2)[0], SampledVideo(FakeVideo(("h", 0, 100)), [10]).keys(0, 1)[0]
    assert first.time == other.time == "10" and first != other  # the same frame in another row is encoded anew


def test_a_released_vilamp_sees_what_its_scripts_show_and_says_which_frames_those_were(tmp_path):
    folder = tiny_releases.copy("vilamp", tmp_path / "checkpoint")
    question = Question("Which way?", ("left", "right"))
    scripts = load(str(folder), max_new_tokens=2, frames="release")
    reply = scripts.answer(FakeVideo(("h", 0, 100), fps=2.5), question)
    assert reply.frames_used == tuple(range(0, 100, 2)) and set(reply.frames_kept) <= set(reply.frames_used)
    alone = load(str(folder), max_new_tokens=2).answer(
        FakeVideo(*(("h", n, n + 1) for n in range(0, 100, 2))), question
    )
    assert (reply.text, reply.language_tokens) == (alone.text, alone.language_tokens)
    assert reply.frames_kept == tuple(2 * number for number in alone.frames_kept)
    attended = scripts.attentions(FakeVideo(("h", 0, 100), fps=2.5), question)
    assert set(attended.frames) == set(reply.frames_used)
    with pytest.raises(UserError, match="at least 1 frame a second"):
        scripts.answer(FakeVideo(("h", 0, 8), fps=0.5), question)


def test_no_more_than_600_frames_are_shown(tmp_path):
    folder = tiny_releases.copy("vilamp", tmp_path / "checkpoint")
    shown = load(str(folder), frames="release").asking.shown(FakeVideo(("h", 0, 2000)))
    assert (len(shown), shown.numbers[0], shown.numbers[-1]) == (600, 0, 1999)

from collections import Counter

import numpy as np
import pytest
from scipy.stats import binom

from baselines import chance, novelty, seams
from niah.run import registry
from niah.types import FrameKey, Question, UserError

ASKED = Question("Which way does the red circle move?", ("left", "right", "up", "down"))


class Pictures:
    """A video of given frames."""

    def __init__(self, frames, source="haystack-0", first=0):
        self.pictures, self.source, self.first = frames, source, first
        self.fps, self.handed_out, self.decode_seconds = 1.0, set(), 0.0

    def __len__(self):
        return len(self.pictures)

    def frames(self, indices):
        self.handed_out.update(indices)
        return np.stack([self.pictures[index] for index in indices])

    def announce(self, indices):
        pass

    def keys(self, start, stop):
        return [FrameKey(self.source, str(self.first + n), "64x64", "none", self.first + n) for n in range(start, stop)]

    def path(self):
        raise NotImplementedError


def blank(count, first=0, value=90):
    return Pictures(np.full((count, 64, 64, 3), value, np.uint8), first=first)


def test_chance_answers_the_same_every_time_and_decodes_nothing():
    video = blank(10)
    reply = chance.load().answer(video, ASKED)
    assert reply == chance.load().answer(blank(10), ASKED)
    assert reply.text in "ABCD"
    assert (reply.frames_used, reply.frames_kept, video.handed_out) == ((), (), set())


@pytest.mark.parametrize("baseline", [novelty, seams])
def test_frames_seen_before_are_not_decoded_again(baseline):
    draw = np.random.default_rng(1)
    pictures = draw.integers(0, 256, (100, 16, 16, 3), dtype=np.uint8)
    model, part = baseline.load(frames=8), Pictures(pictures[20:60], first=20)
    model.answer(part, ASKED)
    whole = Pictures(pictures)
    reply = model.answer(whole, ASKED)
    assert whole.handed_out == {*range(20), *range(60, 100)} and reply.reused_frames == 40
    fresh = baseline.load(frames=8).answer(Pictures(pictures), ASKED)
    assert (reply.frames_kept, reply.frame_size) == (fresh.frames_kept, fresh.frame_size)


@pytest.mark.parametrize("baseline", [novelty, seams])
def test_what_looks_at_every_frame_reports_their_size(baseline):
    seen, blind = (baseline.load().answer(blank(count), ASKED) for count in (10, 0))
    assert (seen.frame_size, seen.frame_times) == ((64, 64), False)
    assert (blind.frame_size, blind.frame_times) == (None, None)


def test_chance_guesses_every_letter_equally_often_from_case_to_case():
    replies = Counter(chance.load().answer(blank(5, first), ASKED).text for first in range(800))
    low, high = binom.interval(0.999, 800, 0.25)
    assert set(replies) == set("ABCD")
    assert all(low <= count <= high for count in replies.values())


def test_chance_never_answers_beyond_the_options():
    two = Question("Is there a red circle?", ("yes", "no"))
    assert {chance.load().answer(blank(5, first), two).text for first in range(50)} == {"A", "B"}


def test_chance_guesses_anew_for_other_options():
    texts = {chance.load().answer(blank(5), Question("Which?", ("1", "2", "3", str(n)))).text for n in range(4, 40)}
    assert texts == set("ABCD")


def test_chance_answers_without_a_video():
    assert chance.load().answer(blank(0), ASKED).text in "ABCD"


def odd_frames(count, odd):
    pictures = np.random.default_rng(0).integers(80, 100, (count, 64, 64, 3)).astype(np.uint8)
    for index in odd:
        pictures[index, 16:48, 16:48] = (250, 20, 20)
    return Pictures(pictures)


def test_novelty_keeps_the_frames_unlike_the_rest():
    video = odd_frames(300, [7, 150, 151, 299])
    reply = novelty.load(frames=4).answer(video, ASKED)
    assert reply.frames_kept == (7, 150, 151, 299)
    assert reply.frames_used == tuple(range(300))
    assert video.handed_out == set(range(300))
    assert reply.text in "ABCD"


def test_novelty_keeps_the_same_frames_whatever_is_asked():
    other = Question("How many blue rings are there?", ("one", "two", "three", "four"))
    kept = [novelty.load(frames=8).answer(odd_frames(200, [3]), asked).frames_kept for asked in (ASKED, other)]
    assert kept[0] == kept[1]
    assert len(kept[0]) == 8


@pytest.mark.parametrize("baseline", [novelty, seams])
def test_baselines_that_select_frames_without_the_question_say_so(baseline):
    assert baseline.load().answer(blank(5), ASKED).settings["reads_question"] is False


def test_novelty_keeps_all_of_a_video_shorter_than_its_limit():
    assert novelty.load(frames=32).answer(blank(5), ASKED).frames_kept == (0, 1, 2, 3, 4)


def test_novelty_answers_without_a_video():
    reply = novelty.load().answer(blank(0), ASKED)
    assert (reply.frames_used, reply.frames_kept) == ((), ())
    assert reply.text in "ABCD"


@pytest.mark.parametrize("height, width", [(64, 64), (8, 12), (33, 50)])
def test_novelty_sums_a_frame_up_by_the_mean_of_sixteen_parts(height, width):
    frames = np.random.default_rng(1).integers(0, 256, (3, height, width, 3)).astype(np.uint8)
    described = novelty.describe(frames).reshape(3, 4, 4, 3)
    for row in range(4):
        for column in range(4):
            rows = slice(row * height // 4, (row + 1) * height // 4)
            columns = slice(column * width // 4, (column + 1) * width // 4)
            assert np.allclose(described[:, row, column], frames[:, rows, columns].mean((1, 2)))


@pytest.mark.parametrize("model", ["novelty", "seeker"])
@pytest.mark.parametrize("value", [0, -3, 2.5, "many", True])
def test_a_frame_limit_that_is_not_a_count_is_refused(model, value):
    with pytest.raises(UserError, match="frames must be a whole number from 1 up"):
        registry.load_adapter(f"baselines.{model}:load", {"frames": value})


TAKES = [("chance", r"\(\)"), ("seeker", "frames: 'int'"), ("novelty", "frames: 'int'")]


@pytest.mark.parametrize("model, takes", TAKES)
def test_an_unknown_setting_is_refused_with_the_known_ones(model, takes):
    with pytest.raises(UserError, match=f"baselines.{model}:load takes .*{takes}.*keyframes"):
        registry.load_adapter(f"baselines.{model}:load", {"keyframes": 8})

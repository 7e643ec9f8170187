"""Which windows a video is cut into, at which ratios, and where the summary tokens stand in them."""

import numpy as np
import pytest
import torch

from baselines.video_xl import compress
from baselines.video_xl.compress import RatioCurriculum, RatioRule, Window, cut_windows, plan_windows
from niah.types import UserError


def drawn(window):
    """Write a window as letters: v for a visual, S for a summary token."""
    return "".join("S" if i in window.places else "v" for i in range(len(window) + window.summaries))


@pytest.mark.parametrize(
    "length, ratio, carry, letters",
    [
        (6, 2, 0, "vvSvvSvvS"),
        (7, 3, 0, "vvvSvvvSv"),  # a group that is not complete has no summary token
        (5, 3, 1, "vvSvvvS"),  # one token of the window before was still waiting
        (2, 4, 1, "vv"),
        (3, 1, 0, "vSvSvS"),
    ],
)
def test_a_summary_token_follows_each_group(length, ratio, carry, letters):
    assert drawn(Window(10, 10 + length, ratio, carry)) == letters


@pytest.mark.parametrize("ratio", [2, 3, 5, 7, 16])
@pytest.mark.parametrize("carry", [0, 1])
def test_positions_are_those_of_the_release(ratio, carry):
    window = Window(0, 64, ratio, carry)
    count = 64 + (64 + carry) // ratio
    assert list(window.places) == [i for i in range(count) if i % (ratio + 1) == ratio - carry]


def test_the_last_window_ends_with_the_video():
    assert cut_windows(288, 64) == [64, 64, 64, 64, 32]
    assert cut_windows(128, 64) == [64, 64] and cut_windows(0, 64) == []


def test_tokens_left_over_move_the_next_summary_token_forward():
    windows = plan_windows([64, 64, 64, 64, 32], [5] * 5)
    assert [window.carry for window in windows] == [0, 4, 3, 2, 1]
    assert [window.summaries for window in windows] == [12, 13, 13, 13, 6]  # 57 = 288 // 5


def test_only_tokens_before_a_summary_token_of_their_window_are_seen():
    assert [window.seen for window in plan_windows([7, 7], [3, 3])] == [6, 5]  # vvvSvvvSv, then vvSvvvSvv
    assert Window(0, 3, 4).seen == 0


def test_a_ratio_may_not_change_while_tokens_wait():
    with pytest.raises(ValueError, match="ratio 2 but takes over 4 tokens"):
        plan_windows([64, 64], [5, 2])


def pick(rule, lengths, tokens=0, limit=1000):
    return rule.pick(lengths, 64, tokens, limit, np.random.default_rng(42))


def test_ratios_in_turn_skip_what_does_not_divide_a_window():
    assert pick(RatioRule((2, 4, 8), "sequence"), [64, 64, 64, 64]) == [2, 4, 8, 2]
    assert pick(RatioRule((2, 16), "sequence"), [64, 64, 64, 8]) == [2, 16, 2, 2]


def test_one_draw_serves_a_whole_video():
    picked = pick(RatioRule((2, 4, 8, 16), "instance-random"), [64] * 9)
    assert len(set(picked)) == 1


def test_draws_of_a_window_do_not_depend_on_how_many_follow():
    rule = RatioRule((2, 4, 8))
    assert pick(rule, [64] * 12)[:5] == pick(rule, [64] * 5)


@pytest.mark.parametrize(
    "tokens, ratio",
    [(200, 2), (224, 2), (225, 4), (416, 4), (417, 8)],  # (160 - 64) a + 64 >= tokens + 32
)
def test_adapt_takes_the_smallest_ratio_that_keeps_within_the_positions(tokens, ratio):
    assert pick(RatioRule((2, 4, 8), "adapt-32"), [64, 64], tokens, 160) == [ratio, ratio]


def test_adapt_takes_the_largest_where_none_is_enough():
    assert pick(RatioRule((2, 4, 8), "adapt-32"), [64], 10_000, 160) == [8]


def test_a_window_that_no_ratio_divides_is_refused():
    with pytest.raises(UserError, match=r"63 visual tokens can be divided by none of the ratios \[2, 4\]"):
        pick(RatioRule((2, 4)), [64, 63])


@pytest.mark.parametrize("ratios, mix", [((0,), "step-random"), ((), "sequence"), ((-2,), "sequence")])
def test_ratios_below_one_are_refused(ratios, mix):
    with pytest.raises(UserError, match="whole numbers from 1 up"):
        RatioRule(ratios, mix)


def test_an_unknown_mix_is_answered_with_the_known_ones():
    with pytest.raises(UserError, match="adapt-F"):
        RatioRule((2, 4), "adapt")


def test_the_curriculum_begins_with_small_ratios_and_ends_with_all():
    stages = [RatioCurriculum().at(progress).ratios for progress in (0.0, 0.19, 0.2, 0.6, 1.0)]
    assert stages == [(2,), (2,), (2, 4), (2, 4, 8, 12), (2, 4, 8, 12, 16)]


def test_a_curriculum_that_does_not_rise_is_refused():
    with pytest.raises(ValueError, match="rise from 0"):
        RatioCurriculum(((2,), (4,)), (0.0, 0.0))


def test_depth_is_measured_from_the_peaks_on_both_sides():
    found = compress.depth_scores(torch.tensor([0.9, 0.5, 0.75, 0.25, 1.0]))
    # a peak is where the climb ends: 0.5 has 0.9 to its left and 0.75 to its right
    torch.testing.assert_close(found, torch.tensor([0.0, 0.325, 0.0, 0.625, 0.0]))


def test_a_video_is_cut_where_the_picture_changes():
    left, right = torch.eye(4)[0], torch.eye(4)[1]
    classes = torch.stack([left] * 5 + [right] * 3)
    assert compress.find_boundaries(compress.neighbour_similarity(classes)) == [5]


def test_a_still_video_is_cut_nowhere():
    assert compress.find_boundaries(compress.neighbour_similarity(torch.ones(9, 4))) == []


def test_intervals_are_no_longer_than_a_window():
    assert compress.cut_intervals(20, [3, 17], limit=10) == [3, 10, 4, 3]


@pytest.mark.parametrize("frames, ratio", [(10, 16), (5, 8), (2, 2), (1, 2)])
def test_a_short_interval_is_compressed_less(frames, ratio):
    # a full window leaves 1440 / 16 = 90 summary tokens: 5 frames are 720 / 8, two 288 / 2 (288 / 4 = 72 is too few)
    assert compress.ratio_of_interval(frames * 144, 1440, (2, 4, 8, 16)) == ratio


def test_more_summary_tokens_go_where_frames_change():
    classes = torch.cat([torch.ones(10, 4), torch.eye(4)[[0, 1, 2, 3, 0]]])
    lengths, ratios = compress.plan_dynamic(classes, 4, 40, (2, 4, 8))
    assert sum(lengths) == 60
    spent = [length // ratio for length, ratio in zip(lengths, ratios, strict=True)]
    still = sum(tokens for tokens, start in zip(spent, np.cumsum([0, *lengths]), strict=False) if start < 40)
    assert still / 10 < (sum(spent) - still) / 5


def test_dynamic_compression_needs_a_choice_of_ratios():
    with pytest.raises(UserError, match="give several"):
        compress.plan_dynamic(torch.ones(3, 4), 4, 16, (8,))

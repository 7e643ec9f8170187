"""Algorithm 1 against its slow, obvious reading, and against cases small enough to do by hand."""

import pytest
import torch
from torch.nn.functional import normalize

from niah.types import UserError
from vilamp.keyframes import select_keyframes

EAST, NORTH, NORTH_EAST = [1.0, 0.0], [0.0, 1.0], [0.6, 0.8]


def slow_selection(frames, query, limit, threshold):
    """Algorithm 1 as the paper writes it: visit by falling relevance, compare with every kept frame."""
    kept = []
    for n in sorted(range(len(frames)), key=lambda n: (-float(frames[n] @ query), n)):
        if len(kept) < limit and all(float(frames[n] @ frames[k]) < threshold for k in kept):
            kept.append(n)
    return sorted(kept)


def test_a_frame_like_a_kept_one_is_skipped():
    frames = torch.tensor([NORTH, EAST, EAST, NORTH_EAST])
    # relevance to east: 0, 1, 1, .6; frame 2 equals frame 1, the others are .6 and 0 like it
    assert select_keyframes(frames, torch.tensor(EAST), limit=4, threshold=0.7) == [1, 3]


def test_a_frame_exactly_at_the_threshold_is_skipped():
    frames = torch.tensor([EAST, NORTH])
    assert select_keyframes(frames, torch.tensor(EAST), limit=2, threshold=0.0) == [0]


def test_a_frame_exactly_as_relevant_as_the_floor_is_selected():
    frames = torch.tensor([EAST, NORTH, NORTH_EAST])  # relevance 1, 0 and .6
    floor = float(torch.tensor(NORTH_EAST)[0])
    assert select_keyframes(frames, torch.tensor(EAST), limit=3, threshold=2.0, floor=floor) == [0, 2]


def test_the_most_relevant_frame_is_always_kept():
    frames = torch.tensor([NORTH, EAST])
    assert select_keyframes(frames, torch.tensor(NORTH), limit=1, threshold=-1.0) == [0]


def test_no_more_than_the_limit_is_kept_and_in_playing_order():
    frames = torch.tensor([NORTH_EAST, NORTH, EAST])
    assert select_keyframes(frames, torch.tensor(EAST), limit=2, threshold=2.0) == [0, 2]


def test_a_threshold_above_one_keeps_equal_frames_once_each():
    frames = torch.tensor([EAST, EAST, EAST])
    assert select_keyframes(frames, torch.tensor(EAST), limit=9, threshold=2.0) == [0, 1, 2]


def test_a_video_without_frames_has_no_keyframes():
    assert select_keyframes(torch.zeros(0, 2), torch.tensor(EAST), limit=3, threshold=0.85) == []


@pytest.mark.parametrize("seed", range(20))
def test_selection_equals_the_slow_reading(seed):
    draw = torch.Generator().manual_seed(seed)
    frames = normalize(torch.randn(60, 4, generator=draw), dim=-1)
    query = normalize(torch.randn(4, generator=draw), dim=-1)
    threshold = 0.5 + 0.4 * float(torch.rand((), generator=draw))
    assert select_keyframes(frames, query, 12, threshold) == slow_selection(frames, query, 12, threshold)


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_frames_that_cannot_be_ordered_are_refused(broken):
    frames = torch.eye(3)
    frames[1, 1] = broken
    with pytest.raises(UserError, match="1 of 3 frames have no finite similarity"):
        select_keyframes(frames, torch.full((3,), 0.5), 2, 0.85)

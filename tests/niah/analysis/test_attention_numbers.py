"""From attention to the numbers of Figures 3 and 4, on videos that can be counted by hand."""

import numpy as np
import pytest

from niah.analysis.attention import attention_received, frame_rows, patch_rows
from niah.run.attention import VisualAttention
from niah.types import UserError


def made(layers, frames, places, features):
    """Return what an adapter would return."""
    rows = (np.array(layer, dtype=float) for layer in layers)
    return VisualAttention(np.array(frames), np.array(places), np.array(features, dtype=float), rows)


def whole(frames, patches, features, attention):
    """Return a video of whole frames, and its attention."""
    numbers = [n for n in range(frames) for _ in range(patches)]
    return made([], numbers, list(range(patches)) * frames, features), np.array(attention, dtype=float)


def test_attention_received_is_the_mean_over_layers_heads_and_words():
    one = [[[0.1, 0.3], [0.3, 0.1]], [[0.2, 0.0], [0.2, 0.0]]]  # two heads, two words, two tokens
    other = [[[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.8], [0.0, 0.8]]]
    found = attention_received(made([one, other], [0, 1], [-1, -1], [[1], [1]]))
    assert found == pytest.approx([(0.2 + 0) / 2, (0.1 + 0.4) / 2])


def test_layers_without_any_attention_on_the_video_are_refused():
    with pytest.raises(UserError, match="2 layers paid the video no attention"):
        attention_received(made([[[[0.0]]], [[[0.0]]]], [0], [-1], [[1]]))


def test_frames_are_summed_over_their_tokens_and_ranked():
    attended = made([], [0, 1, 1, 2, 3], [-1, 0, 1, -1, -1], [[1, 0]] * 5)
    rows = frame_rows(attended, np.array([0.2, 0.3, 0.1, 0.1, 0.3]))
    assert [row.frame for row in rows] == [1, 3, 0, 2]
    assert [row.share for row in rows] == pytest.approx([0.4, 0.3, 0.2, 0.1])


def test_a_frame_is_compared_with_the_three_nearest_in_rank_and_with_all():
    attended, attention = whole(5, 1, [[1, 0], [1, 0], [1, 0], [0, 1], [0, 1]], [5, 4, 3, 2, 1])
    rows = frame_rows(attended, attention)
    assert [row.similarity for row in rows] == pytest.approx([2 / 3, 2 / 3, 2 / 3, 1 / 3, 1 / 3])
    assert rows[0].random == pytest.approx(4 / 10)  # of ten pairs three agree among the first, one among the last


def test_three_frames_have_no_three_neighbours():
    with pytest.raises(UserError, match="compared with 3 others, got 3 frames"):
        frame_rows(*whole(3, 1, [[1]] * 3, [1, 1, 1]))


def test_a_patch_is_compared_with_the_same_patch_of_the_keyframe_before_or_of_the_first():
    features = [[0, 1], [1, 0], [1, 0], [0, 1], [1, 0], [1, 0]]  # frame 0, keyframe 1, frame 2; two patches each
    rows = patch_rows(*whole(3, 2, features, [3, 1, 9, 9, 4, 2]), top=1)
    assert [row.share for row in rows] == pytest.approx([0.4, 0.3, 0.2, 0.1])
    assert [row.similarity for row in rows] == pytest.approx([1, 0, 0, 0])  # (2, 0), (0, 0), (2, 1), (0, 1)
    assert rows[0].random == pytest.approx(0.5)  # 3 of 4 patches lie along x, 1 of the keyframe's 2


def test_a_frame_behind_two_keyframes_is_compared_with_the_later():
    features = [[1, 0], [0, 1], [0, 1]]
    (row,) = patch_rows(*whole(3, 1, features, [5, 4, 1]), top=2)
    assert row.similarity == pytest.approx(1)


def test_patches_of_merged_frames_are_refused():
    attended = made([], [0, 0, 1], [0, 1, -1], [[1]] * 3)
    with pytest.raises(UserError, match="every frame must be there whole"):
        patch_rows(attended, np.array([1.0, 1.0, 1.0]), top=1)


def test_without_a_frame_that_is_no_keyframe_there_are_no_patches():
    with pytest.raises(UserError, match="32 frames are keyframes .* got 3 frames in all"):
        patch_rows(*whole(3, 1, [[1]] * 3, [1, 1, 1]))

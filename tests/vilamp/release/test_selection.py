"""Keyframe selection, gap filling, anchors and pooling of the release, against slow loops."""

import pytest
import torch
from torch.nn.functional import normalize

from tests.reference_impl.vilamp import slow_gaps
from vilamp.keyframes import fill_gaps, select_keyframes
from vilamp.merge import anchors, patch_cosines
from vilamp.release.composer import pool_grid, pooled_tokens


def slow_select(frames, query, limit, threshold, floor, keep_ties):
    """Algorithm 1 with the release's floor and ties, every cosine by itself."""
    kept = []
    for n in sorted(range(len(frames)), key=lambda n: -float(frames[n] @ query)):
        if len(kept) == limit or float(frames[n] @ query) < floor:
            break
        likeness = [float(frames[n] @ frames[k]) for k in kept]
        if all(one <= threshold if keep_ties else one < threshold for one in likeness):
            kept.append(n)
    return sorted(kept)


@pytest.mark.parametrize("floor", [float("-inf"), 0.1])
@pytest.mark.parametrize("count, limit, threshold", [(700, 32, 0.5), (300, 9, 0.9), (40, 50, 0.2), (1, 3, 0.5)])
def test_selection_equals_the_slow_loop(count, limit, threshold, floor):
    draw = torch.Generator().manual_seed(count)
    scenes = torch.randn(max(1, count // 6), 12, generator=draw)
    noise = 0.3 * torch.randn(count, 12, generator=draw)
    frames = normalize(scenes[torch.randint(0, len(scenes), (count,), generator=draw)] + noise, dim=-1)
    query = normalize(torch.randn(12, generator=draw), dim=-1)
    want = slow_select(frames, query, limit, threshold, floor, True)
    assert select_keyframes(frames, query, limit, threshold, floor, keep_ties=True) == want


@pytest.mark.parametrize("order", ["one scene after the other", "mixed"])
def test_footage_that_repeats_itself_is_selected_from_as_the_slow_loop_does(order):
    """Nine scenes, so that 32 keyframes are never found; by relevance they come one after the other, or mixed."""
    draw = torch.Generator().manual_seed(3)
    query, scenes = torch.eye(20)[0], torch.eye(20)[1:10]
    relevance = torch.linspace(0.9, 0.1, 9) if order != "mixed" else torch.full((9,), 0.5)
    scenes = normalize(scenes + relevance[:, None] * query, dim=-1).repeat_interleave(250, 0)
    frames = normalize(scenes + 0.002 * torch.randn(2250, 20, generator=draw), dim=-1)
    frames = frames[torch.randperm(2250, generator=draw)]
    got = select_keyframes(frames, query, 32, 0.9, keep_ties=True)
    assert len(got) == 9
    assert got == slow_select(frames, query, 32, 0.9, float("-inf"), True)


@pytest.mark.parametrize("keep_ties, kept", [(True, [0, 1, 2]), (False, [0])])
def test_a_frame_exactly_as_like_as_the_threshold_is_a_tie(keep_ties, kept):
    frames, query = torch.eye(3), normalize(torch.tensor([3.0, 2.0, 1.0]), dim=0)
    assert select_keyframes(frames, query, 3, 0.0, keep_ties=keep_ties) == kept


def test_selection_of_no_frames_is_empty():
    assert select_keyframes(torch.zeros(0, 4), torch.ones(4) / 2, 3, 0.5) == []


def test_gap_filling_equals_the_slow_loop():
    draw = torch.Generator().manual_seed(0)
    for _ in range(200):
        count, limit = (int(torch.randint(1, top, (1,), generator=draw)) for top in (90, 40))
        chosen = torch.randperm(count, generator=draw)[: int(torch.randint(0, limit + 1, (1,), generator=draw))]
        assert fill_gaps(chosen.tolist(), count, limit) == slow_gaps(chosen.tolist(), count, limit)


@pytest.mark.parametrize("kept", [[9], [-1], [2, 2]])
def test_gaps_are_filled_between_different_frames_of_the_video_alone(kept):
    with pytest.raises(ValueError, match=r"different ones of 0\.\.8"):
        fill_gaps(kept, 9, 3)


def test_gap_filling_by_hand():
    # 9 frames, frame 4 kept, 3 more: runs 0-3 and 5-8; spacing 3 gives one point each, at half of 4
    assert fill_gaps([4], 9, 3) == [2, 4, 7]
    assert fill_gaps([4], 9, 4) == [2, 4, 7, 8]  # the one left over goes to the end of the last run
    assert fill_gaps([], 3, 8) == [0, 1, 2]


@pytest.mark.parametrize("by_number, expected", [(True, [-1, -1, 0, 0, 1, 1, 1]), (False, [-1, -1, 2, 2, 4, 4, 4])])
def test_the_release_takes_frame_number_j_for_the_anchor_of_segment_j(by_number, expected):
    assert anchors([2, 4], 7, by_number) == expected


def test_patch_cosines_equal_the_slow_loop():
    draw = torch.Generator().manual_seed(1)
    patches, vector, anchor = (torch.randn(*shape, generator=draw) for shape in ((3, 4, 5), (5,), (4, 5)))
    by_vector, by_anchor = patch_cosines(patches, vector), patch_cosines(patches, anchor)
    for f in range(3):
        for p in range(4):
            one = patches[f, p]
            assert float(by_vector[f, p]) == pytest.approx(float(one @ vector / one.norm() / vector.norm()), abs=1e-6)
            assert float(by_anchor[f, p]) == pytest.approx(
                float(one @ anchor[p] / one.norm() / anchor[p].norm()), abs=1e-6
            )


@pytest.mark.parametrize("mode, stride, tokens", [("bilinear", 2, 4), ("average", 2, 1), ("max", 3, 1), ("none", 2, 9)])
def test_pooling_leaves_as_many_tokens_as_counted(mode, stride, tokens):
    pooled = pool_grid(torch.arange(9.0).view(1, 9, 1), mode, stride)
    assert pooled.shape == (1, tokens, 1)
    assert pooled_tokens(9, mode, stride) == tokens


def test_average_and_max_by_hand():
    grid = torch.arange(9.0).view(1, 9, 1)  # rows 0 1 2 / 3 4 5 / 6 7 8; what stride 2 leaves over is dropped
    assert pool_grid(grid, "average", 2).flatten().tolist() == [2.0]
    assert pool_grid(grid, "max", 2).flatten().tolist() == [4.0]

"""Equations 5 to 10 by hand, and the canary that keeps shape checks alive."""

import math

import jaxtyping
import pytest
import torch

from vilamp.merge import merge_features, patch_saliency

QUERY = torch.tensor([1.0, 0.0])


def test_saliency_is_relevance_minus_redundancy():
    patches = torch.tensor([[[3.0, 4.0]]])  # cosine .6 with the query
    anchor = torch.tensor([[0.0, 2.0]])  # cosine .8 with the patch
    saliency = patch_saliency(patches, anchor, QUERY, redundancy_weight=0.5)
    assert saliency.item() == pytest.approx(0.6 - 0.5 * 0.8)


def test_redundancy_is_zero_where_no_keyframe_precedes():
    patches = torch.tensor([[[3.0, 4.0]]])
    assert patch_saliency(patches, None, QUERY, redundancy_weight=1.0).item() == pytest.approx(0.6)


def test_the_length_of_the_query_does_not_matter():
    patches = torch.randn(2, 3, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(patch_saliency(patches, None, QUERY, 1.0), patch_saliency(patches, None, 7 * QUERY, 1.0))


def test_each_patch_is_compared_with_the_anchor_at_its_own_position():
    patches = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    anchor = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    # position 0: relevance 1, redundancy 0; position 1: relevance 0, redundancy 1
    assert patch_saliency(patches, anchor, QUERY, 1.0).tolist() == [[1.0, -1.0]]


def test_merging_weighs_patches_by_softmax_of_saliency_over_temperature():
    features = torch.tensor([[[1.0], [5.0]]])
    saliency = torch.tensor([[0.0, 0.02 * math.log(3)]])
    # at temperature .02 the second patch weighs three times the first: (1 + 3 * 5) / 4
    assert merge_features(features, saliency, 0.02).item() == pytest.approx(4.0)


def test_merging_equals_a_slow_loop():
    draw = torch.Generator().manual_seed(1)
    features, saliency = torch.randn(3, 5, 4, generator=draw), torch.randn(3, 5, generator=draw)
    expected = torch.zeros(3, 4)
    for n in range(3):
        raw = [math.exp(float(saliency[n, m]) / 0.3) for m in range(5)]
        for m in range(5):
            expected[n] += raw[m] / sum(raw) * features[n, m]
    torch.testing.assert_close(merge_features(features, saliency, 0.3), expected)


def test_shapes_that_would_broadcast_are_refused():
    one_patch_anchor, four_patches = torch.ones(1, 2), torch.ones(3, 4, 2)
    with pytest.raises(jaxtyping.TypeCheckError):
        patch_saliency(four_patches, one_patch_anchor, QUERY, 1.0)

"""The whole model at toy size: what goes into the language model, in which order, and what is held."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from vilamp import config
from vilamp.encoders import resize
from vilamp.merge import merge_features, patch_saliency
from vilamp.model import IGNORED, Vilamp
from vilamp.vocabulary import Vocabulary

VOCABULARY = Vocabulary(("left", "right", "red", "circle"))
SIZES = config.VilampConfig(
    keyframes=2,
    clip=config.Clip(embed_dim=24, vision_layers=1, vision_width=24, text_layers=1, text_width=24, head_width=12),
    vision=config.Vision(hidden_size=24, intermediate_size=24, layers=1, heads=2),
    language=config.Language(hidden_size=16, intermediate_size=16, layers=2, heads=2, key_value_heads=1),
)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Vilamp(SIZES, VOCABULARY).eval()


@pytest.fixture
def patches():
    return torch.randn(7, 64, 24, generator=torch.Generator().manual_seed(1))


def test_keyframes_give_all_patches_and_other_frames_one_token_in_temporal_order(model, patches):
    stream = model.compress([1, 4], torch.ones(24), [patches])
    assert stream.frames.tolist() == [0] + [1] * 64 + [2, 3] + [4] * 64 + [5, 6]
    assert len(stream.embeddings) == 2 * 64 + 5  # M K + (N - K)


def test_keyframe_patches_go_through_one_connector_and_merged_tokens_through_the_other(model, patches):
    stream = model.compress([1], torch.ones(24), [patches[:3]])
    torch.testing.assert_close(stream.embeddings[1:65], model.keyframe_connector(patches[1]))
    saliency = patch_saliency(patches[2:3], patches[1], torch.ones(24), 1.0)
    merged = model.merged_connector(merge_features(patches[2:3], saliency, 0.01))
    torch.testing.assert_close(stream.embeddings[65:], merged)


def test_a_frame_is_compared_with_the_nearest_preceding_keyframe(model, patches):
    stream = model.compress([1, 4], torch.ones(24), [patches])
    for frame, keyframe in ((3, 1), (5, 4), (6, 4)):
        saliency = patch_saliency(patches[frame : frame + 1], patches[keyframe], torch.ones(24), 1.0)
        merged = model.merged_connector(merge_features(patches[frame : frame + 1], saliency, 0.01))
        torch.testing.assert_close(stream.embeddings[stream.frames == frame], merged)


@pytest.mark.parametrize("chunk", [1, 2, 3, 7])
def test_the_stream_does_not_depend_on_the_chunk(model, patches, chunk):
    whole = model.compress([1, 4], torch.ones(24), [patches])
    parts = model.compress([1, 4], torch.ones(24), patches.split(chunk))
    torch.testing.assert_close(parts.embeddings, whole.embeddings)
    assert parts.frames.tolist() == whole.frames.tolist()


def test_a_video_without_frames_gives_an_empty_stream(model):
    assert model.compress([], torch.ones(24), []).embeddings.shape == (0, 16)


def test_extras_are_off_unless_named(model, patches):
    assert model.features(patches, torch.ones(24)).shape == (7, 64, 24)


def test_extras_append_position_and_query_score(patches):
    extras = config.Extras(patch_positions=True, query_scores=True)
    model = Vilamp(dataclasses.replace(SIZES, extras=extras), VOCABULARY)
    features = model.features(patches, patches[0, 0])
    assert features.shape == (7, 64, 27)
    assert features[0, 0, 24:].tolist() == pytest.approx([-4, -4, 1])  # top left corner, and the query itself
    assert features[0, 7, 24:26].tolist() == [4, -4]  # top right corner
    assert features[0, 56, 24:26].tolist() == [-4, 4]  # bottom left corner


def test_an_option_of_several_tokens_scores_the_sum_of_its_steps(model):
    visual = torch.randn(5, 16, generator=torch.Generator().manual_seed(2))
    prompt, option = VOCABULARY.encode("red"), VOCABULARY.encode("left circle")
    with torch.no_grad():
        cache, first = model.prefill(torch.cat([visual, model.embed(prompt)]))
        score = model.score(cache, first, option)
        again = model.score(cache, first, option)
        inputs = torch.cat([visual, model.embed(prompt + option[:1])])[None]
        logits = model.language(inputs_embeds=inputs).logits[0].log_softmax(-1)
    expected = logits[-2, option[0]] + logits[-1, option[1]]
    assert score == pytest.approx(float(expected), abs=1e-5)
    assert again == score


def test_the_loss_counts_labelled_tokens_alone_and_ignores_padding(model):
    draw = torch.Generator().manual_seed(3)
    long, short = torch.randn(6, 16, generator=draw), torch.randn(4, 16, generator=draw)
    labels = [torch.tensor([IGNORED] * 5 + [5]), torch.tensor([IGNORED] * 3 + [7])]
    with torch.no_grad():
        together, logits = model.loss(model.states([long, short], [torch.arange(6), torch.arange(4)]), labels)
        apart = [
            model.loss(model.states([one], [torch.arange(len(one))]), [label])[0]
            for one, label in zip((long, short), labels, strict=True)
        ]
    assert logits.shape == (2, len(VOCABULARY))
    assert float(together) == pytest.approx(float(sum(apart)) / 2, abs=1e-5)


def test_a_token_behind_a_gap_in_the_positions_still_sees_what_lies_before_it(model):
    one = torch.randn(6, 16, generator=torch.Generator().manual_seed(3))
    other = one.clone()
    other[0] += 1
    places = torch.tensor([0, 1, 2, 900, 901, 902])
    with torch.no_grad():
        last = [model.states([inputs], [places])[0, -1] for inputs in (one, other)]
    assert float((last[0] - last[1]).abs().max()) > 1e-4


def test_a_query_means_the_same_alone_and_beside_a_longer_one(model):
    with torch.no_grad():
        together = model.encode_queries(["red", "which red circle is left of the red circle"])
        torch.testing.assert_close(together[0], model.encode_query("red"))
    assert float(together.norm(dim=-1).sub(1).abs().max()) < 1e-6


def test_query_and_patches_must_share_their_width():
    with pytest.raises(ValueError, match="clip.embed_dim"):
        config.VilampConfig(clip=config.Clip(embed_dim=32), vision=config.Vision(hidden_size=96))


def test_resizing_agrees_with_pillow_within_one_level_whatever_else_is_in_the_batch():
    frames = torch.randint(0, 256, (3, 160, 224, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(4))
    small = resize(frames, 64)
    pillow = np.asarray(Image.fromarray(frames[1].numpy()).resize((64, 64), Image.Resampling.BICUBIC))
    assert np.abs(small[1].numpy().astype(int) - pillow).max() <= 1
    assert torch.equal(resize(frames[1:2], 64)[0], small[1])

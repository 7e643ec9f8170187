"""The adapter keeps nothing but keyed features, and they never change an answer."""

import dataclasses

import pytest
import torch

from niah.adapters.feature_store import FeatureStore
from niah.types import Question, UserError
from tests.helpers.fake_video import FakeVideo
from vilamp import checkpoint, config
from vilamp.adapter import VilampAdapter
from vilamp.model import Vilamp
from vilamp.vocabulary import Vocabulary, cloze

QUESTION = Question("Which way does the red circle move?", ("left", "right", "straight on", "back"))
SIZES = config.VilampConfig(
    keyframes=3,
    threshold=1.01,
    clip=config.Clip(embed_dim=24, vision_layers=1, vision_width=24, text_layers=1, text_width=24, head_width=12),
    vision=config.Vision(hidden_size=24, intermediate_size=24, layers=1, heads=2),
    language=config.Language(hidden_size=16, intermediate_size=16, layers=2, heads=2, key_value_heads=1),
)


def adapter(memory=1 << 30, disk=0, tmp_path="."):
    torch.manual_seed(0)
    model = Vilamp(SIZES, Vocabulary(("left", "right", "red"))).eval()
    return VilampAdapter(model, "weights-0", FeatureStore(memory, disk, tmp_path))


LENGTHS = (1, 2, 3, 5, 8, 13, 20)  # tokens of an option: words that the vocabulary lacks are spelled in bytes
LONG = Question("Which way?", (*("x" * length for length in LENGTHS), "red left", "red right"))


def log_probability(model, visual, text, option):
    """Return the sum over an option's tokens by one whole forward pass for each, without a cache."""
    total, ids = 0.0, model.vocabulary.encode(text)
    with torch.no_grad():
        for token in model.vocabulary.encode(option):
            inputs = torch.cat([visual, model.embed(ids)])[None]
            total += float(model.language(inputs_embeds=inputs).logits[0, -1].log_softmax(-1)[token])
            ids.append(token)
    return total


def test_options_of_1_to_20_tokens_have_the_sums_of_their_steps_with_and_without_the_video():
    one = adapter()
    reply = one.answer(FakeVideo(("h", 0, 10)), LONG)
    video, nothing = visual_tokens(one, FakeVideo(("h", 0, 10)), LONG), torch.zeros(0, 16)
    found = reply.option_likelihoods
    assert [option.tokens for option in found] == [*LENGTHS, 2, 2]  # the last two share their first token
    assert [option.bytes for option in found] == [*LENGTHS, 8, 9]
    for option, text in zip(found, LONG.options, strict=True):
        assert option.log_probability == pytest.approx(log_probability(one.model, video, cloze(LONG), text), abs=1e-4)
        assert option.without_video == pytest.approx(log_probability(one.model, nothing, cloze(LONG), text), abs=1e-4)
    assert reply.option_scores == tuple(option.log_probability / option.tokens for option in found)


def visual_tokens(one, video, question):
    """Return the embeddings of a video's tokens as the adapter puts them before the words."""
    features, query = one.features.of(video), one.encode_query(question)
    choice = one.select(features.embeddings(one.needs), query)
    with torch.no_grad():
        chunks = list(one.merge(choice, query, torch.zeros(0, 0), features.patches(choice.with_patches)))
    return torch.cat([chunk.embeddings for chunk in chunks])


def test_without_a_video_both_likelihoods_are_those_of_the_question_alone():
    blind = adapter().answer(FakeVideo(), LONG)
    assert [option.log_probability for option in blind.option_likelihoods] == [
        option.without_video for option in blind.option_likelihoods
    ]
    seen = adapter().answer(FakeVideo(("h", 0, 10)), LONG)
    assert [option.without_video for option in seen.option_likelihoods] == pytest.approx(
        [option.without_video for option in blind.option_likelihoods], abs=1e-5
    )


def test_frames_are_shown_as_the_tower_takes_them_and_without_times():
    seen, blind = (adapter().answer(FakeVideo(*spans), QUESTION) for spans in ([("h", 0, 10)], []))
    assert (seen.frame_size, seen.frame_times, seen.finish_reason) == ((64, 64), False, None)
    assert (blind.frame_size, blind.frame_times) == (None, None)


def same(one, other):
    """Everything a record holds but what is measured."""
    fields = ("text", "option_scores", "frames_used", "frames_kept", "language_tokens")
    return all(getattr(one, f) == getattr(other, f) for f in fields)


def test_reused_and_fresh_features_give_bit_equal_replies():
    warm = adapter()
    warm.answer(FakeVideo(("h", 0, 150)), QUESTION)
    video = FakeVideo(("h", 0, 40), ("n", 5, 20), ("h", 40, 130))
    reused = warm.answer(video, QUESTION)
    assert video.decoded == 15  # the needle's frames alone
    assert reused.reused_frames == 130
    fresh = adapter().answer(FakeVideo(("h", 0, 40), ("n", 5, 20), ("h", 40, 130)), QUESTION)
    assert fresh.reused_frames == 0
    assert same(reused, fresh)


def test_a_store_that_forgets_everything_changes_no_reply():
    video = FakeVideo(("h", 0, 100), ("n", 0, 9))
    forgetful = adapter(memory=0).answer(video, QUESTION)
    assert video.decoded == 2 * 109  # once for selection, once for merging
    assert same(forgetful, adapter().answer(FakeVideo(("h", 0, 100), ("n", 0, 9)), QUESTION))


def test_a_store_on_disk_changes_no_reply(tmp_path):
    stored = adapter(memory=20_000, disk=1 << 27, tmp_path=tmp_path)
    stored.answer(FakeVideo(("h", 0, 100)), QUESTION)
    video = FakeVideo(("h", 0, 100))
    assert same(stored.answer(video, QUESTION), adapter().answer(FakeVideo(("h", 0, 100)), QUESTION))
    assert video.decoded == 0


@pytest.mark.parametrize(("part", "reused"), [("vision", 0), ("clip", 0), ("language", 30), ("merged_connector", 30)])
def test_models_share_features_when_their_encoders_are_the_same(part, reused):
    first = adapter()
    first.answer(FakeVideo(("h", 0, 30)), QUESTION)
    model = adapter().model
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith(f"{part}."):
                parameter += 0.01
    other = VilampAdapter(model, "weights-1", first.features.store)
    assert other.answer(FakeVideo(("h", 0, 30)), QUESTION).reused_frames == reused


def test_the_reply_says_truly_what_it_used():
    reply = adapter().answer(FakeVideo(("h", 0, 70)), QUESTION)
    prompt = len(Vocabulary(("left", "right", "red")).encode(QUESTION.text + " answer:"))
    assert reply.frames_used == tuple(range(70))
    assert len(reply.frames_kept) == 3
    assert reply.language_tokens == 3 * 64 + 67 + prompt
    assert reply.text == QUESTION.options[max(range(4), key=lambda n: reply.option_scores[n])]
    assert reply.mode == "likelihood"


def test_a_blind_case_is_answered_from_the_question_alone():
    reply = adapter().answer(FakeVideo(), QUESTION)
    assert reply.frames_used == () and reply.frames_kept == ()
    assert reply.text in QUESTION.options


def test_a_checkpoint_comes_back_as_it_was_saved(tmp_path):
    model = adapter().model
    checkpoint.save(model, tmp_path)
    loaded, name = checkpoint.load(tmp_path)
    assert loaded.config == model.config and len(name) == 12
    for key, tensor in model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[key], tensor, rtol=0, atol=0)


def test_a_checkpoint_that_does_not_fit_names_every_misfit(tmp_path):
    checkpoint.save(adapter().model, tmp_path)
    wider = dataclasses.replace(SIZES, language=dataclasses.replace(SIZES.language, intermediate_size=20, layers=3))
    checkpoint.save(Vilamp(wider, Vocabulary(("left", "right", "red"))), tmp_path / "wider")
    (tmp_path / "config.yaml").write_bytes((tmp_path / "wider" / "config.yaml").read_bytes())
    with pytest.raises(UserError) as caught:
        checkpoint.load(tmp_path)
    assert "missing language.model.layers.2.mlp.up_proj.weight" in str(caught.value)
    assert "language.model.layers.0.mlp.up_proj.weight has shape (16, 16), the config wants (20, 16)" in str(
        caught.value
    )


def test_weights_that_are_not_finite_are_refused_by_name(tmp_path):
    model = adapter().model
    with torch.no_grad():
        model.keyframe_connector.layers[0].bias[0] = float("nan")
    checkpoint.save(model, tmp_path)
    with pytest.raises(UserError, match=r"not finite in: keyframe_connector\.layers\.0\.bias"):
        checkpoint.load(tmp_path)


def test_an_unknown_checkpoint_is_named_with_what_a_folder_needs():
    with pytest.raises(UserError, match="needs config.yaml, words.txt and model.safetensors"):
        checkpoint.locate("no-such-checkpoint")

"""Attention read layer by layer is what transformers computes whole, and adapters tell whose it is."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from niah.adapters import attention
from niah.adapters.feature_store import FeatureStore
from niah.run.attention import SupportsAttention
from niah.types import Question, UserError
from tests.helpers import byte_tokenizer
from tests.helpers.fake_video import FakeVideo
from vilamp import config
from vilamp.adapter import VilampAdapter, load
from vilamp.model import Vilamp
from vilamp.release.adapter import ReleaseAdapter
from vilamp.vocabulary import Vocabulary

QUESTION = Question("Which way does the red circle move?", ("left", "right", "straight on", "back"))
KINDS = [
    (Qwen2ForCausalLM, Qwen2Config, {"layer_types": ["full_attention"] * 3}),
    (LlamaForCausalLM, LlamaConfig, {"attention_bias": False}),
]


def tiny(model, settings, changes):
    """Return a language model of three layers in which two heads share each key head."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4}
    return model(settings(vocab_size=11, num_key_value_heads=2, attn_implementation="eager", **sizes, **changes)).eval()


@pytest.mark.parametrize("chunk", [4, 2048])
@pytest.mark.parametrize("model, settings, changes", KINDS)
def test_rows_are_those_of_an_eager_forward_pass(model, settings, changes, chunk, monkeypatch):
    language = tiny(model, settings, changes)
    embeds = torch.randn(13, 16, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(attention, "CAPTURE_CHUNK", chunk)
    with torch.no_grad():
        whole = language(inputs_embeds=embeds[None], output_attentions=True).attentions
    rows = list(attention.attention_rows(language, embeds, 9))
    assert len(rows) == 3
    for found, wanted in zip(rows, whole, strict=True):
        torch.testing.assert_close(found, wanted[0, :, 9:], atol=1e-6, rtol=1e-5)


def test_a_language_model_of_another_kind_is_refused():
    language = GPT2LMHeadModel(GPT2Config(vocab_size=11, n_embd=8, n_layer=1, n_head=2))
    with pytest.raises(UserError, match="of type qwen2 or llama, got gpt2"):
        next(attention.attention_rows(language, torch.zeros(3, 8), 2))


def test_a_prompt_without_a_word_behind_the_video_is_refused():
    with pytest.raises(UserError, match="13 tokens have none from number 13 on"):
        next(attention.attention_rows(tiny(*KINDS[0]), torch.zeros(13, 16), 13))


def test_places_count_within_a_frame_and_a_lone_token_has_none():
    assert attention.patch_places(np.array([0, 3, 3, 3, 4])).tolist() == [-1, 0, 1, 2, -1]


def micro():
    """Return a small adapter that keeps three frames whole."""
    torch.manual_seed(0)
    sizes = config.VilampConfig(
        keyframes=3,
        threshold=1.01,
        clip=config.Clip(embed_dim=24, vision_layers=1, vision_width=24, text_layers=1, text_width=24, head_width=12),
        vision=config.Vision(hidden_size=24, intermediate_size=24, layers=1, heads=2),
        language=config.Language(hidden_size=16, intermediate_size=16, layers=2, heads=2, key_value_heads=1),
    )
    model = Vilamp(sizes, Vocabulary(("left", "right", "red"))).eval()
    return VilampAdapter(model, "weights-0", FeatureStore(1 << 28, 0, "."))


def test_the_micro_adapter_tells_which_frame_each_token_is_of():
    adapter, video = micro(), FakeVideo(("h", 0, 10))
    kept = adapter.answer(video, QUESTION).frames_kept
    attended = adapter.attentions(video, QUESTION)
    assert isinstance(adapter, SupportsAttention)
    assert attended.frames.tolist() == [n for n in range(10) for _ in range(64 if n in kept else 1)]
    assert attended.patches.tolist() == [m for n in range(10) for m in (range(64) if n in kept else [-1])]
    assert attended.features.shape == (3 * 64 + 7, 24)


def test_the_micro_adapter_s_rows_are_shares_of_one():
    shares = [layer.sum(axis=-1) for layer in micro().attentions(FakeVideo(("h", 0, 10)), QUESTION).layers]
    assert [one.shape[0] for one in shares] == [2, 2]  # heads, in two layers
    assert all(one.min() > 0 and one.max() < 1 for one in shares)  # words also look at words


def test_a_blind_question_has_nothing_to_look_at():
    with pytest.raises(UserError, match="ask about a video"):
        micro().attentions(FakeVideo(), QUESTION)


def test_a_released_checkpoint_tells_it_too_and_its_newline_neither_asks_nor_is_asked(release_folder):
    adapter = load(str(release_folder), max_new_tokens=1)
    assert isinstance(adapter, ReleaseAdapter)
    video = FakeVideo(("h", 0, 50))
    reply, attended = adapter.answer(video, QUESTION), adapter.attentions(video, QUESTION)
    assert attended.frames.tolist() == [n for n in range(50) for _ in range(16 if n in reply.frames_kept else 1)]
    before = adapter.text.prompt("x", video=True).index(-200)
    assert reply.language_tokens is not None
    words = reply.language_tokens - before - len(attended.frames) - 1
    assert next(attended.layers).shape[1:] == (words, 8 * 16 + 42)


@pytest.fixture
def release_folder(tmp_path):
    tiny_release = Path(__file__).parents[2] / "reference" / "vilamp" / "tiny"
    copy = Path(shutil.copytree(tiny_release, tmp_path / "tiny"))
    byte_tokenizer.write(copy, 320)
    return copy

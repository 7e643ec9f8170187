"""What Video-XL is asked with, and which options, configs and tokenizers it refuses."""

import json
import shutil
from pathlib import Path

import pytest

from baselines.video_xl import config
from baselines.video_xl.adapter import load
from baselines.video_xl.compress import RatioRule
from baselines.video_xl.inputs import encode_prompt, read_settings, write_prompt
from niah.types import Question, UserError
from tests.helpers import byte_tokenizer

REFERENCE = Path(__file__).resolve().parents[2] / "reference" / "video_xl"
QUESTION = Question("Which way does it go?", ("left", "right", "straight on", "back"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The reference's tiny checkpoint and a byte tokenizer."""
    folder = tmp_path_factory.mktemp("video_xl") / "checkpoint"
    shutil.copytree(REFERENCE / "checkpoint", folder)
    byte_tokenizer.write(folder, 256)
    return folder


def test_prompts_are_the_releases():
    facts = json.loads((REFERENCE / "facts.json").read_text())["prompts"]
    asked = Question("What?", ("a", "b", "c", "d"))
    before, after = write_prompt(asked, "chat", True)
    text = "What?\nA. a\nB. b\nC. c\nD. d\nAnswer with the letter of the correct option only."
    assert before + "<image>" + after == facts["chat"].replace("{question}", text)
    before, after = write_prompt(asked, "niah", True)
    assert before + "<image>" + after == facts["niah"].replace("{question}", text)
    before, after = write_prompt(asked, "vnbench", True)
    assert facts["vnbench_system"] in before
    user = facts["vnbench_user"].replace("{question}", "What?").replace("...", "{}").format("a", "b", "c", "d")
    assert "<image>" + after == user + "<|im_end|>\n<|im_start|>assistant\n"


def test_a_reply_ends_with_its_turn(folder):
    # <|im_end|> is the last but one of the byte tokenizer's 256 ids, the reference's config ends replies with 2
    adapter = load(str(folder))
    assert adapter.stops == {254, 2}


def test_a_tokenizer_of_another_checkpoint_is_refused(folder):
    tokenizer = load(str(folder)).tokenizer
    with pytest.raises(UserError, match="gives id 254, the language model knows 100"):  # <|im_end|>
        encode_prompt(tokenizer, QUESTION, "chat", True, 100)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"ratio": "two"}, "2/4/8"),
        ({"ratio": 0}, "from 1 up"),
        ({"mix": "random"}, "step-random"),
        ({"ratio": 16, "dynamic": True}, "give ratio=2/4/8/16"),
        ({"prompt": "chatty"}, "Did you mean 'chat'"),
        ({"frames": 0}, "frames must be a whole number"),
        ({"store_gib": -1}, "store_gib must be a number"),
        ({"ratios": 16}, "Did you mean 'ratio'"),
    ],
)
def test_options_that_cannot_be_are_refused_in_words(options, words):
    with pytest.raises(UserError, match=words):
        read_settings(options).compression(RatioRule((2, 4, 8)))


@pytest.mark.parametrize(
    "change, words",
    [
        ({"beacon_pos": "append"}, "beacon_pos is 'append', only 'interleave' is supported"),
        ({"beacon_stride": 32}, "beacon_stride is 32"),
        ({"mm_vision_select_layer": None}, "mm_vision_select_layer must be between -4 and 3"),
        ({"rope_theta": 0, "vocab_size": "many"}, "vocab_size must be a whole number.*rope_theta must be a positive"),
        ({"num_attention_heads": -4}, "num_attention_heads must be a whole number from 1 up, got -4"),
        ({"beacon_window": 64.0}, "beacon_window must be a whole number from 1 up, got 64.0"),
        ({"beacon_ratio": "8"}, "beacon_ratio must be a whole number from 0 up or a list of them, got '8'"),
        ({"beacon_ratio": [0]}, "compression ratios must be whole numbers from 1 up"),
        ({"beacon_ratio_mix": 5}, "ratios are mixed by one of"),
        ({"tie_word_embeddings": "no"}, "tie_word_embeddings must be true or false, got 'no'"),
        ({"enable_beacon": False}, "enable_beacon is False, only True is supported"),
        ({"eos_token_id": {"a": 1}}, "eos_token_id must be a whole number from 0 up or a list"),
        ({"head_dim": 15}, "heads of an even number of channels"),
        ({"num_key_value_heads": 3}, "3 key/value heads make no heads"),
    ],
)
def test_a_config_this_model_is_not_made_for_is_refused(folder, tmp_path, change, words):
    altered = shutil.copytree(folder, tmp_path / "altered")
    row = json.loads((altered / "config.json").read_text())
    (altered / "config.json").write_text(json.dumps({**row, **change}))
    with pytest.raises(UserError, match=words):
        load(str(altered))


def test_a_tower_that_is_only_named_is_openais():
    row = json.loads((REFERENCE / "checkpoint" / "config.json").read_text())
    row |= {"mm_vision_tower": "openai/clip-vit-large-patch14-336", "mm_hidden_size": 1024}
    found = config.parse(row)
    assert found.vision.tokens == 144 and found.vision.layers == 23 and found.pixels.side == 336
    with pytest.raises(UserError, match="no clip_vision_config.json gives its sizes"):
        config.parse({**row, "mm_vision_tower": "another"})


def test_a_checkpoint_without_tokenizer_is_refused():
    with pytest.raises(UserError, match="holds no tokenizer"):
        load(str(REFERENCE / "checkpoint"))

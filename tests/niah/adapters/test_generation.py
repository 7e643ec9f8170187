"""Which token comes next: the most likely one, less likely if said before, or drawn; what a checkpoint's file adds."""

import json
from collections import Counter

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from niah.adapters.generation import Drawing, Generation, most_likely, read_generation
from niah.adapters.qwen import continue_prompt, prefill
from niah.run.registry import find_adapter, load_adapter
from niah.types import Question, UserError
from tests.helpers import tiny_releases
from tests.helpers.fake_video import FakeVideo

QUESTION = Question("Which way does it go?", ("left", "right"))


def write(folder, **values):
    (folder / "generation_config.json").write_text(json.dumps(values))
    return folder


def test_both_end_ids_and_the_penalty_are_read_and_how_to_draw_is_not(tmp_path):
    write(tmp_path, eos_token_id=[7, 9], repetition_penalty=1.05, do_sample=True, temperature=0.7, top_k=20, top_p=0.8)
    assert read_generation(tmp_path) == Generation(frozenset({7, 9}), 1.05)


def test_a_checkpoint_without_the_file_replies_greedily_up_to_its_own_end(tmp_path):
    assert read_generation(tmp_path) == Generation()
    assert Generation().chooser() is most_likely


@pytest.mark.parametrize(
    "values, words",
    [
        ({"eos_token_id": "stop"}, "eos_token_id must be a whole number from 0 up or a list of them, got 'stop'"),
        ({"repetition_penalty": 0}, "repetition_penalty must be a positive number, got 0"),
        ({"no_repeat_ngram_size": 3}, "no_repeat_ngram_size is 3, only 0 is supported"),
    ],
)
def test_what_cannot_be_followed_is_refused(tmp_path, values, words):
    with pytest.raises(UserError, match=words):
        read_generation(write(tmp_path, **values))


# A positive logit is divided by the penalty, a negative one multiplied; an id not said yet keeps its logit.
@pytest.mark.parametrize("logits, then", [((2.0, 1.9), 1), ((2.0, 1.7), 0), ((-1.0, -1.05), 1), ((-1.0, -1.2), 0)])
def test_an_id_said_before_is_less_likely(logits, then):
    choose = Generation(repetition_penalty=1.1).chooser()
    assert [choose(torch.tensor(logits)) for _ in range(2)] == [0, then]


@pytest.mark.filterwarnings("ignore:Passing `repetition_penalty` with `inputs_embeds`")  # that is what we want
def test_a_penalty_acts_as_in_transformers_on_embeddings():
    torch.manual_seed(0)
    sizes = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4)
    config = Qwen2Config(vocab_size=37, num_key_value_heads=2, initializer_range=0.4, eos_token_id=None, **sizes)
    language = Qwen2ForCausalLM(config).eval()
    embeds = torch.randn(23, 16, generator=torch.Generator().manual_seed(1))
    settings = dict(max_new_tokens=12, do_sample=False, pad_token_id=0)
    plain, penalised = (
        language.generate(inputs_embeds=embeds[None], repetition_penalty=penalty, **settings)[0].tolist()
        for penalty in (1.0, 1.3)
    )
    cache, logits = prefill(language, embeds, room=12)
    ours = continue_prompt(language, cache, logits, 12, choose=Generation(repetition_penalty=1.3).chooser())
    assert ours == penalised != plain


def drawn(drawing, count, probabilities, seed="a"):
    logits = torch.tensor(probabilities).log()
    generation = Generation(drawing=drawing)
    return [generation.chooser(seed, number)(logits) for number in range(count)]


def test_draws_follow_the_temperature():
    # at 0.5 probabilities are squared: .25, .09 and .04 of .38
    counts = Counter(drawn(Drawing(0.5), 1000, [0.5, 0.3, 0.2]))
    assert [counts[n] / 1000 for n in range(3)] == pytest.approx([0.658, 0.237, 0.105], abs=0.06)  # four deviations


def test_draws_leave_out_what_lies_beyond_top_p_and_top_k():
    assert set(drawn(Drawing(1.0, top_p=0.6), 200, [0.5, 0.3, 0.2])) == {0, 1}  # .5 does not reach .6, .8 does
    assert set(drawn(Drawing(1.0, top_k=1), 50, [0.5, 0.3, 0.2])) == {0}


def test_equal_seeds_draw_equal_tokens_and_others_do_not():
    even = [1 / 40] * 40
    first = drawn(Drawing(1.0), 20, even)
    assert first == drawn(Drawing(1.0), 20, even) != drawn(Drawing(1.0), 20, even, seed="b")


@pytest.mark.parametrize("name", tiny_releases.NAMES)
def test_every_release_follows_its_generation_config(tmp_path, name):
    folder = tiny_releases.copy(name, tmp_path / "checkpoint")

    def reply():
        settings = {"pretrained": str(folder), "max_new_tokens": 4, "store_gib": 0, "store_disk_gib": 0}
        return load_adapter(find_adapter(name), settings).answer(FakeVideo(("h", 0, 40)), QUESTION)

    assert reply().finish_reason == "length" and "repetition_penalty" not in reply().settings
    write(folder, eos_token_id=list(range(320)), repetition_penalty=1.05)
    ended = reply()
    assert (ended.text, ended.finish_reason, ended.settings["repetition_penalty"]) == ("", "stop", 1.05)

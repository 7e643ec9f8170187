"""The adapter for models of transformers, with tiny random ones in a folder as a release is."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Qwen2VLForConditionalGeneration

from baselines.huggingface import load
from baselines.huggingface.checkpoint import quantization_config
from baselines.huggingface.options import forget_positions, score_options
from baselines.huggingface.settings import Settings
from baselines.huggingface.stream import CHUNK
from niah.adapters.shown import size_in_inputs
from niah.prompt import format_prompt
from niah.run.adapter_files import required_settings
from niah.run.registry import parse_model_args
from niah.types import Question, UserError
from tests.helpers import few_real, tiny_huggingface
from tests.helpers.commands import run as main
from tests.helpers.small_suite import make_suite

MODELS = ("qwen2_vl", "llava_onevision")
QUESTION = Question("Which?", ("one", "two"))


class Film:
    """A video whose frame number n is grey 2 n, two a second."""

    fps = 2.0
    decode_seconds = 0.0

    def __init__(self, count, inverted=False, side=16):
        self.count, self.inverted, self.side = count, inverted, side
        self.largest = 0  # frames that were handed out at a time

    def announce(self, indices):
        pass

    def __len__(self):
        return self.count

    def keys(self, start, stop):
        return [(self.inverted, number) for number in range(start, stop)]

    def frames(self, indices):
        self.largest = max(self.largest, len(indices))
        frames = np.array([np.full((self.side, self.side, 3), 2 * index % 256) for index in indices], np.uint8)
        return 255 - frames if self.inverted else frames


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("huggingface")
    return {name: getattr(tiny_huggingface, name)(folder / name) for name in MODELS}


@pytest.fixture(scope="module")
def adapters(folders):
    return {name: load(str(folders[name]), max_frames=4, max_new_tokens=4) for name in MODELS}


@pytest.fixture
def copy(folders, tmp_path):
    """Return a copy of the tiny Qwen2-VL that a test may break."""
    return Path(shutil.copytree(folders["qwen2_vl"], tmp_path / "copy"))


def test_a_model_placed_by_device_map_answers_as_one_placed_by_device(adapters, folders):
    spread = load(str(folders["qwen2_vl"]), max_frames=4, max_new_tokens=4, device_map="cpu", device="meta")
    assert spread.answer(Film(40), QUESTION).text == adapters["qwen2_vl"].answer(Film(40), QUESTION).text


# The pixels of 4 frames: Qwen2-VL takes 2 frames for one token and wraps a video in 2; LLaVA-OneVision
# has 4 tokens a frame and one that ends the video.
@pytest.mark.parametrize("name, tokens", [("qwen2_vl", 2 + 2), ("llava_onevision", 4 * 4 + 1)])
def test_video_adds_its_tokens_to_those_of_the_blind_question(adapters, name, tokens):
    seen, blind = (adapters[name].answer(Film(count), QUESTION) for count in (40, 0))
    assert seen.language_tokens - blind.language_tokens == tokens
    assert (seen.frames_used, seen.frames_kept, blind.frames_used) == ((5, 15, 25, 35), (5, 15, 25, 35), ())


@pytest.mark.parametrize("name", MODELS)
def test_logits_depend_on_the_frames_and_on_nothing_but_them(adapters, name):
    adapter = adapters[name]
    used = [5, 15, 25, 35]

    def logits(film):
        inputs = adapter.chat.inputs(film, used, (16, 16), "Which?")
        with torch.inference_mode():
            return adapter.model(**inputs).logits[0, -1]

    assert torch.equal(logits(Film(40)), logits(Film(40)))
    assert not torch.equal(logits(Film(40)), logits(Film(40, inverted=True)))


@pytest.mark.parametrize("name", MODELS)
def test_reply_is_what_the_model_likes_best_token_by_token(adapters, name):
    adapter = adapters[name]
    inputs = adapter.chat.inputs(Film(8), [1, 3, 5, 7], (16, 16), "Which?")
    ids = inputs["input_ids"]
    with torch.inference_mode():
        said = adapter.model.generate(**inputs)[0, ids.shape[1] :].tolist()
        for token in said:  # a whole forward pass for each, without a cache
            ids_now = inputs["input_ids"]
            assert adapter.model(**inputs).logits[0, -1].argmax() == token
            inputs["input_ids"] = torch.cat([ids_now, torch.tensor([[token]])], 1)
            inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
            if "mm_token_type_ids" in inputs:
                inputs["mm_token_type_ids"] = torch.nn.functional.pad(inputs["mm_token_type_ids"], (0, 1))
    assert 1 <= len(said) <= 4


# Qwen2-VL resizes to 16 x 16, two patches of 8 a side, LLaVA-OneVision to 32 x 32; neither is given times.
@pytest.mark.parametrize("name, side", [("qwen2_vl", 16), ("llava_onevision", 32)])
def test_frames_are_reported_in_the_pixels_the_processor_made(adapters, name, side):
    seen, blind = (adapters[name].answer(Film(count), QUESTION) for count in (40, 0))
    assert (seen.frame_size, seen.frame_times) == ((side, side), False)
    assert (blind.frame_size, blind.frame_times) == (None, None)


def test_frames_shown_as_images_are_reported_in_pixels_too(folders):
    adapter = load(str(folders["qwen2_vl"]), max_frames=3, max_new_tokens=1, as_images=True)
    assert adapter.answer(Film(40), QUESTION).frame_size == (16, 16)


PICTURES = [  # what a processor made of 4 frames, and the size at which they were shown
    ({"video_grid_thw": torch.tensor([[2, 24, 36]])}, (24 * 14, 36 * 14)),
    ({"image_grid_thw": torch.tensor([[1, 10, 20]] * 4)}, (10 * 16, 20 * 16)),
    ({"pixel_values_videos": torch.zeros(1, 4, 3, 30, 40)}, (30, 40)),
    ({"pixel_values": torch.zeros(4, 3, 30, 40)}, (30, 40)),
    ({"pixel_values": torch.zeros(4, 5, 3, 30, 40)}, None),  # five tiles a frame
    ({"input_ids": torch.zeros(1, 4)}, None),
]


@pytest.mark.parametrize("inputs, size", PICTURES)
def test_the_size_of_frames_is_read_from_grids_or_from_pixels(inputs, size):
    parts = {"video_processor": SimpleNamespace(patch_size=14), "image_processor": SimpleNamespace(patch_size=16)}
    assert size_in_inputs(inputs, SimpleNamespace(**parts), 4) == size


@pytest.mark.parametrize("limit, stop", [(3, None), (3, 1)])
def test_a_reply_ends_at_its_limit_or_before_it(folders, limit, stop):
    adapter = load(str(folders["qwen2_vl"]), max_frames=4, max_new_tokens=limit)
    if stop is not None:  # its second token ends the answer
        inputs = adapter.chat.inputs(Film(40), [5, 15, 25, 35], (16, 16), format_prompt(QUESTION))
        said = adapter.model.generate(**inputs)[0, inputs["input_ids"].shape[1] :].tolist()
        adapter.model.generation_config.eos_token_id = [said[stop]]
    assert adapter.answer(Film(40), QUESTION).finish_reason == ("length" if stop is None else "stop")


def test_answer_depends_on_no_earlier_question(adapters):
    adapter = adapters["qwen2_vl"]
    first = adapter.answer(Film(40), QUESTION).text
    adapter.answer(Film(7), Question("What else?", ("red", "blue")))
    assert adapter.answer(Film(40), QUESTION).text == first


def test_model_is_told_when_the_frames_were_shown(adapters, monkeypatch):
    given = {}
    adapter = adapters["qwen2_vl"]
    adapter.answer(Film(40), QUESTION)  # finds out, once, whether the model is given times
    processor = adapter.processor.video_processor

    class Noting(type(processor)):
        def __call__(self, videos, **kwargs):
            given.update(kwargs)
            return super().__call__(videos, **kwargs)

    monkeypatch.setattr(processor, "__class__", Noting)
    adapter.answer(Film(40), QUESTION)
    (shown,) = given["video_metadata"]
    assert (shown["frames_indices"], shown["fps"], shown["duration"]) == ([5, 15, 25, 35], 2.0, 20.0)
    assert given["do_sample_frames"] is False


def test_frames_go_as_images_where_told_to(folders):
    adapter = load(str(folders["qwen2_vl"]), max_frames=3, max_new_tokens=1, as_images=True)
    seen, blind = (adapter.answer(Film(count), QUESTION) for count in (40, 0))
    assert seen.language_tokens - blind.language_tokens == 3 * (1 + 2)  # each image one token in its own wrapping


def test_checkpoints_own_temperature_and_penalty_are_set_aside(copy):
    shipped = {"do_sample": True, "temperature": 0.7, "repetition_penalty": 1.05, "eos_token_id": [257, 258]}
    (copy / "generation_config.json").write_text(json.dumps(shipped))
    config = load(str(copy)).model.generation_config
    assert (config.do_sample, config.eos_token_id) == (False, [257, 258])
    assert (config.temperature, config.repetition_penalty) in [(None, None), (1.0, 1.0)]  # 5.x writes either


# Every two frames are one token, and a video has two more.
def test_without_a_number_as_many_frames_are_shown_as_the_positions_hold(copy, adapters):
    blind = adapters["qwen2_vl"].answer(Film(0), QUESTION).language_tokens
    with_text(copy, max_position_embeddings=blind + 2 + 5 + 8)
    assert len(load(str(copy), max_new_tokens=8).answer(Film(40), QUESTION).frames_used) == 10
    with pytest.raises(UserError, match="12 frames are .* tokens, .* of an answer hold 10: lower max_frames"):
        load(str(copy), max_frames=12, max_new_tokens=8).answer(Film(40), QUESTION)


def test_a_question_beyond_the_positions_is_refused(copy):
    with_text(copy, max_position_embeddings=90)
    with pytest.raises(UserError, match="tokens and up to 8 of an answer are more than the model's 90 positions"):
        load(str(copy), max_new_tokens=8).answer(Film(40), QUESTION)


# ---- how a video is shown


SHOWN = [  # of 40 frames, 2 a second
    ({"max_frames": 8}, 8),
    ({"fps": 0.5}, 10),
    ({"fps": 0.5, "max_frames": 4}, 4),
    ({"fps": 0.25, "max_frames": 8}, 5),
    ({"fps": 30}, 40),
    ({}, 40),
]


@pytest.mark.parametrize("settings, frames", SHOWN)
def test_the_smaller_of_rate_and_number_wins(settings, frames):
    assert Settings(**settings).most_frames(40, 2.0) == frames


@pytest.fixture(scope="module")
def qwen3(tmp_path_factory):
    return tiny_huggingface.qwen3_vl(tmp_path_factory.mktemp("qwen3"))


# Frames of 96 x 96 pixels; two frames of 64 x 64 are 4 tokens, 13 bytes of "<0.2 seconds>" and two more; a video has two.
def test_a_record_says_how_frames_were_shown(qwen3):
    adapter = load(str(qwen3), max_frames=4, frame_pixels=64 * 64, max_new_tokens=1)
    shown, blind = (adapter.answer(Film(count, side=96), QUESTION) for count in (4, 0))
    assert (shown.frame_size, shown.frame_times, shown.finish_reason) == ((64, 64), True, "length")
    assert shown.settings == {"tokens_per_frame": (2 * (4 + 13 + 2) + 2) / 4}
    assert (blind.frame_size, blind.settings) == (None, {})


def test_a_budget_for_the_whole_video_shows_longer_ones_smaller(qwen3):
    adapter = load(str(qwen3), video_pixels=4 * 96 * 96, max_new_tokens=1)
    sizes = [adapter.answer(Film(count, side=96), QUESTION).frame_size for count in (4, 9, 16)]
    assert sizes == [(96, 96), (64, 64), (32, 32)]


def test_frames_are_handed_out_in_chunks(qwen3):
    film = Film(80, side=32)
    assert len(load(str(qwen3), max_new_tokens=1).answer(film, QUESTION).frames_used) == 80
    assert film.largest == CHUNK


def test_images_come_after_a_line_with_their_time_where_that_is_wanted(folders):
    plain, timed = (
        load(str(folders["qwen2_vl"]), max_frames=2, max_new_tokens=1, as_images=True, frame_times=given)
        for given in (False, True)
    )
    shown = [adapter.answer(Film(4), QUESTION) for adapter in (plain, timed)]
    assert [one.frame_times for one in shown] == [False, True]
    assert shown[1].language_tokens - shown[0].language_tokens == 2 * len("Frame at 0.5 s:")


# ---- options


@pytest.mark.parametrize("name", MODELS)
def test_options_scored_from_one_prefill_are_what_whole_prompts_give(adapters, name):
    model, chat = adapters[name].model, adapters[name].chat
    options = [[65, 66, 67], [70], [71, 72]]
    for film, used in ((Film(8), [1, 3, 5, 7]), (Film(0), [])):  # a question alone, right behind a video
        inputs = chat.inputs(film, used, (16, 16), "Which?")
        sums = score_options(model, inputs, options)
        for option, total in zip(options, sums, strict=True):
            grown = {**inputs, "input_ids": torch.cat([inputs["input_ids"], torch.tensor([option])], 1)}
            grown["attention_mask"] = torch.ones_like(grown["input_ids"])
            if "mm_token_type_ids" in inputs:
                grown["mm_token_type_ids"] = torch.nn.functional.pad(inputs["mm_token_type_ids"], (0, len(option)))
            forget_positions(model)
            with torch.inference_mode():
                chances = model(**grown).logits[0].log_softmax(-1)[-len(option) - 1 : -1]
            assert total == pytest.approx(
                sum(row[token].item() for row, token in zip(chances, option, strict=True)), abs=1e-4
            )


@pytest.mark.parametrize("answer_by, said", [("letters", {"A", "B"}), ("texts", {"one", "two"})])
def test_the_likeliest_option_is_the_answer(folders, answer_by, said):
    reply = load(str(folders["qwen2_vl"]), max_frames=4, answer_by=answer_by).answer(Film(8), QUESTION)
    assert reply.mode == "likelihood" and reply.text in said
    assert [one.tokens for one in reply.option_likelihoods] == [len(text) for text in sorted(said)]
    assert all(
        one.without_video is not None and one.without_video != one.log_probability for one in reply.option_likelihoods
    )


# ---- replies that are drawn


def drawn(folders, **settings):
    adapter = load(str(folders["qwen2_vl"]), max_frames=4, max_new_tokens=4, **settings)
    return adapter.answer(Film(40), QUESTION)


def test_replies_are_drawn_from_seeds_that_the_record_has(folders):
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    two = drawn(folders, temperature=1.5, samples=2, seed=3)
    assert torch.equal(torch.random.get_rng_state(), state)
    other = drawn(folders, temperature=1.5, samples=2, seed=4)
    assert [one.seed for one in two.samples] == [3, 4] and two.samples[0].text == two.text
    assert two.samples[1] == other.samples[0]  # a reply follows from its seed alone
    assert two.samples[0].text != two.samples[1].text
    assert {name: two.settings[name] for name in ("temperature", "top_p", "top_k")} == {
        "temperature": 1.5, "top_p": 1.0, "top_k": 0,
    }  # fmt: skip


def test_next_to_no_temperature_draws_the_likeliest_reply(folders, adapters):
    cold = drawn(folders, temperature=1e-4, samples=2)
    assert {one.text for one in cold.samples} == {adapters["qwen2_vl"].answer(Film(40), QUESTION).text}


def test_a_greedy_reply_has_no_samples(adapters):
    assert adapters["qwen2_vl"].answer(Film(40), QUESTION).samples == ()


# ---- how a checkpoint is loaded


def test_yarn_reaches_more_positions(copy):
    model = load(str(copy), rope={"rope_type": "yarn", "factor": 4}).model
    assert model.config.get_text_config().max_position_embeddings == 4 * 2000
    assert model.config.get_text_config().rope_parameters["mrope_section"] == [2, 3, 3]


def test_a_thought_gets_room(copy):
    (copy / "chat_template.jinja").write_text(
        (copy / "chat_template.jinja").read_text().replace("assistant\n", "assistant\n<think>\n")
    )
    assert load(str(copy)).model.generation_config.max_new_tokens == 4096


def test_weights_of_fewer_bits_name_their_package(folders):
    with pytest.raises(UserError, match="quantization needs the package bitsandbytes"):
        load(str(folders["qwen2_vl"]), quantization="4bit")
    assert quantization_config("4bit", "float16").bnb_4bit_compute_dtype == torch.float16


def test_settings_within_a_setting_are_named_by_a_dot():
    given = parse_model_args(
        "pretrained=P,chat_template_kwargs.enable_thinking=false,rope.rope_type=yarn,rope.factor=4"
    )
    assert given["chat_template_kwargs"] == {"enable_thinking": False} and given["rope"] == {
        "rope_type": "yarn",
        "factor": 4,
    }
    with pytest.raises(UserError, match="give rope a value and"):
        parse_model_args("rope=4,rope.factor=4")


# ---- what is missing is said


def with_text(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    with_config(folder, text_config={**config["text_config"], **changes})


def with_config(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


KINDS = [
    ({"model_type": "llava_qwen"}, "does not know: its weights are for LLaVA-NeXT's .LongVA, LLaVA-Video. own code"),
    ({"model_type": "llava_llama"}, "does not know: its weights are for VILA's .LongVILA. or LLaVA's own code"),
    ({"model_type": "brand_new"}, "is of type 'brand_new', which transformers [0-9.]+ does not know. Take"),
    ({"model_type": "qwen2"}, "knows, but not as a model of images and text"),
    ({"model_type": "their_own", "auto_map": {"AutoModel": "code.Model"}}, "only by running the Python that comes"),
]


@pytest.mark.parametrize("changes, words", KINDS)
def test_type_that_cannot_be_read_says_what_is_missing(copy, changes, words):
    with_config(copy, **changes)
    with pytest.raises(UserError, match=words):
        load(str(copy))


def test_code_of_a_checkpoint_runs_only_where_the_user_says_so(copy, tmp_path):
    mark = tmp_path / "ran"
    code = (
        f"from pathlib import Path\nPath({str(mark)!r}).touch()\n"
        "from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration\n"
        "class Config(Qwen2VLConfig):\n    model_type = 'their_own'\n"
        "class Model(Qwen2VLForConditionalGeneration):\n    config_class = Config\n"
    )
    (copy / "their_code.py").write_text(code)
    model = Qwen2VLForConditionalGeneration.from_pretrained(copy)
    save_file({name: w.clone() for name, w in model.state_dict().items()}, copy / "model.safetensors", {"format": "pt"})
    where = {"AutoConfig": "their_code.Config", "AutoModel": "their_code.Model"}
    with_config(copy, model_type="their_own", auto_map=where)
    with pytest.raises(UserError, match="trust_remote_code=True"):
        load(str(copy))
    assert not mark.exists()
    adapter = load(str(copy), max_new_tokens=2, trust_remote_code=True)
    assert mark.exists() and type(adapter.model).__name__ == "Model"


def test_logits_that_are_no_numbers_are_no_answer(copy):
    adapter = load(str(copy), max_new_tokens=2)
    adapter.model.get_output_embeddings().weight.data.fill_(float("nan"))
    with pytest.raises(UserError, match="the logits are not finite numbers"):
        adapter.answer(Film(4), QUESTION)


def test_missing_weights_are_named(copy):
    weights = load_file(copy / "model.safetensors")
    lost = next(name for name in weights if "layers.1.self_attn.q_proj.weight" in name)
    del weights[lost]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lacks .*layers\.1\.self_attn\.q_proj\.weight"):
        load(str(copy))


def test_weights_of_another_shape_are_named(copy):
    weights = load_file(copy / "model.safetensors")
    odd = next(name for name in weights if "layers.0.mlp.up_proj.weight" in name)
    weights[odd] = weights[odd][:-1].clone()
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"misshapes .*layers\.0\.mlp\.up_proj\.weight"):
        load(str(copy))


def test_output_embedding_is_tied_where_only_the_language_config_says_so(copy):
    config = json.loads((copy / "config.json").read_text())
    config["text_config"]["tie_word_embeddings"] = True
    (copy / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k != "tie_word_embeddings"}))
    weights = {name: weight for name, weight in load_file(copy / "model.safetensors").items() if "lm_head" not in name}
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    model = load(str(copy)).model
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_missing_processor_files_are_named(copy):
    (copy / "processor_config.json").unlink()
    with pytest.raises(UserError, match="preprocessor_config.json .*must lie beside"):
        load(str(copy))


def test_a_processor_that_samples_by_itself_is_refused(folders, monkeypatch):
    adapter = load(str(folders["qwen2_vl"]), max_frames=8, max_new_tokens=1)
    frames = type(adapter.processor.video_processor)
    whole = frames._preprocess
    monkeypatch.setattr(
        frames,
        "_preprocess",
        lambda self, videos, *more, **settings: whole(self, [one[:4] for one in videos], *more, **settings),
    )
    with pytest.raises(UserError, match="kept 4 of the 8 frames it was given: it samples by itself.*max_frames=4"):
        adapter.answer(Film(40), QUESTION)


def test_a_missing_package_is_named(folders, monkeypatch):
    def missing(*given, **settings):
        raise ImportError("Package `num2words` is required to run SmolVLM processor.")

    monkeypatch.setattr("baselines.huggingface.checkpoint.AutoProcessor.from_pretrained", missing)
    with pytest.raises(UserError, match="needs a package that is not installed: Package `num2words`"):
        load(str(folders["qwen2_vl"]))


def test_missing_chat_template_is_named(copy):
    (copy / "chat_template.jinja").unlink()
    with pytest.raises(UserError, match="has no chat template: put the chat_template.jinja"):
        load(str(copy))


SETTINGS = [
    ({"fps": 0}, "fps is a number above 0"),
    ({"answer_by": "mood"}, "answer_by is one of generate, letters, texts"),
    ({"quantization": "2bit"}, "quantization is one of 4bit, 8bit"),
    ({"processor_kwargs": 3}, "processor_kwargs are named one by one"),
    ({"processor_kwargs": {"num_frames": 8}}, "processor_kwargs.num_frames cannot be set: frames are chosen by max_fr"),
    (
        {"processor_kwargs": {"max_pixel": 8}},
        "no setting of Qwen2VLProcessor is called 'max_pixel'. Did you mean 'max_",
    ),
    ({"chat_template_kwargs": {"tokenize": True}}, "chat_template_kwargs.tokenize cannot be set"),
    ({"max_frames": 0}, "max_frames must be a whole number from 1 up, got 0"),
    ({"dtype": "float8"}, "dtype is auto"),
    ({"temperature": 0}, "temperature is a number above 0"),
    ({"samples": 4}, "name a temperature"),
    ({"samples": 4, "temperature": 1.0, "answer_by": "texts"}, "answer_by=texts draws nothing"),
]


@pytest.mark.parametrize("settings, words", SETTINGS)
def test_setting_that_cannot_be_is_refused(folders, settings, words):
    with pytest.raises(UserError, match=words):
        load(str(folders["qwen2_vl"]), **settings)


def test_of_a_model_that_speaks_the_part_that_writes_is_asked(tmp_path):
    folder = tiny_huggingface.qwen2_5_omni(tmp_path / "omni")
    adapter = load(str(folder), max_frames=4, frame_pixels=16 * 16, max_new_tokens=3)
    seen, blind = (adapter.answer(Film(count), QUESTION) for count in (40, 0))
    assert (seen.frames_used, seen.finish_reason, seen.frame_times) == ((5, 15, 25, 35), "length", True)
    assert seen.frame_size == (16, 16) and seen.language_tokens - blind.language_tokens == 2 + 2


@pytest.mark.filterwarnings("ignore")
def test_smolvlm_is_told_the_times_of_its_frames(tmp_path):
    pytest.importorskip("num2words", reason="num2words is not installed: pip install 'videoniah[smolvlm]'")
    adapter = load(str(tiny_huggingface.smolvlm(tmp_path / "smolvlm")), max_frames=4, max_new_tokens=3)
    reply = adapter.answer(Film(40, side=32), QUESTION)
    assert (reply.frames_used, reply.frame_size, reply.frame_times) == ((5, 15, 25, 35), (32, 32), True)


# ---- from the command line


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suite")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDEONIAH_CACHE", str(folder / "cache"))
        yield make_suite(folder)


def run(folder, suite, out, *flags):
    given = f"pretrained={folder},max_frames=4,max_new_tokens=2"
    arguments = ["--model", "huggingface", "--model_args", given, "--suite", str(suite), "--output_path", str(out)]
    code = main([*arguments, "--device", "cpu", *flags])
    return code, [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", MODELS)
def test_suite_runs_from_the_command_line(folders, suite, tmp_path, name):
    code, records = run(folders[name], suite, tmp_path, "--in_process", "--no_figures")
    assert (code, len(records), {record["status"] for record in records}) == (0, 24, {"ok"})
    shown = {record["case"].split(".")[1]: record["frames_used"] for record in records}
    assert shown == {"full": 4, "swapped": 4, "no_needle": 4, "needle_only": 4, "blind": 0}
    assert all(record["language_tokens"] > 0 for record in records)


@pytest.mark.slow
def test_suite_runs_in_workers_and_draws(folders, suite, tmp_path):
    code, records = run(folders[next(iter(MODELS))], suite, tmp_path, "--limit", "2")  # a worker for each length
    assert (code, len(records), {record["status"] for record in records}) == (0, 2, {"ok"})
    assert (tmp_path / "heatmap.png").stat().st_size > 0
    assert json.loads((tmp_path / "run.json").read_text())["worker"]["versions"]["transformers"]


@pytest.mark.slow
@pytest.mark.skipif(not few_real.VIDEOS.is_dir(), reason="../shared/videos is not beside the project")
@pytest.mark.parametrize("name", MODELS)
def test_real_footage_is_answered_about(folders, tmp_path, monkeypatch, name):
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "cache"))
    suite = few_real.write(tmp_path)
    code, records = run(folders[name], suite, tmp_path / "out", "--in_process", "--no_figures")
    assert (code, {record["status"] for record in records}) == (0, {"ok"})
    # Blind cases are asked in all four rotations of their options.
    assert sorted(record["frames_used"] for record in records) == [0] * 12 + [4] * 3


def test_identity_tells_apart_what_the_files_do_not(adapters, folders):
    told = adapters["qwen2_vl"].identity()
    assert (told["dtype"], told["attention"]) == ("torch.float32", "sdpa")
    eager = load(str(folders["qwen2_vl"]), max_frames=4, max_new_tokens=5, attn_implementation="eager").identity()
    assert {name for name in told if told[name] != eager[name]} == {"attention", "generation config"}


def test_what_load_needs_is_read_through_the_package_that_re_exports_it():
    assert required_settings("baselines.huggingface:load") == ("pretrained",)

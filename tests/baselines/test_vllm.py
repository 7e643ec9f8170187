"""The adapter of vLLM's offline engine: run with an engine that is made up, and read against vLLM's own source.

The second part needs vLLM's wheel, which installs on few machines and unpacks on any:

    pip download --no-deps vllm==0.33.0 -d build/vllm

and is skipped without it.
"""

import ast
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import baselines.vllm_engine
from baselines.vllm_engine import load
from niah.types import Question, UserError
from tests.helpers import tiny_huggingface, wheels
from tests.helpers.grey_film import GreyFilm
from tests.helpers.wheels import members

QUESTION = Question("Which?", ("one", "two"))


class Engine:
    """Keeps what it was made with and asked, and says B, then A."""

    def __init__(self, **settings):
        self.made, self.asked, self.drawing = settings, [], None

    def generate(self, prompts, sampling_params, use_tqdm, tokenization_kwargs):
        self.asked += prompts
        self.tokenized = tokenization_kwargs
        self.drawing = sampling_params
        outputs = [
            SimpleNamespace(index=number, text=f" {'BA'[number]}", finish_reason="stop")
            for number in reversed(range(sampling_params.n))
        ]
        return [SimpleNamespace(outputs=outputs, prompt_token_ids=[0] * 9, num_cached_tokens=4)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(tiny_huggingface.qwen2_vl(tmp_path_factory.mktemp("vllm") / "model"))


@pytest.fixture
def made_up(monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(LLM=Engine, SamplingParams=SimpleNamespace))
    monkeypatch.setattr("baselines.vllm_engine.require", lambda *names: None)


def test_a_video_goes_with_the_times_of_its_frames(made_up, folder):
    adapter = load(folder, max_frames=4, tensor_parallel_size=2)
    reply = adapter.answer(GreyFilm(40, fps=2.0), QUESTION)
    (prompt,) = adapter.engine.asked
    ((frames, shown),) = prompt["multi_modal_data"]["video"]
    assert (frames.shape, frames[:, 0, 0, 0].tolist()) == ((4, 16, 16, 3), [10, 30, 50, 70])
    assert (shown["fps"], shown["frames_indices"], shown["total_num_frames"]) == (2.0, [5, 15, 25, 35], 40)
    assert "<|video_pad|>" in prompt["prompt"] and "A. one" in prompt["prompt"]
    assert (reply.text, reply.frames_used, reply.language_tokens) == ("B", (5, 15, 25, 35), 9)
    assert (reply.samples, reply.usage) == ((), {"cached_tokens": 4.0})
    made = adapter.engine.made
    assert (made["tensor_parallel_size"], made["enable_prefix_caching"]) == (2, True)
    assert made["limit_mm_per_prompt"] == {"video": 1}


def test_images_come_after_their_times_and_a_blind_question_has_none(made_up, folder):
    adapter = load(folder, max_frames=2, as_images=True, frame_times=True)
    seen, blind = (adapter.answer(GreyFilm(count, fps=2.0), QUESTION) for count in (40, 0))
    first, second = adapter.engine.asked
    assert [image.getpixel((0, 0))[0] for image in first["multi_modal_data"]["image"]] == [20, 60]
    assert first["prompt"].index("Frame at 5.0 s:") < first["prompt"].index("<|image_pad|>")
    assert second["multi_modal_data"] == {} and "<|image_pad|>" not in second["prompt"]
    assert (seen.frame_times, blind.frame_times) == (True, None)


def test_replies_that_are_drawn_are_kept_in_their_order(made_up, folder):
    adapter = load(folder, temperature=0.7, samples=2, seed=3)
    reply = adapter.answer(GreyFilm(4, fps=2.0), QUESTION)
    assert [(one.text, one.seed) for one in reply.samples] == [("B", 3), ("A", 4)]
    assert (adapter.engine.drawing.n, adapter.engine.drawing.temperature) == (2, 0.7)


def test_a_start_token_that_the_template_writes_is_not_written_again(made_up, folder):
    adapter = load(folder)
    for start, settings in ((None, {}), ("<|im_start|>", {"add_special_tokens": False})):
        adapter.processor.tokenizer.bos_token = start
        adapter.answer(GreyFilm(4), QUESTION)
        assert adapter.engine.tokenized == settings


def test_without_the_package_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setattr("niah.extras.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs the package vllm.*videoniah\[vllm\]"):
        load(folder)


# ---- vLLM's own source


@pytest.fixture(scope="module")
def wheel():
    return wheels.sources("vllm", "0.33.0")


def keywords(function):
    """Return the keywords that `baselines/vllm_engine.py` calls a function with."""
    tree = ast.parse(Path(baselines.vllm_engine.__file__).read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    name = lambda call: getattr(call.func, "id", getattr(call.func, "attr", ""))  # noqa: E731
    found = {one.arg for call in calls if name(call) == function for one in call.keywords}
    assert found, f"nothing calls {function}"
    return found


CALLS = [("LLM", ("LLM", "EngineArgs")), ("SamplingParams", ("SamplingParams",)), ("generate", ("LLM",))]


@pytest.mark.parametrize("function, classes", CALLS)
def test_every_parameter_used_is_one_of_vllms(wheel, function, classes):
    assert keywords(function) <= set.union(*(members(wheel, name) for name in classes))


READ = [
    ("RequestOutput", {"outputs", "prompt_token_ids", "num_cached_tokens"}),
    ("CompletionOutput", {"index", "text", "finish_reason"}),
]


@pytest.mark.parametrize("name, fields", READ)
def test_every_field_read_is_one_of_vllms(wheel, name, fields):
    source = Path(baselines.vllm_engine.__file__).read_text()
    assert all(f".{field}" in source for field in fields)
    assert fields <= members(wheel, name)


def test_every_key_of_a_prompt_is_one_of_vllms(wheel):
    fields = members(wheel, "TextPrompt") | members(wheel, "_PromptOptions")
    assert {"prompt", "multi_modal_data", "mm_processor_kwargs"} <= fields


def test_every_key_of_a_videos_metadata_is_read_by_a_model_of_vllms(wheel):
    source = wheel["vllm/model_executor/models/qwen3_vl.py"]
    assert all(f'"{key}"' in source for key in ("fps", "frames_indices", "total_num_frames", "do_sample_frames"))


def test_a_seed_counts_up_over_the_replies_of_a_question(wheel):
    assert any("seed + index" in text for text in wheel.values())

"""--preset: settings that are chosen together, for suites and for benchmarks, and what is said where there are none."""

import argparse

import pytest

from niah.integrations.lm_eval.cli import apply_preset, take_preset
from niah.run.adapter_files import literal_constant
from niah.run.presets import suite_settings, task_settings
from niah.run.registry import find_adapter, load_adapter
from niah.types import Question, UserError
from tests.helpers import tiny_releases
from tests.helpers.commands import run_config
from tests.helpers.fake_video import FakeVideo

GIVEN = {"pretrained": "folder"}


def test_a_setting_given_by_hand_takes_precedence():
    chosen = suite_settings("vilamp", "official", {**GIVEN, "dtype": "bfloat16"})
    assert chosen == {"frames": "release", "prompt": "release", "max_new_tokens": 256, **GIVEN, "dtype": "bfloat16"}


def test_the_run_is_recorded_with_what_the_preset_chose():
    config = run_config(["--model", "videochat_flash", "--model_args", "pretrained=folder", "--preset", "official"])
    assert config.decides()["model_args"] == {
        "dtype": "float16", "max_frames": 512, "max_new_tokens": 16, "prompt": "vlmevalkit", "pretrained": "folder",
    }  # fmt: skip


def test_a_benchmark_gets_its_scripts_prompt_frames_and_number_of_tokens():
    settings, metadata = task_settings("vilamp", "official", ["videoniah_video_mme"], GIVEN)
    assert settings == {"dtype": "float16", "max_new_tokens": 1, **GIVEN}
    assert metadata == {"prompt": "release", "frame_sampling": "release"}


def test_lm_eval_never_sees_the_flag():
    assert take_preset(["run", "--preset", "official", "--tasks", "a"]) == ("official", ["run", "--tasks", "a"])
    assert take_preset(["--tasks", "a"]) == (None, ["--tasks", "a"])


def test_lm_eval_gets_what_the_preset_chooses_for_the_named_task():
    namespace = argparse.Namespace(
        model="videoniah-vilamp",
        tasks="videoniah_mlvu",
        model_args=dict(GIVEN),
        metadata={"table": "t", "prompt": "letters"},
    )
    apply_preset(namespace, "official")
    assert namespace.model_args == {"dtype": "float16", "max_new_tokens": 256, **GIVEN}
    assert namespace.metadata == {"frame_sampling": "release", "table": "t", "prompt": "letters"}  # by hand comes first


@pytest.mark.parametrize(
    "model, preset, given, words",
    [
        ("chance", "official", {}, "'chance' has no presets; models that have one: llama_vid, video_xl"),
        ("vilamp", "offical", GIVEN, "Did you mean 'official'"),
        ("vilamp", "official", {}, "pretrained=FOLDER"),
    ],
)
def test_a_preset_that_is_not_there_is_refused(model, preset, given, words):
    with pytest.raises(UserError, match=words):
        suite_settings(model, preset, given)


@pytest.mark.parametrize(
    "tasks, words",
    [
        (["videoniah_lvbench"], "says nothing of the task videoniah_lvbench.*videoniah_egoschema"),
        (["videoniah_mlvu", "videoniah_video_mme"], "ask them in two commands"),
    ],
)
def test_a_benchmark_that_no_script_asks_and_scripts_that_differ_are_refused(tasks, words):
    with pytest.raises(UserError, match=words):
        task_settings("vilamp", "official", tasks, GIVEN)


def test_a_computed_constant_is_none():
    assert literal_constant("niah.run.presets:suite_settings", "CONSTANT") == "PRESETS"
    assert literal_constant("niah.run.config:resolve", "ENGINE") is None  # re.compile(...)


@pytest.mark.parametrize("name", tiny_releases.NAMES)
def test_every_release_takes_its_official_settings(tmp_path, name):
    folder = tiny_releases.copy(name, tmp_path / "checkpoint")
    given = {
        "pretrained": str(folder),
        "max_new_tokens": 3,
        "dtype": "float32",
    }  # a processor has few kernels in 16 bits
    adapter = load_adapter(find_adapter(name), suite_settings(name, "official", given))
    reply = adapter.answer(FakeVideo(("h", 0, 64), fps=2.0), Question("Which way?", ("left", "right")))
    frames = {"vilamp": range(0, 64, 2), "video_xl": range(0, 64, 2), "llama_vid": range(0, 64, 2)}
    assert list(reply.frames_used) == list(frames.get(name, range(64)))  # VideoChat-Flash shows 64 at least
    official = suite_settings(name, "official", given)
    for setting in ("prompt", "query", "frames"):
        assert setting not in official or reply.settings[setting] == official[setting]

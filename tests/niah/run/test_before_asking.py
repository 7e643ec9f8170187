"""Before the first case: warnings of frames that are too small, and of footage and words a model was not trained on."""

import dataclasses

import pytest

from niah.run.before_asking import foreign_footage, small_frames, unknown_words
from niah.run.plan import make_plan
from niah.suite.config import Footage
from niah.types import Sampling
from tests.helpers.commands import run as main
from tests.helpers.commands import run_config
from tests.helpers.small_suite import make_suite

READING = "tests.helpers.fake_adapters:reading"


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suite")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDEONIAH_CACHE", str(folder / "cache"))
        yield make_suite(folder)  # of 16 x 16 pixels, and so are its files


@pytest.fixture
def plan(suite):
    return make_plan(run_config(["--suite", str(suite), "--model", READING]))


@pytest.mark.parametrize("side, warned", [(16, False), (17, True)])
def test_the_warning_comes_once_and_before_any_case(suite, tmp_path, capsys, side, warned):
    args = ["--model", READING, "--model_args", f"side={side}", "--suite", str(suite), "--limit", "3"]
    assert main([*args, "--output_path", str(tmp_path), "--in_process", "--no_figures"]) == 0
    said = capsys.readouterr().err
    words = f"{READING} reads pictures of {side}x{side} pixels, and suite small shows 16x16, enlarged"
    assert said.count(words) == warned
    assert not warned or said.index(words) < said.index("asked")


def test_in_native_pixels_the_videos_that_are_too_small_are_named(plan):
    sampling = Sampling("1", fit="native")
    suite = dataclasses.replace(plan.generated.suite, sampling=sampling)
    native = dataclasses.replace(plan, generated=dataclasses.replace(plan.generated, suite=suite))
    assert small_frames(native, "m", 16) is None
    said = small_frames(native, "m", 17)
    assert said is not None and "of 5 videos" in said and "h1 16x16" in said and "n3 16x16" in said


DRAWN = "tests.helpers.fake_adapters:trained_on_drawn_footage"


def test_a_model_of_drawn_footage_is_warned_of_on_videos_of_a_suites_own(suite, tmp_path, capsys):
    args = ["--model", DRAWN, "--suite", str(suite), "--limit", "1"]
    assert main([*args, "--output_path", str(tmp_path), "--in_process", "--no_figures"]) == 0
    said = capsys.readouterr().err
    assert said.count(f"warning: {DRAWN} was trained on built-in, drawn footage alone, and suite small has videos") == 1


def test_built_in_footage_is_no_reason_to_warn(plan):
    assert foreign_footage(plan, "m") is not None
    suite = dataclasses.replace(plan.generated.suite, footage=Footage(world="w"), haystacks=None, needles=None)
    drawn = dataclasses.replace(plan, generated=dataclasses.replace(plan.generated, suite=suite))
    assert foreign_footage(drawn, "m") is None


def test_a_model_of_few_words_is_warned_of_in_which_kinds_others_are_asked(plan):
    suite = dataclasses.replace(plan.generated.suite, footage=Footage(world="w"), haystacks=None, needles=None)
    drawn = dataclasses.replace(plan, generated=dataclasses.replace(plan.generated, suite=suite))
    words = ("how", "bright", "is", "the", "clip")
    assert unknown_words(drawn, "m", words) is None  # options are digits, which are read one by one
    assert unknown_words(drawn, "m", ()) is None  # a model that says nothing of words
    asked = [*plan.ordered, dataclasses.replace(plan.ordered[0], kind="when", question="When is the clip shown?")]
    said = unknown_words(dataclasses.replace(drawn, ordered=tuple(asked)), "m", words)
    assert said is not None and "of 5 words. Those of kind when have 2 others (shown, when)" in said


def test_the_words_a_worker_reports_reach_the_warning(suite, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("niah.run.before_asking.unknown_words", lambda plan, model, known: f"knows {sorted(known)}")
    args = ["--model", "tests.helpers.fake_adapters:trained_on_few_words", "--suite", str(suite), "--limit", "1"]
    assert main([*args, "--output_path", str(tmp_path), "--in_process", "--no_figures"]) == 0
    assert "knows ['bright', 'how']" in capsys.readouterr().err

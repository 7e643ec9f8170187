"""The simple compressors inside the micro ViLaMP: what is read, what is recorded, what is refused."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from niah.run.registry import load_adapter
from niah.types import UserError
from tests.helpers.commands import run as main
from tests.helpers.fake_video import FakeVideo
from tests.vilamp.test_adapter import QUESTION, SIZES
from vilamp import checkpoint
from vilamp.compressors import simple
from vilamp.config import Compression
from vilamp.model import Vilamp
from vilamp.vocabulary import Vocabulary

WORDS = ("left", "right", "red")
PROMPT = len(Vocabulary(WORDS).encode(QUESTION.text + " answer:"))
LOADED = {"uniform": simple.load_uniform, "topk": simple.load_topk, "mean": simple.load_mean}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A random model in a checkpoint folder: 64 patches a frame."""
    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    checkpoint.save(Vilamp(SIZES, Vocabulary(WORDS)), folder)
    return str(folder)


def test_uniform_decodes_and_shows_its_frames_alone(tiny):
    video = FakeVideo(("h", 0, 100))
    reply = simple.load_uniform(frames=4, pretrained=tiny).answer(video, QUESTION)
    assert reply.frames_used == reply.frames_kept == (12, 37, 62, 87)
    assert video.decoded == 4
    assert reply.language_tokens == 4 * 64 + PROMPT


def test_uniform_pools_where_its_checkpoint_was_trained_so(tmp_path):
    torch.manual_seed(0)
    trained = dataclasses.replace(SIZES, compression=Compression("pooled_frames", 5.0))
    checkpoint.save(Vilamp(trained, Vocabulary(WORDS)), tmp_path)
    for frames, shown in ((None, 5), (3, 3)):
        reply = simple.load_uniform(frames=frames, pretrained=str(tmp_path)).answer(FakeVideo(("h", 0, 100)), QUESTION)
        assert len(reply.frames_used) == shown and reply.language_tokens == 16 * shown + PROMPT
        assert reply.settings["compressor"] == "pooled_frames" and reply.settings["frames"] == shown


def test_topk_looks_at_every_frame_and_shows_the_best(tiny):
    video = FakeVideo(("h", 0, 70))
    adapter = simple.load_topk(keyframes=3, pretrained=tiny)
    reply = adapter.answer(video, QUESTION)
    with torch.inference_mode():
        pictures = torch.from_numpy(video.frames(range(70)))
        embeddings, query = adapter.model.encode_frames(pictures)[0], adapter.model.encode_query(QUESTION.text)
    similarity = {number: float(embeddings[number] @ query) for number in range(70)}
    assert reply.frames_used == reply.frames_kept == tuple(sorted(sorted(similarity, key=similarity.get)[-3:]))
    assert reply.language_tokens == 3 * 64 + PROMPT
    assert reply.reused_frames == 0


def test_mean_shows_every_frame_as_one_token(tiny):
    reply = simple.load_mean(pretrained=tiny).answer(FakeVideo(("h", 0, 70)), QUESTION)
    assert reply.frames_used == tuple(range(70)) and reply.frames_kept == ()
    assert reply.language_tokens == 70 + PROMPT


def test_the_reply_names_the_compressor_and_the_weights(tiny):
    _, name = checkpoint.load(Path(tiny))
    named = {
        "uniform": {"compressor": "uniform", "frames": 8, "weights": name},
        "topk": {"compressor": "topk", "keyframes": 8, "weights": name},
        "mean": {"compressor": "mean", "weights": name},
    }
    for model, settings in named.items():
        assert LOADED[model](pretrained=tiny).answer(FakeVideo(), QUESTION).settings == settings


def test_vilamp_names_its_own_constants(tiny):
    reply = load_adapter("vilamp.adapter:load", {"pretrained": tiny}).answer(FakeVideo(), QUESTION)
    constants = {"keyframes": 3, "threshold": 1.01, "redundancy_weight": 1.0, "temperature": 0.01}
    assert reply.settings == {"compressor": "vilamp", **constants, "weights": checkpoint.load(Path(tiny))[1]}


REUSED = {"uniform": 3, "topk": 85, "mean": 85}  # uniform meets frames 6, 18 and 31 again


@pytest.mark.parametrize("model", LOADED)
def test_reused_and_fresh_features_give_bit_equal_replies(tiny, model):
    warm, spans = LOADED[model](pretrained=tiny), (("h", 0, 40), ("n", 5, 20), ("h", 40, 85))
    warm.answer(FakeVideo(("h", 0, 100)), QUESTION)
    reused = warm.answer(FakeVideo(*spans), QUESTION)
    fresh = LOADED[model](pretrained=tiny).answer(FakeVideo(*spans), QUESTION)
    assert (reused.reused_frames, fresh.reused_frames) == (REUSED[model], 0)
    for field in ("text", "option_scores", "frames_used", "frames_kept", "language_tokens"):
        assert getattr(reused, field) == getattr(fresh, field)


@pytest.mark.parametrize("model", LOADED)
def test_a_blind_case_is_answered_as_vilamp_answers_it(tiny, model):
    blind = load_adapter("vilamp.adapter:load", {"pretrained": tiny}).answer(FakeVideo(), QUESTION)
    reply = LOADED[model](pretrained=tiny).answer(FakeVideo(), QUESTION)
    assert reply.option_scores == blind.option_scores
    assert reply.frames_used == ()


def test_where_every_frame_is_a_keyframe_all_whole_frame_compressors_are_vilamp(tiny):
    """Three frames and K = 3 (the threshold lets all pass): the same tokens, so the same scores."""
    own = load_adapter("vilamp.adapter:load", {"pretrained": tiny}).answer(FakeVideo(("h", 0, 3)), QUESTION)
    for model in ("uniform", "topk"):
        reply = LOADED[model](pretrained=tiny).answer(FakeVideo(("h", 0, 3)), QUESTION)
        assert reply.option_scores == pytest.approx(own.option_scores, abs=1e-5)


REFUSED = [
    (simple.load_uniform, {"frames": 0}, "frames must be a whole number from 1 up, got 0"),
    (simple.load_topk, {"keyframes": "all"}, "keyframes must be a whole number from 1 up, got 'all'"),
    (simple.load_uniform, {"keyframes": 4}, "keyframes is of ViLaMP's own compressor; here it is .*'pooled_frames'"),
    (simple.load_mean, {"frames": 4}, "no setting of it is called .frames."),
    (simple.load_mean, {"pretrained": "somebody/a-release"}, "'somebody/a-release' is a released checkpoint"),
]


@pytest.mark.parametrize("make, settings, words", REFUSED)
def test_settings_that_would_have_no_effect_are_refused(make, settings, words):
    with pytest.raises(UserError, match=words):
        make(**settings)


def test_a_compressor_cannot_be_named_by_a_word():
    with pytest.raises(UserError, match="got 'mean'; name a model that brings one, such as uniform, topk or mean"):
        load_adapter("vilamp.adapter:load", {"compressor": "mean"})


@pytest.mark.slow
@pytest.mark.parametrize("model", LOADED)
def test_it_answers_the_smoke_suite_from_the_command_line(model, tmp_path):
    flags = ["--in_process", "--no_figures"]  # tests/test_end_to_end.py has the workers and the figures
    assert main(["--model", model, "--suite", "smoke", "--output_path", str(tmp_path), *flags]) == 0
    records = [json.loads(line) for line in (tmp_path / "records.jsonl").read_text().splitlines()]
    cases = {case["id"]: case for case in map(json.loads, (tmp_path / "cases.jsonl").read_text().splitlines())}
    assert {record["case"] for record in records} == cases.keys()
    compressor = {"uniform": "pooled_frames"}.get(model, model)  # the weights of its own that it reads with
    assert {(record["status"], record["settings"]["compressor"]) for record in records} == {("ok", compressor)}
    for record in records:
        length = cases[record["case"]]["length"]
        assert record["frames_used"] == min(length, {"mean": length, "topk": 8, "uniform": 32}[model])

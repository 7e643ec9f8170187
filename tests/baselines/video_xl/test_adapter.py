"""Video-XL behind the harness: prompts, reuse of a haystack's cache, and whole runs on encoded and real video."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from baselines.video_xl import config
from baselines.video_xl.adapter import load
from baselines.video_xl.compress import RatioRule
from baselines.video_xl.inputs import PromptIds, SummaryCompression, encode_prompt, sample_frames, write_prompt
from baselines.video_xl.model import build_random
from baselines.video_xl.prefill import VideoPrefill
from niah.types import Question, UserError
from tests.baselines.video_xl.test_language import OTHER, TOWER
from tests.helpers import byte_tokenizer
from tests.helpers.commands import run as main
from tests.helpers.fake_video import FakeVideo
from tests.helpers.small_suite import make_suite

ROOT = Path(__file__).resolve().parents[3]
SHARED = ROOT.parent / "shared" / "videos"
REFERENCE = Path(__file__).resolve().parents[2] / "reference" / "video_xl"
QUESTION = Question("Which way does it go?", ("left", "right", "straight on", "back"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The reference's tiny checkpoint and a byte tokenizer."""
    folder = tmp_path_factory.mktemp("video_xl") / "checkpoint"
    shutil.copytree(REFERENCE / "checkpoint", folder)
    byte_tokenizer.write(folder, 256)
    return folder


def same(one, other):
    """Everything a record holds but what is measured."""
    fields = ("text", "frames_used", "frames_kept", "language_tokens", "settings")
    return all(getattr(one, field) == getattr(other, field) for field in fields)


def prompt_tokens(question):
    """Count a prompt's tokens: a byte is one, and so is a special word."""
    text = "".join(write_prompt(question, "chat", True))
    return len(text.encode()) - sum(text.count(name) * (len(name) - 1) for name in byte_tokenizer.SPECIALS)


def needle_at(place):
    """Return a video of 80 frames with 10 of another source from `place` on."""
    return FakeVideo(("h", 0, place), ("n", 0, 10), ("h", place, 70))


@pytest.mark.parametrize("options", [{}, {"ratio": 5}, {"dtype": "bfloat16"}, {"ratio": "2/4/8/16", "dynamic": True}])
def test_the_haystack_up_to_the_needle_is_read_once(folder, options):
    warm = load(str(folder), **options)
    warm.answer(FakeVideo(("h", 0, 80)), QUESTION)
    video = needle_at(40)
    reused = warm.answer(video, QUESTION)
    fresh = load(str(folder), **options).answer(needle_at(40), QUESTION)
    assert fresh.reused_frames == 0 and same(reused, fresh)
    if not options.get("dynamic"):  # windows of 16 frames: two and a half lie before the needle
        assert reused.reused_frames == 32 and video.decoded == 80 - 32


def test_kept_windows_are_the_same_bits_as_fresh_ones(folder):
    adapter = load(str(folder))
    asked = encode_prompt(adapter.tokenizer, QUESTION, "chat", True, 256)
    caches = []
    for _ in range(2):
        reading = VideoPrefill(adapter.model, adapter.compression, needle_at(40), asked, 4)
        with torch.no_grad():
            reading.prefill(adapter.store)
        caches.append(reading.cache.read(0, reading.cache.length))
    assert reading.restored == 5
    torch.testing.assert_close(caches[0], caches[1], rtol=0, atol=0)


def test_another_question_about_a_video_reads_no_frame_again(folder):
    adapter = load(str(folder))
    adapter.answer(needle_at(40), QUESTION)
    video = needle_at(40)
    reply = adapter.answer(video, Question("What colour is it?", ("red", "blue")))
    assert video.decoded == 0 and reply.reused_frames == 80


def test_a_store_that_forgets_changes_no_reply(folder):
    # a window leaves at least 8 summary tokens of 768 bytes: this store has room for a few of them
    adapter = load(str(folder), store_gib=20_000 / 2**30, store_disk_gib=0)
    for place in (64, 16, 48):
        assert same(adapter.answer(needle_at(place), QUESTION), load(str(folder)).answer(needle_at(place), QUESTION))


def test_a_full_store_forgets_the_end_of_a_haystack_first(folder):
    # at ratio 4 a window of 16 frames leaves 16 summary tokens, 12,288 bytes: there is room for four of ten windows
    adapter = load(str(folder), ratio=4, store_gib=50_000 / 2**30, store_disk_gib=0)
    reused = [adapter.answer(FakeVideo(("h", 0, 160)), QUESTION).reused_frames for _ in range(3)]
    assert reused == [0, 64, 64]


def test_logits_that_are_no_numbers_are_no_answer(folder):
    adapter = load(str(folder))
    adapter.model.language.norm.weight.data[3] = float("inf")
    with pytest.raises(UserError, match="not finite numbers in torch.float32"):
        adapter.answer(FakeVideo(("h", 0, 16)), QUESTION)


def test_other_frames_or_another_order_find_nothing(folder):
    adapter = load(str(folder))
    adapter.answer(FakeVideo(("h", 0, 32)), QUESTION)
    assert adapter.answer(FakeVideo(("g", 0, 32)), QUESTION).reused_frames == 0
    assert adapter.answer(FakeVideo(("h", 16, 32), ("h", 0, 16)), QUESTION).reused_frames == 0


def test_the_reply_says_truly_what_it_used(folder):
    reply = load(str(folder), ratio=8).answer(FakeVideo(("h", 0, 33)), QUESTION)
    # 33 frames are 132 visual tokens: windows of 64, 64 and 4, and 4 are too few for a summary token at ratio 8
    assert reply.frames_used == tuple(range(32))
    assert reply.language_tokens == prompt_tokens(QUESTION) + 16
    assert reply.frames_kept == () and reply.mode == "generated"
    assert reply.settings["ratio"] == "8" and reply.settings["dtype"] == "float32"
    assert reply.peak_allocated_bytes is None  # of a device; this is a CPU
    assert (reply.frame_size, reply.frame_times) == ((56, 56), False)


def test_a_blind_case_is_asked_without_a_video(folder):
    reply = load(str(folder)).answer(FakeVideo(), QUESTION)
    assert reply.frames_used == () and reply.text
    assert (reply.frame_size, reply.frame_times) == (None, None)


def test_a_reply_of_as_many_tokens_as_allowed_ended_at_the_limit(folder):
    reply = load(str(folder), max_new_tokens=1).answer(FakeVideo(("h", 0, 32)), QUESTION)
    assert reply.finish_reason == "length"


def test_a_video_too_short_for_one_summary_token_is_refused(folder):
    with pytest.raises(UserError, match="1 frames are 4 visual tokens, too few for a summary token at ratio 16"):
        load(str(folder), ratio=16).answer(FakeVideo(("h", 0, 1)), QUESTION)


def test_one_frame_is_enough_at_a_small_ratio(folder):
    assert load(str(folder), ratio=4).answer(FakeVideo(("h", 0, 1)), QUESTION).frames_used == (0,)


def test_a_question_longer_than_the_trained_positions_is_read_whole(folder):
    long = Question("word " * 450, ("left", "right"))
    reply = load(str(folder), ratio=16, max_new_tokens=1).answer(FakeVideo(("h", 0, 16)), long)
    count = prompt_tokens(long)
    assert count > 2048  # max_position_embeddings
    assert reply.language_tokens == count + 4


def test_sampled_frames_are_spread_like_the_releases(folder):
    assert (
        sample_frames(100, "second", 29.97) == [0, 29, 59]  # three whole seconds, as the VNBench script takes them
        and sample_frames(10, 4) == [0, 3, 6, 9]
        and sample_frames(11, 4) == [0, 3, 6, 10]
        and sample_frames(3, 4) == [0, 1, 2]
    )
    reply = load(str(folder), frames=16, ratio=4).answer(FakeVideo(("h", 0, 61)), QUESTION)
    assert reply.frames_used == tuple(range(0, 61, 4))


def test_frames_that_lie_across_two_windows_are_whole_in_the_cache():
    # 9 tokens a frame, windows of 15: the second frame lies in two of them
    model = build_random(config.parse(OTHER, TOWER), "cpu", torch.float32)
    how = SummaryCompression(RatioRule((3,)))
    reading = VideoPrefill(model, how, FakeVideo(("h", 0, 5)), PromptIds((1, 2), (3,)), 1)
    with torch.no_grad():
        whole = model.encode(reading.video.frames(range(5)))
        parts = torch.cat([reading.visual(window) for window in reading.windows])
    assert [len(window) for window in reading.windows] == [15, 15, 15]
    torch.testing.assert_close(parts, whole)
    assert reading.used == (0, 1, 2, 3, 4)


def command(suite, out, folder):
    """Return the arguments of a run."""
    settings = f"pretrained={folder},ratio=4,max_new_tokens=4"
    arguments = ["--model", "baselines.video_xl.adapter:load", "--model_args", settings, "--no_figures"]
    return [*arguments, "--suite", str(suite), "--output_path", str(out)]


def records_of(out):
    return [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]


def test_a_suite_of_encoded_video_is_answered(folder, tmp_path):
    suite = make_suite(tmp_path / "small")
    assert main([*command(suite, tmp_path / "out", folder), "--in_process"]) == 0
    records = records_of(tmp_path / "out")
    assert len(records) == 24 and {record["status"] for record in records} == {"ok"}
    assert {record["frames_used"] for record in records} == {0, 4, 20, 40}  # blind, the needle alone, two lengths
    assert sum(record["measured"]["reused_frames"] for record in records) > 0
    assert {record["settings"]["ratio"] for record in records} == {"4"}


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/videos is absent")
def test_real_footage_is_answered_from_the_command_line(folder, tmp_path):
    needles = (SHARED / "needles.jsonl").read_text().splitlines()[:2]
    (tmp_path / "needles.jsonl").write_text("\n".join(needles) + "\n")
    suite = {
        "name": "real", "lengths": [120], "depths": [0.2, 0.8], "sampling": {"rate": 1, "width": 96, "height": 96},
        "haystacks": {"files": [str(SHARED / "haystacks" / "bbb.mp4")]},
        "needles": {"file": "needles.jsonl", "media_root": str(SHARED)},
    }  # fmt: skip
    (tmp_path / "real.yaml").write_text(yaml.safe_dump(suite))
    line = [sys.executable, "-m", "niah.run", *command(tmp_path / "real.yaml", tmp_path / "out", folder)]
    environment = {**os.environ, "VIDEONIAH_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    records = records_of(tmp_path / "out")
    assert {record["status"] for record in records} == {"ok"}
    assert sum(record["frames_used"] == 120 for record in records) >= 4  # 2 needles x 2 depths

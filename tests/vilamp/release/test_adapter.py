"""A released checkpoint answers suites, says truly what it did, and refuses what it cannot do."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from niah.adapters.qwen import generate_greedily
from niah.prompt import format_prompt
from niah.types import Question, UserError
from tests.helpers import byte_tokenizer
from tests.helpers.commands import run as main
from tests.helpers.fake_video import FakeVideo
from tests.helpers.small_suite import make_suite
from vilamp.adapter import load
from vilamp.release.load import from_release
from vilamp.release.pixels import clip_pixels, siglip_pixels

TINY = Path(__file__).parents[2] / "reference" / "vilamp" / "tiny"
QUESTION = Question("Which way does the red circle move?", ("left", "right", "straight on", "back"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    copy = Path(shutil.copytree(TINY, tmp_path_factory.mktemp("release") / "tiny"))
    byte_tokenizer.write(copy, 320)
    return copy


def answered(reply):
    return reply.text, reply.frames_kept, reply.language_tokens


def test_the_adapter_says_what_the_model_computes_of_all_frames_at_once(folder):
    video = FakeVideo(("h", 0, 50))
    reply = load(str(folder), max_new_tokens=8).answer(video, QUESTION)
    model = from_release(TINY)
    frames = video.frames(range(50))
    prompt = f"<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<image>\n{format_prompt(QUESTION)}"
    before, after = f"{prompt}<|im_end|>\n<|im_start|>assistant\n".split("<image>")

    def ids(text):
        for number, special in enumerate(byte_tokenizer.SPECIALS):
            text = text.replace(special, chr(256 + number))
        return [ord(character) for character in text]

    query = [byte % 98 for byte in QUESTION.text.encode()][:23] + [98]
    with torch.inference_mode():
        embeddings = model.encode_clip(clip_pixels(frames, model.config.clip.picture))
        encoded = model.encode_query(torch.tensor([query]))
        kept = model.select(embeddings, encoded)[1]
        patches = model.encode_patches(siglip_pixels(frames, model.config.siglip_picture))
        whole, room = model.sequence([*ids(before), -200, *ids(after)], model.visual_tokens(50, len(kept)))
        model.write_video(room, model.tokens(kept, embeddings, encoded, [patches]))
        model.language.lm_head.weight.data = model.language.lm_head.weight.data[:259]
        words = generate_greedily(model.language, whole, 8, {257})
    assert reply.frames_kept == tuple(kept)
    assert reply.language_tokens == len(whole) == len(ids(before)) + len(ids(after)) + 8 * 16 + 42 + 1
    raw = bytes(token for token in words if token < 256)
    assert reply.text == raw.decode("utf-8", errors="replace")
    assert reply.mode == "generated" and reply.frames_used == tuple(range(50))
    assert (reply.frame_size, reply.frame_times) == ((38, 38), False)  # the tiny tower's pictures
    assert reply.finish_reason == ("length" if len(words) == 8 else "stop")


def test_reused_and_fresh_features_give_equal_replies(folder):
    warm = load(str(folder))
    warm.answer(FakeVideo(("h", 0, 100)), QUESTION)
    video = FakeVideo(("h", 0, 40), ("n", 5, 20), ("h", 40, 90))
    reused = warm.answer(video, QUESTION)
    assert video.decoded == 15  # the needle's frames alone, once
    assert reused.reused_frames == 90
    fresh_video = FakeVideo(("h", 0, 40), ("n", 5, 20), ("h", 40, 90))
    fresh = load(str(folder), store_gib=0.0, store_disk_gib=0.0).answer(fresh_video, QUESTION)
    assert fresh_video.decoded == 2 * 105  # selection, then vision
    assert answered(fresh) == answered(reused)


def test_features_in_bfloat16_come_back_as_they_were(folder):
    warm, video = load(str(folder), dtype="bfloat16"), FakeVideo(("h", 0, 40))
    first = warm.answer(video, QUESTION)
    assert answered(warm.answer(video, QUESTION)) == answered(first)
    assert video.decoded == 40


def test_the_old_mask_and_one_token_look_at_keyframes_alone(folder):
    video = FakeVideo(("h", 0, 60))
    reply = load(str(folder), store_gib=0.0, store_disk_gib=0.0, legacy_mask=True).answer(video, QUESTION)
    assert video.decoded == 60 + 8
    assert reply.settings["behaviour.legacy_mask"] is True


def test_the_paper_keeps_every_patch_of_at_most_k_keyframes_and_no_newline(folder):
    reply = load(str(folder), behaviour="paper", keyframes=3).answer(FakeVideo(("h", 0, 30)), QUESTION)
    release = load(str(folder), keyframes=3).answer(FakeVideo(("h", 0, 30)), QUESTION)
    kept = len(reply.frames_kept)
    assert 1 <= kept <= 3
    assert reply.language_tokens - 49 * kept - (30 - kept) == release.language_tokens - 16 * 3 - 27 - 1
    assert (reply.settings["behaviour.name"], release.settings["behaviour.name"]) == ("paper", "release")
    assert reply.settings["behaviour.temperature"] == 0.01 and reply.settings["behaviour.fill_gaps"] is False


def test_a_single_frame_is_a_keyframe(folder):
    assert load(str(folder)).answer(FakeVideo(("h", 0, 1)), QUESTION).frames_kept == (0,)


def test_a_blind_case_is_put_without_the_videos_place(folder):
    reply = load(str(folder)).answer(FakeVideo(), QUESTION)
    text = format_prompt(QUESTION)
    wrapped = "system\nYou are a helpful assistant.", "\n", "user\n", text, "\n", "assistant\n"
    assert reply.language_tokens == sum(map(len, wrapped)) + 5  # five chat marks
    assert reply.frames_used == reply.frames_kept == ()


def test_a_sequence_that_would_be_cut_is_refused(folder):
    words = Question("why " * 10_000, ("yes", "no"))
    with pytest.raises(UserError, match="more than the 32768 this checkpoint reads: the release cuts the end away"):
        load(str(folder)).answer(FakeVideo(("h", 0, 20)), words)
    with pytest.raises(UserError, match="too_long=cut would cut the question away"):
        load(str(folder), too_long="cut")


def test_a_question_too_long_for_the_model_is_refused_without_a_video_too(folder):
    with pytest.raises(UserError, match=r"tokens \(0 of the video\) are more than the"):
        load(str(folder)).answer(FakeVideo(), Question("why " * 10_000, QUESTION.options))


@pytest.mark.parametrize("setting", [{"legacy_mask": "no"}, {"temperature": "abc"}, {"relevance_floor": float("nan")}])
def test_a_behaviour_of_the_wrong_type_is_refused_by_name(folder, setting):
    with pytest.raises(UserError, match=next(iter(setting))):
        load(str(folder), **setting)


def test_an_empty_question_is_refused(folder):
    with pytest.raises(UserError, match="the question is empty"):
        load(str(folder)).answer(FakeVideo(("h", 0, 20)), Question("  ", ("yes", "no")))


def test_an_empty_question_without_video_is_refused_for_being_empty(folder):
    with pytest.raises(UserError, match="the question is empty: there is nothing to ask"):
        load(str(folder)).answer(FakeVideo(), Question("", ("yes", "no")))


class Short(FakeVideo):
    """Its file ends before its index does."""

    def frames(self, indices):
        return super().frames(indices)[:-1]


def test_a_video_that_gives_fewer_frames_than_asked_for_is_refused(folder):
    with pytest.raises(UserError, match="gave 19 frames where 20 were asked for"):
        load(str(folder)).answer(Short(("h", 0, 20)), QUESTION)


def test_a_folder_without_tokenizer_is_refused():
    with pytest.raises(UserError, match="holds no tokenizer"):
        load(str(TINY))


def test_a_tokenizer_of_another_checkpoint_is_refused(folder, tmp_path):
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    byte_tokenizer.write(other, 1000, tuple(f"<|{n}|>" for n in range(100)))
    with pytest.raises(UserError, match="ids up to 355, the checkpoint's embeddings have 320 rows"):
        load(str(other))


def test_a_misspelt_setting_is_told_before_anything_is_read_with_the_one_that_may_be_meant(folder):
    with pytest.raises(UserError, match="no setting of a released checkpoint is called 'keyframs'. Did you mean 'keyf"):
        load(str(folder), keyframs=3)
    with pytest.raises(UserError, match="no setting of it is called 'keyframs'. Did you mean 'keyframes'"):
        load("micro", keyframs=3)


@pytest.mark.parametrize("setting", [{"keyframes": "three"}, {"store_gib": "much"}, {"store_disk_gib": -1}])
def test_a_number_that_is_none_is_told_by_its_setting(folder, setting):
    with pytest.raises(UserError, match=f"{min(setting)} must be a .*number"):
        load(str(folder), **setting)


def test_settings_of_a_released_checkpoint_are_refused_for_ours():
    with pytest.raises(UserError, match="no setting of it is called .legacy_mask."):
        load("micro", legacy_mask=True)


def test_frames_of_unequal_sizes_are_refused():
    ragged = np.empty(2, dtype=object)
    ragged[:] = [np.zeros((4, 4, 3), np.uint8), np.zeros((5, 4, 3), np.uint8)]
    with pytest.raises(UserError, match="all of one size, got object"):
        clip_pixels(ragged, from_release(TINY).config.clip.picture)


def test_a_suite_is_answered_and_every_record_says_how(folder, tmp_path):
    suite = make_suite(tmp_path / "suite")
    arguments = ["--model", "vilamp", "--model_args", f"pretrained={folder}", "--suite", str(suite)]
    main([*arguments, "--output_path", str(tmp_path / "run"), "--in_process", "--no_figures"])
    records = [json.loads(line) for line in next(tmp_path.glob("run/**/records.jsonl")).read_text().splitlines()]
    assert len(records) == 24
    assert {record["status"] for record in records} == {"ok"}
    assert all(record["settings"]["behaviour.name"] == "release" for record in records)
    assert all(record["mode"] == "generated" for record in records)

"""VideoChat-Flash through the harness: what it answers, refuses, reuses and holds."""

import json
import shutil
import weakref
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from baselines.videochat_flash import bench
from baselines.videochat_flash.adapter import load
from baselines.videochat_flash.inputs import ClipFeatures, encode_prompt, write_prompt
from baselines.videochat_flash.model import PLACEHOLDER
from niah.adapters import attention
from niah.adapters.bench import NoiseVideo
from niah.adapters.checkpoint import read_tokenizer
from niah.adapters.feature_store import FeatureStore
from niah.prompt import format_prompt
from niah.types import Question, UserError
from tests.helpers import byte_tokenizer
from tests.helpers.commands import run as main
from tests.helpers.fake_video import FakeVideo
from tests.helpers.small_suite import make_suite

CHECKPOINT = Path(__file__).resolve().parents[2] / "reference" / "videochat_flash" / "tiny_checkpoint"
SHARED = Path(__file__).resolve().parents[4] / "shared" / "videos"
QUESTION = Question("Which way does it go?", ("left", "right"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The tiny checkpoint with a byte tokenizer."""
    copy = shutil.copytree(CHECKPOINT, tmp_path_factory.mktemp("release") / "tiny")
    byte_tokenizer.write(copy, 130)
    return copy


@pytest.fixture(scope="module")
def adapter(folder):
    return load(str(folder), max_new_tokens=4, store_gib=0)


class Alive(TorchDispatchMode):
    """Counts the bytes of tensors that are alive, and the most there were."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self.known = weakref.WeakSet()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for storage in (leaf.untyped_storage() for leaf in tree_leaves(made) if isinstance(leaf, torch.Tensor)):
            if storage not in self.known:
                self.known.add(storage)
                self.now += storage.nbytes()
                weakref.finalize(storage, self.free, storage.nbytes())
        self.peak = max(self.peak, self.now)
        return made

    def free(self, size):
        self.now -= size


def run(suite, out, folder, *arguments, settings=""):
    """Run the command and return its exit code and records by case."""
    command = ["--model", "videochat_flash", "--model_args", f"pretrained={folder},max_new_tokens=4{settings}"]
    code = main([*command, "--suite", str(suite), "--output_path", str(out), "--no_figures", *arguments])
    lines = (out / "records.jsonl").read_text().splitlines()
    return code, {record["case"]: record for record in map(json.loads, lines)}


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    return make_suite(tmp_path_factory.mktemp("suite"))


def test_the_command_line_asks_it_in_a_worker(suite, folder, tmp_path):
    code, records = run(suite, tmp_path, folder, "--limit", "1")  # each length would start a worker
    assert code == 0 and [record["status"] for record in records.values()] == ["ok"]


def test_every_condition_of_a_suite_has_its_answer(suite, folder, tmp_path):
    code, records = run(suite, tmp_path, folder, "--in_process")
    assert code == 0 and len(records) == 24
    assert {record["status"] for record in records.values()} == {"ok"}
    frames = {case: record["frames_used"] for case, record in records.items()}
    # 20 frames at one a second are 16 of the release's, 40 are 40, 4 are repeated up to 8
    assert (frames["n1.full.20.12"], frames["n1.full.40.27"]) == (16, 40)
    assert (frames["n1.needle_only.4"], frames["n1.blind.0"]) == (4, 0)
    told = records["n1.full.20.12"]["settings"]
    assert told == {"rope": "faithful", "scaling": "None", "dropout": "off", "limit": "32768", "prompt": "harness"}
    assert sum(record["measured"]["reused_frames"] for record in records.values()) > 0


def test_a_question_that_would_be_cut_is_an_error_that_says_so(suite, folder, tmp_path):
    code, records = run(suite, tmp_path, folder, "--in_process", "--conditions", "full", settings=",max_length=600")
    assert code == 3
    short, long = records["n1.full.20.12"], records["n1.full.40.27"]
    assert (short["status"], long["status"]) == ("ok", "error")  # 16 and 40 frames of 16 tokens and 247 of text
    assert "40 frames and the question are 887 tokens; the release cuts the sequence after 600" in long["detail"]


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/videos is not here")
def test_real_footage_runs_through_the_command_line(folder, tmp_path):
    (tmp_path / "hay").mkdir()
    shutil.copy(SHARED / "haystacks" / "trap_dry_forest.mp4", tmp_path / "hay")
    needle = next(line for line in (SHARED / "needles.jsonl").read_text().splitlines() if "squats" in line)
    (tmp_path / "needles.jsonl").write_text(needle + "\n")
    (tmp_path / "real.yaml").write_text(
        "name: real\nlengths: [160]\ndepths: [0.5]\nsampling: {rate: native, width: 64, height: 64}\n"
        f"haystacks: {{folder: hay}}\nneedles: {{file: needles.jsonl, media_root: {SHARED}}}\n"
        "conditions: [full, blind]\n"
    )
    code, records = run(tmp_path / "real.yaml", tmp_path / "out", folder, settings=",max_frames=64,rope=exact")
    assert code == 0
    full = next(record for case, record in records.items() if ".full." in case)
    assert full["status"] == "ok" and full["frames_used"] == 64 and full["needle_frames_used"] > 16


def test_the_reply_says_truly_what_it_used(adapter):
    reply = adapter.answer(FakeVideo(("h", 0, 70)), QUESTION)
    text = (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n\nThe video lasts for 70.00 "
        f"seconds, and 64 frames are uniformly sampled from it. {format_prompt(QUESTION)}<|im_end|>\n<|im_start|>assistant\n"
    )
    plain = text.replace("<|im_start|>", "").replace("<|im_end|>", "")
    assert reply.language_tokens == 64 * 16 + len(plain) + 5  # a token a byte, and five special ones
    assert len(reply.frames_used) == 64 and reply.frames_kept == () and reply.mode == "generated"
    assert reply.seconds_to_first_token > 0 and reply.peak_allocated_bytes is None
    assert (reply.frame_size, reply.frame_times) == ((96, 96), True)  # times follow from duration and number
    assert reply.finish_reason in ("stop", "length")


def test_reused_and_fresh_clips_give_equal_replies(folder):
    kept, forgetful = load(str(folder), max_new_tokens=4), load(str(folder), max_new_tokens=4, store_gib=0)
    forgetful.tokenizer = kept.tokenizer  # two of one id's bytes: which one is written differs between tokenizers
    kept.answer(FakeVideo(("h", 0, 64)), QUESTION)
    spans = ("h", 0, 24), ("n", 0, 8), ("h", 24, 56)  # behind a needle of two clips the haystack's clips are whole
    video = FakeVideo(*spans)
    reused, fresh = kept.answer(video, QUESTION), forgetful.answer(FakeVideo(*spans), QUESTION)
    assert (video.decoded, reused.reused_frames, fresh.reused_frames) == (8, 56, 0)
    tokens = [
        torch.stack([clip for clip, _ in ClipFeatures(kept.model, store).of(FakeVideo(*spans), range(64))])
        for store in (kept.features.cache.store, None)
    ]
    assert torch.equal(*tokens)
    assert reused.text == fresh.text


def test_half_precision_clips_come_back_bit_for_bit(folder, tmp_path):
    model = load(str(folder), dtype="bfloat16").model
    store = FeatureStore(1 << 20, 0, tmp_path)
    features = ClipFeatures(model, store)
    made, found = (list(features.of(FakeVideo(("h", 0, 8)), range(8))) for _ in range(2))
    assert [stored for _, stored in made + found] == [False, False, True, True]
    assert made[0][0].dtype == torch.bfloat16
    assert all(torch.equal(one, other) for (one, _), (other, _) in zip(made, found, strict=True))


def test_a_blind_case_names_no_video(adapter):
    reply = adapter.answer(FakeVideo(), QUESTION)
    assert (reply.frames_used, reply.frame_size, reply.frame_times) == ((), None, None)
    assert "<image>" not in write_prompt("Why?", 0, 1.0, 0) and "video lasts" not in write_prompt("Why?", 0, 1.0, 0)


def test_a_question_about_an_image_tag_keeps_its_words(folder):
    tokenizer = read_tokenizer(folder)
    ids = encode_prompt(tokenizer, write_prompt("What is <image>?", 8, 1.0, 8), 8)
    assert ids.count(PLACEHOLDER) == 1
    assert encode_prompt(tokenizer, write_prompt("<image>\nWhat?", 0, 1.0, 0), 0).count(PLACEHOLDER) == 0


def test_a_question_of_ten_thousand_words_is_refused(adapter):
    with pytest.raises(UserError, match="the release cuts the sequence after 32768"):
        adapter.answer(FakeVideo(("h", 0, 8)), Question("word " * 10_000, ("yes", "no")))


@pytest.mark.parametrize("dropout, tokens", [("stored", 24), ("off", 64)])
def test_dropout_is_a_setting_and_is_recorded(folder, tmp_path, dropout, tokens):
    row = json.loads((folder / "config.json").read_text())
    stops = {"llm_compress_layer_list": [2, 5], "llm_image_token_ratio_list": [1, 0.5, 0.375]}
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "config.json").write_text(json.dumps({**row, **stops}))
    adapter = load(str(copy), dropout=dropout, max_new_tokens=2)
    reply = adapter.answer(FakeVideo(("h", 0, 8)), QUESTION)
    assert reply.settings["dropout"].startswith("attention [2, 5]" if dropout == "stored" else "off")
    model = adapter.model
    embeds, visual = model.assemble([1, PLACEHOLDER, 2], torch.zeros(1, 64, 32), 1)
    state = model.prefill(embeds, visual, adapter.rope, model.config.dropout)
    assert state.cache[-1].get_seq_length() == tokens + 2


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"max_frames": 62}, "multiple of 4 from 64 on"),
        ({"max_new_tokens": 0}, "max_new_tokens must be a whole number from 1 up, got 0"),
        ({"rope": "ntk"}, "rope must be one of faithful, exact"),
        ({"dropout": "card"}, "dropout at layer 18, but there are 8 layers"),
        ({"dropout": "half"}, "dropout must be one of config, off, stored, card, wrapper, code"),
        ({"yarn": 4}, "yarn needs rope=exact"),
        ({"yarn": 0.5, "rope": "exact"}, "yarn must be a factor from 1 up"),
        ({"dtype": "int8"}, "dtype must be auto"),
        ({"max_length": 0}, "max_length must be a whole number"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_in_words(folder, settings, words):
    with pytest.raises(UserError, match=words):
        load(str(folder), **settings)


def test_a_folder_without_tokenizer_is_refused():
    with pytest.raises(UserError, match="holds no tokenizer"):
        load(str(CHECKPOINT))


def test_a_release_with_a_tensor_too_few_is_refused_by_name(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    row = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**row, "num_hidden_layers": 9}))
    with pytest.raises(UserError, match=r"missing model\.layers\.8\.input_layernorm\.weight \[32\]"):
        load(str(copy))


def test_a_tied_head_is_the_embedding(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    row = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**row, "tie_word_embeddings": True}))
    tensors = load_file(copy / "model.safetensors")
    del tensors["lm_head.weight"]
    save_file(tensors, copy / "model.safetensors")
    language = load(str(copy)).model.language
    assert torch.equal(language.lm_head.weight, tensors["model.embed_tokens.weight"])


@pytest.mark.parametrize("execution", ["streamed", "as_released"])
def test_both_ways_to_measure_read_the_same_prompt(execution):
    subject = bench.build("tiny", "cpu")
    stages = subject.run(NoiseVideo(16, subject.side), execution)
    assert stages.tokens == 16 * 16 + 60
    assert set(stages.seconds) == {"encode", "prefill"}


def peak(adapter, frames):
    """Return the peak bytes of tensors from the first frame to the prompt read."""
    model, alive = adapter.model, Alive()
    clips = ClipFeatures(model, None).of(FakeVideo(("h", 0, frames)), range(frames))
    with torch.inference_mode(), alive:
        embeds, visual = model.assemble([1, PLACEHOLDER, 2], (tokens for tokens, _ in clips), frames // 4)
        encoded = alive.peak
        del clips
        model.prefill(embeds, visual, adapter.rope, chunk=128)
    return encoded, alive.peak


def test_a_frame_costs_its_projected_tokens_and_its_share_of_the_cache(adapter, monkeypatch):
    monkeypatch.setattr(attention, "CPU_ROWS", 4)  # a CPU's masks, which a GPU does not make, would add a third
    (encoded, read), (encoded_more, read_more) = peak(adapter, 64), peak(adapter, 192)
    projected = 16 * 32 * 4  # 16 tokens a frame, width 32, fp32
    cached = 16 * 8 * 2 * 2 * 8 * 4  # 8 layers, keys and values, 2 heads of 8
    assert (encoded_more - encoded) / 128 == pytest.approx(projected, rel=0.1)
    assert (read_more - read) / 128 == pytest.approx(projected + cached, rel=0.1)

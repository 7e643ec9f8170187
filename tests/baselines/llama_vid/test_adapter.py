"""LLaMA-VID in the harness: from the command line, with reuse that changes nothing, in memory that does not grow."""

import json
import shutil
import weakref
from pathlib import Path

import pytest
import torch
import yaml
from torch.utils._python_dispatch import TorchDispatchMode

from baselines.llama_vid import inputs
from baselines.llama_vid.adapter import load
from niah.prompt import format_prompt
from niah.types import Question, UserError
from tests.helpers.byte_tokenizer import ids_of
from tests.helpers.commands import run as main
from tests.helpers.fake_video import FakeVideo
from tests.helpers.small_suite import make_suite
from tests.helpers.tiny_llama_vid import VOCABULARY, change, configure, copy

SHARED = Path(__file__).resolve().parents[4] / "shared" / "videos"
QUESTION = Question("What color is the red car?", ("red", "blue", "green", "white"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return copy(tmp_path_factory.mktemp("llama_vid") / "checkpoint")


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suite")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDEONIAH_CACHE", str(folder / "cache"))
        yield make_suite(folder)


def adapter(folder, **settings):
    return load(str(folder), max_new_tokens=3, **settings)


def same(one, other):
    """Everything a record holds but what is measured."""
    fields = ("text", "frames_used", "language_tokens", "settings")
    return all(getattr(one, field) == getattr(other, field) for field in fields)


@pytest.mark.parametrize("query", ["bare", "typed"])
def test_the_qformer_reads_the_question_or_all_that_is_typed(folder, monkeypatch, query):
    model, read = adapter(folder, query=query), []
    words = model.prompts.query_tokenizer
    monkeypatch.setattr(
        model.prompts, "query_tokenizer", lambda texts, device: read.extend(texts) or words(texts, device)
    )
    reply = model.answer(FakeVideo(("h", 0, 4)), QUESTION)
    assert read == [{"bare": QUESTION.text, "typed": format_prompt(QUESTION)}[query]]
    assert reply.settings["query"] == query


def test_a_script_draws_what_the_seed_the_question_and_the_frames_decide(folder):
    def said(seed, *span):
        drawing = load(str(folder), max_new_tokens=8, decoding="script", path="long", seed=seed)
        return drawing.answer(FakeVideo(span), QUESTION)

    first = said(0, "h", 0, 4)
    assert (first.settings["temperature"], first.settings["top_p"], first.settings["top_k"]) == (0.6, 0.9, 50)
    assert said(0, "h", 0, 4).text == first.text
    assert len({said(seed, "h", 0, 4).text for seed in range(6)}) > 1
    assert "temperature" not in adapter(folder).answer(FakeVideo(("h", 0, 4)), QUESTION).settings


def test_words_for_what_is_no_query_or_decoding(folder):
    with pytest.raises(UserError, match="query"):
        adapter(folder, query="whole")
    with pytest.raises(UserError, match="decoding"):
        adapter(folder, decoding="beam")


# ---- from the command line


def run(folder, suite, out, *flags, settings=""):
    given = f"pretrained={folder},max_new_tokens=3{settings}"
    arguments = ["--model", "llama_vid", "--model_args", given, "--suite", str(suite)]
    code = main([*arguments, "--output_path", str(out), "--device", "cpu", *flags])
    return code, [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]


def test_suite_runs_from_the_command_line(folder, suite, tmp_path):
    code, records = run(folder, suite, tmp_path, "--in_process", "--no_figures")
    assert (code, len(records), {record["status"] for record in records}) == (0, 24, {"ok"})
    for record in records:
        _, condition, *rest = record["case"].split(".")
        frames = {"needle_only": 4, "blind": 0, "no_needle": 20}.get(condition, int(rest[0]))
        assert record["frames_used"] == frames
    assert sum(record["measured"]["reused_frames"] for record in records) > 0


@pytest.mark.slow
def test_suite_runs_in_a_worker_and_draws_with_the_long_video_config(folder, suite, tmp_path):
    settings = ",config=config_long_video.json,rope=exact"
    code, records = run(folder, suite, tmp_path, "--conditions", "full", "--limit", "1", settings=settings)
    assert (code, len(records), {record["status"] for record in records}) == (0, 1, {"ok"})
    assert {(record["settings"]["path"], record["settings"]["rope"]) for record in records} == {("long", "exact")}
    assert (tmp_path / "heatmap.png").stat().st_size > 0


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/videos is not here")
def test_real_footage_is_answered_from_the_command_line(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "hay").mkdir()
    shutil.copy(SHARED / "haystacks" / "office_three.mp4", tmp_path / "hay")
    (tmp_path / "needles.jsonl").write_text((SHARED / "needles.jsonl").read_text().splitlines()[0] + "\n")
    real = {
        "name": "real", "lengths": [20, 30], "depths": [0.5], "sampling": {"rate": 1, "width": 64, "height": 64},
        "haystacks": {"folder": "hay"}, "needles": {"file": "needles.jsonl", "media_root": str(SHARED)},
        "conditions": ["full", "needle_only", "no_needle", "blind"],
    }  # fmt: skip
    (tmp_path / "real.yaml").write_text(yaml.safe_dump(real))
    code, records = run(folder, tmp_path / "real.yaml", tmp_path / "out", "--in_process", "--no_figures")
    assert code == 0 and {record["status"] for record in records} == {"ok"}
    used = {record["frames_used"] for record in records if ".full." in record["case"]}
    assert used == {20, 30}


# ---- what is shown and told


def test_language_model_is_told_the_whole_prompt_with_two_tokens_a_frame(folder):
    reply = adapter(folder).answer(FakeVideo(("h", 0, 7)), QUESTION)
    text = inputs.short_prompt(format_prompt(QUESTION))
    assert reply.language_tokens == len(ids_of(text.before + text.after, VOCABULARY)) + 2 * 7
    assert reply.frames_used == tuple(range(7)) and reply.mode == "generated"
    assert (reply.frame_size, reply.frame_times) == ((56, 56), False)


def test_native_rate_is_thinned_to_one_frame_a_second(folder):
    video = FakeVideo(("h", 0, 100), fps=25.0)
    assert adapter(folder).answer(video, QUESTION).frames_used == (0, 25, 50, 75)
    assert video.decoded == 4


def test_blind_case_is_asked_without_a_video(folder):
    reply = adapter(folder).answer(FakeVideo(), QUESTION)
    assert (reply.frames_used, reply.frame_size, reply.frame_times) == ((), None, None)
    assert reply.language_tokens == len(ids_of(inputs.blind_prompt(format_prompt(QUESTION)).before, VOCABULARY))


def test_long_video_config_takes_the_movie_prompt_and_path_sets_it_apart(folder):
    by_config = adapter(folder, config="config_long_video.json").answer(FakeVideo(("h", 0, 2)), QUESTION)
    text = inputs.long_prompt(format_prompt(QUESTION))
    assert by_config.language_tokens == len(ids_of(text.before + text.after, VOCABULARY)) + 2 * 2
    assert by_config.settings == {"path": "long", "rope": "faithful", "query": "bare"}
    by_path = adapter(folder, path="long").answer(FakeVideo(("h", 0, 2)), QUESTION)
    assert by_path.language_tokens == by_config.language_tokens


def test_reply_ends_at_the_end_token(folder, tmp_path):
    def always_end(state):
        state["lm_head.weight"].zero_()
        state["lm_head.weight"][2] = state["model.norm.weight"] * 0  # all logits are equal: the first, id 0, wins

    zero = change(copy(tmp_path / "zero"), always_end)
    endless = adapter(zero).answer(FakeVideo(("h", 0, 2)), QUESTION)
    assert endless.text != "" and endless.finish_reason == "length"
    ended = adapter(configure(zero, eos_token_id=0)).answer(FakeVideo(("h", 0, 2)), QUESTION)
    assert ended.text == "" and ended.finish_reason == "stop"


SETTINGS = [
    ({"path": "middle"}, "path must be short or long, got 'middle'"),
    ({"rope": "yarn"}, "rope must be one of faithful, exact"),
    ({"dtype": "int4"}, "dtype must be auto"),
    ({"max_new_tokens": 0}, "max_new_tokens must be a whole number from 1 up, got 0"),
    ({"config": "nowhere.json"}, "holds no nowhere.json"),
]


@pytest.mark.parametrize("settings, words", SETTINGS)
def test_setting_that_cannot_be_is_refused(folder, settings, words):
    with pytest.raises(UserError, match=words):
        load(str(folder), **settings)


def test_checkpoint_without_a_tokenizer_is_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "bare")
    (tmp_path / "bare" / "tokenizer.json").unlink()
    with pytest.raises(UserError, match="holds no tokenizer"):
        load(str(tmp_path / "bare"))


# ---- reuse


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_reused_and_fresh_features_give_equal_replies(folder, dtype):
    spliced = (("h", 0, 40), ("n", 5, 20), ("h", 40, 90))
    warm = adapter(folder, dtype=dtype)
    warm.answer(FakeVideo(("h", 0, 100)), QUESTION)
    video = FakeVideo(*spliced)
    reused = warm.answer(video, QUESTION)
    assert (video.decoded, reused.reused_frames) == (15, 90)  # the needle's frames alone are decoded
    cold = adapter(folder, dtype=dtype, store_gib=0.0, store_disk_gib=0.0)
    cold.tokenizer = warm.tokenizer  # ids modulo 120 stand for several bytes each, and every copy decodes another
    fresh = cold.answer(FakeVideo(*spliced), QUESTION)
    assert fresh.reused_frames == 0 and same(reused, fresh)


def tokens_of(made, video):
    """Return the video's tokens as the language model gets them."""
    shown = list(range(len(video)))
    return made.features.tokens(video, shown, made.prompts.query_tokenizer([QUESTION.text]), class_row=True)[0]


def test_reused_features_give_tokens_of_equal_bits(folder):
    warm = adapter(folder)
    tokens_of(warm, FakeVideo(("h", 0, 70)))
    spliced = (("h", 0, 33), ("n", 0, 9), ("h", 33, 60))
    reused, fresh = (tokens_of(made, FakeVideo(*spliced)) for made in (warm, adapter(folder)))
    assert torch.equal(reused, fresh)


def test_features_serve_another_question_and_its_tokens_differ(folder):
    made = adapter(folder)
    made.answer(FakeVideo(("h", 0, 20)), QUESTION)
    video = FakeVideo(("h", 0, 20))
    other = Question("How many people walk?", ("1", "2"))
    assert made.answer(video, other).reused_frames == 20
    assert video.decoded == 0


# ---- memory


class Ledger(TorchDispatchMode):
    """Counts the bytes of tensors that are alive, and the most there ever were."""

    def __init__(self):
        super().__init__()
        self.alive, self.most = {}, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, (tuple, list)) else [made]:
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        self.most = max(self.most, sum(self.alive.values()))
        return made

    def _count(self, storage):
        key = storage._cdata
        if key not in self.alive:
            self.alive[key] = storage.nbytes()
            weakref.finalize(storage, self.alive.pop, key, None)


def peak(made, frames):
    ledger, video = Ledger(), FakeVideo(("h", 0, frames))
    with ledger:
        tokens_of(made, video)
    assert video.most == 32  # frames decoded at a time
    return ledger.most


def test_frame_leaves_nothing_but_its_two_tokens(folder):
    made = adapter(folder, store_gib=0.0, store_disk_gib=0.0)
    short, long = peak(made, 64), peak(made, 320)
    a_frame = 2 * 32 * 4  # two tokens of 32 channels
    assert (long - short) / (320 - 64) <= 2 * a_frame + 64  # twice, while chunks are joined, and bookkeeping
    assert short > 32 * 3 * 56 * 56 * 4  # the ledger sees the pixels of a batch

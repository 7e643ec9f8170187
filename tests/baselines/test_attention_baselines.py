"""What released rivals tell of their attention is what their own forward pass computes, on the tiny checkpoints."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from baselines.llama_vid import adapter as llama_vid
from baselines.video_xl import adapter as video_xl
from baselines.videochat_flash import adapter as videochat_flash
from niah.run.attention import SupportsAttention
from niah.types import Question, UserError
from tests.helpers import byte_tokenizer
from tests.helpers.commands import attention as main
from tests.helpers.fake_video import FakeVideo
from tests.helpers.small_suite import make_suite

REFERENCE = Path(__file__).resolve().parents[1] / "reference"
ADAPTERS = {"llama_vid": llama_vid, "video_xl": video_xl, "videochat_flash": videochat_flash}
CHECKPOINTS = {  # and the rows of their embeddings
    "llama_vid": ("tiny_checkpoint", 120), "video_xl": ("checkpoint", 256), "videochat_flash": ("tiny_checkpoint", 130),
}  # fmt: skip

QUESTION = Question("What color is the red car?", ("red", "blue", "green", "white"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The tiny checkpoints with tokenizers."""
    made = {}
    for name, (folder, rows) in CHECKPOINTS.items():
        made[name] = shutil.copytree(REFERENCE / name / folder, tmp_path_factory.mktemp(name) / "checkpoint")
        byte_tokenizer.write(made[name], rows)
    return made


def load(folders, name, **settings):
    return ADAPTERS[name].load(str(folders[name]), max_new_tokens=1, **settings)


def mixed(model, run):
    """Return what each layer mixed while `run` ran, as its output projection got it, (tokens, heads x size)."""
    heard = [[] for _ in model.language.layers]
    hooks = [
        layer.self_attn.o_proj.register_forward_pre_hook(lambda _, given, kept=kept: kept.append(given[0]))
        for layer, kept in zip(model.language.layers, heard, strict=True)
    ]
    run()
    for hook in hooks:
        hook.remove()
    return [torch.cat(parts) for parts in heard]


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_blind_question_has_nothing_to_look_at(folders, name):
    adapter = load(folders, name)
    assert isinstance(adapter, SupportsAttention)
    with pytest.raises(UserError, match="ask about a video"):
        adapter.attentions(FakeVideo(), QUESTION)


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suite")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDEONIAH_CACHE", str(folder / "cache"))
        yield make_suite(folder / "small")


@pytest.mark.parametrize("name", ADAPTERS)
def test_the_command_measures_it(folders, suite, tmp_path, name):
    asked = ["--suite", str(suite), "--conditions", "full", "--lengths", "20", "--limit", "1", "--device", "cpu"]
    given = ["--model", name, "--model_args", f"pretrained={folders[name]}", "--output_path", str(tmp_path)]
    assert main([*asked, *given]) == 0
    rows = pd.read_csv(tmp_path / "frames.csv")
    assert rows["share"].sum() == pytest.approx(1, abs=1e-4) and set(rows["needle"]) == {0, 1}
    assert not (tmp_path / "patches.csv").exists()


def test_llama_vid_s_rows_are_those_of_an_eager_forward_pass_and_answers_between_do_not_matter(folders):
    adapter = load(folders, "llama_vid")
    video = FakeVideo(("h", 0, 9))
    asked = adapter.prompts.embed(video, QUESTION)
    language = adapter.model.language
    rotary = adapter.model.rotary
    rotary.positions, rotary.stored = len(asked.embeds), 2 * rotary.exact  # which longer inputs take
    told = adapter.attentions(video, QUESTION)
    adapter.answer(FakeVideo(("h", 0, 90)), QUESTION)
    rows = list(told.layers)
    language.set_attn_implementation("eager")
    adapter.model.rotary.expect(len(asked.embeds))
    with torch.no_grad():
        whole = language(inputs_embeds=asked.embeds[None], output_attentions=True).attentions
    assert len(rows) == len(whole)
    for found, wanted in zip(rows, whole, strict=True):
        first = asked.first
        torch.testing.assert_close(torch.from_numpy(found), wanted[0, :, first + 18 :, first : first + 18])


def test_llama_vid_s_two_tokens_stand_for_their_frame(folders):
    adapter = load(folders, "llama_vid")
    told = adapter.attentions(FakeVideo(("h", 0, 100), fps=25.0), QUESTION)
    assert told.frames.tolist() == [0, 0, 25, 25, 50, 50, 75, 75]
    assert set(told.patches.tolist()) == {-1}
    assert told.features.shape == (8, adapter.model.config.language.width)
    assert np.abs(told.features).sum() > 0


@pytest.mark.parametrize("ratio", [2, 5])  # 5 does not divide a window of 64
@torch.no_grad()
def test_video_xl_s_shares_times_the_cache_s_values_are_what_its_layers_mix(folders, ratio):
    adapter, video = load(folders, "video_xl", ratio=ratio, store_gib=0, store_disk_gib=0), FakeVideo(("h", 0, 40))
    told = adapter.attentions(video, QUESTION)
    reading, again = (adapter._prepare(video, QUESTION) for _ in range(2))
    wanted = mixed(adapter.model, reading.prefill)
    again.read_video()
    suffix, first = torch.tensor(again.prompt.suffix), len(again.prompt.prefix)
    assert len(suffix) > adapter.model.settings.window  # so the forward pass takes several steps
    rows = list(adapter.model.language.attention(suffix, again.cache))
    values = reading.cache.read(0, reading.cache.length)[1]  # (layers, key heads, tokens, size)
    for layer, (row, found) in enumerate(zip(rows, told.layers, strict=True)):
        heads = row @ values[layer].repeat_interleave(len(row) // values.shape[1], 0)
        torch.testing.assert_close(heads.transpose(0, 1).flatten(1), wanted[layer][-len(suffix) :])
        torch.testing.assert_close(torch.from_numpy(found), row[:, :, first : first + len(told.frames)])


def test_a_summary_token_is_counted_to_the_frame_it_closes(folders):
    told = load(folders, "video_xl", ratio=2).attentions(FakeVideo(("h", 0, 20)), QUESTION)
    assert told.frames.tolist() == [n for n in range(20) for _ in range(2)]  # 4 tokens a frame
    sparse = load(folders, "video_xl", ratio=8).attentions(FakeVideo(("h", 0, 20)), QUESTION)
    assert sparse.frames.tolist() == list(range(1, 20, 2))
    assert set(told.patches.tolist()) == {-1} and len(told.features) == 40


def test_video_xl_tells_the_same_of_windows_it_had_kept(folders):
    adapter = load(folders, "video_xl", ratio=2)
    fresh, kept = (adapter.attentions(FakeVideo(("h", 0, 40)), QUESTION) for _ in range(2))
    assert np.array_equal(fresh.features, kept.features)
    assert all(np.array_equal(*pair) for pair in zip(fresh.layers, kept.layers, strict=True))


@pytest.fixture(scope="module")
def dropping(folders, tmp_path_factory):
    """A VideoChat-Flash whose layers from 2 on see half of the visual tokens, and from 5 on three of eight."""
    folder = shutil.copytree(folders["videochat_flash"], tmp_path_factory.mktemp("dropping") / "checkpoint")
    row = json.loads((folder / "config.json").read_text())
    stops = {"llm_compress_layer_list": [2, 5], "llm_image_token_ratio_list": [1, 0.5, 0.375]}
    (folder / "config.json").write_text(json.dumps({**row, **stops}))
    return folder


@pytest.mark.parametrize("dropout", ["off", "stored"])
@torch.no_grad()
def test_videochat_flash_s_shares_times_the_cache_s_values_are_what_its_layers_mix(dropping, dropout):
    adapter, video = videochat_flash.load(str(dropping), dropout=dropout, max_new_tokens=1), FakeVideo(("h", 0, 16))
    model, told, states = adapter.model, adapter.attentions(video, QUESTION), []
    asked = adapter.prompts.embed(video, QUESTION)
    words = asked.embeds[asked.visual.stop :].clone()

    def read():
        states.append(model.prefill(asked.embeds, asked.visual, adapter.rope, model.config.dropout))

    wanted, (state,) = mixed(model, read), states
    rows = list(model.language.attention(words, state, adapter.rope))
    kept = {layer: [torch.arange(256), *state.kept][(layer >= 2) + (layer >= 5) if state.kept else 0]
            for layer in range(len(rows))}  # fmt: skip
    for layer, (row, found) in enumerate(zip(rows, map(torch.from_numpy, told.layers), strict=True)):
        values = state.cache[layer].values[0]
        heads = row @ values.repeat_interleave(len(row) // len(values), 0)
        torch.testing.assert_close(heads.transpose(0, 1).flatten(1), wanted[layer][-len(words) :])
        first = asked.visual.start
        torch.testing.assert_close(found[:, :, kept[layer]], row[:, :, first : first + len(kept[layer])])
        gone = sorted(set(range(256)) - set(kept[layer].tolist()))
        assert len(gone) == (0 if dropout == "off" or layer < 2 else 128 if layer < 5 else 160)
        assert found[:, :, gone].abs().sum() == 0 and found[:, :, kept[layer]].min() > 0


def test_a_merged_token_is_counted_to_the_first_frame_of_its_clip(folders):
    told = load(folders, "videochat_flash").attentions(FakeVideo(("h", 0, 16)), QUESTION)
    assert told.frames.tolist() == [n for n in (0, 4, 8, 12) for _ in range(64)]
    assert set(told.patches.tolist()) == {-1} and len(told.features) == 256

"""Compressors with a budget of tokens a frame, by numbers one can check by hand."""

from functools import cache
from pathlib import Path

import pytest
import torch

from niah.adapters.compressor import (
    EMBEDDING,
    Choice,
    Compressor,
    Connectors,
    InLanguage,
    Sequences,
    TokenChunk,
    frame_chunks,
)
from niah.settings import read_yaml
from niah.types import UserError
from vilamp import checkpoint, config
from vilamp.compressors.budget import averaging, deviation, morton, tokens_of
from vilamp.compressors.learned import ContextAndContent
from vilamp.compressors.merging import merge_neighbours, merge_similar
from vilamp.compressors.pooled import Mean, MergedOnly
from vilamp.compressors.registry import NAMES
from vilamp.compressors.selected import Reduce, Retrieve
from vilamp.compressors.summary import interleaved, pooled
from vilamp.model import Vilamp
from vilamp.train.config import TrainingConfig
from vilamp.train.training import copy_encoders
from vilamp.vocabulary import Vocabulary

ROOT = Path(__file__).resolve().parents[3]

SIZES = config.VilampConfig(
    clip=config.Clip(embed_dim=24, vision_layers=1, vision_width=24, text_layers=1, text_width=24, head_width=12),
    vision=config.Vision(hidden_size=24, intermediate_size=24, layers=1, heads=2),
    language=config.Language(hidden_size=16, intermediate_size=16, layers=2, heads=2, key_value_heads=1),
    extras=config.Extras(patch_positions=True),
)
QUERY = torch.nn.functional.normalize(torch.arange(24.0), dim=0)


@cache
def made(name, budget=2.0, words=("red",)):
    """A tiny model with weights that follow from the compressor's name alone."""
    torch.manual_seed(0)
    settings = config.dataclasses.replace(SIZES, compression=config.Compression(name, budget))
    return Vilamp(settings, Vocabulary(words)).eval()


def watched(model, frames, chunk):
    """Choice, and all tokens as one run, of frames that look like noise."""
    generator = torch.Generator().manual_seed(frames)
    patches = torch.randn(frames, 64, 24, generator=generator)
    compressor = model.compressor
    looks = torch.nn.functional.normalize(patches.mean(1), dim=-1)
    choice = compressor.choose(looks if EMBEDDING in compressor.needs else looks[:, :0], QUERY)
    parts = list(model.tokens(compressor, choice, QUERY, patches[list(choice.seen)].split(chunk)))
    stays = [one for part in parts for one in part.stays] if parts[0].stays else None
    frames = [n for part in parts for n in part.frames]
    return choice, TokenChunk(frames, torch.cat([part.embeddings for part in parts]), stays)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_compressor_and_says_name_and_budget(name):
    compressor = made(name).compressor
    assert isinstance(compressor, Compressor)
    budget = "frames" if name == "pooled_frames" else "budget"
    assert (compressor.settings()["compressor"], compressor.settings()[budget]) == (name, 2.0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("frames", [1, 7, 40])
@torch.no_grad()
def test_as_many_tokens_come_as_were_announced_however_the_frames_are_cut(name, frames):
    model = made(name)
    choice, whole = watched(model, frames, frames)
    _, parts = watched(model, frames, 3)
    stay = len(whole.embeddings) if whole.stays is None else sum(whole.stays)
    assert stay == model.compressor.tokens(choice, 64)
    assert (whole.frames, whole.stays) == (parts.frames, parts.stays)
    assert torch.allclose(whole.embeddings, parts.embeddings, atol=1e-5)


# frames N, budget B: K of ViLaMP = round((B - 1) N / 63), of whole frames round(B N / 64), by hand
MATCHED = [
    (256, 1.25, {"differential": 319, "keyframes": 320, "uniform": 320, "mean": 320, "summary": 320, "streaming": 320}),
    (256, 2.0, {"differential": 508, "keyframes": 512, "uniform": 512, "mean": 512, "summary": 512, "streaming": 512}),
    (
        256,
        4.0,
        {"differential": 1012, "keyframes": 1024, "uniform": 1024, "mean": 1024, "summary": 1024, "streaming": 1024},
    ),
    (256, 0.25, {"keyframes": 64, "uniform": 64, "mean": 64, "summary": 64, "streaming": 64}),
    (64, 2.0, {"differential": 127, "keyframes": 128, "uniform": 128, "mean": 128, "summary": 128, "streaming": 128}),
]


@pytest.mark.parametrize("frames, budget, tokens", MATCHED)
def test_tokens_of_every_compressor_come_within_5_percent_of_the_budget(frames, budget, tokens):
    for name, count in tokens.items():
        expected = count / (budget * frames) - 1
        assert abs(expected) <= 0.05
        assert deviation(made(name, budget).compressor, budget, frames, 24, 64) == pytest.approx(expected)


def test_a_length_at_which_whole_frames_miss_the_budget_shows():
    # 128 frames at 1.25: round(2.5) = 2 whole frames are 128 tokens of 160
    assert deviation(made("uniform", 1.25).compressor, 1.25, 128, 24, 64) == pytest.approx(-0.2)


def test_tokens_a_frame_come_to_the_budget():
    assert tokens_of(1.25, torch.arange(8)).tolist() == [1, 1, 1, 2, 1, 1, 1, 2]
    assert tokens_of(2.0, torch.arange(3)).tolist() == [2, 2, 2]
    assert tokens_of(0.25, torch.arange(8)).tolist() == [0, 0, 0, 1, 0, 0, 0, 1]


def test_patches_in_morton_order_go_square_by_square():
    assert morton(4) == [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]


def test_two_means_are_of_the_upper_and_the_lower_half():
    halves = averaging(2, 16) @ torch.arange(16.0)[:, None]
    assert halves[:, 0].tolist() == [3.5, 11.5]


def test_mean_pooling_keeps_the_order_of_frames_that_have_one_token_or_two():
    marked = Connectors(keyframe=torch.neg, merged=lambda tokens: 100 * tokens)
    patches = torch.tensor([[[n], [n], [n + 1], [n + 1]] for n in range(4)], dtype=torch.float32)  # 2 x 2 patches
    run = next(iter(Mean(1.25).compress(Choice(range(4), ()), QUERY[:1], frame_chunks(range(4), [patches]), marked)))
    assert run.frames == [0, 1, 2, 3, 3]
    assert run.embeddings[:, 0].tolist() == [50, 150, 250, 300, 400]


def test_tokens_most_alike_are_merged_and_keep_their_order():
    tokens = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 3.0], [-1.0, 0.5]])
    merged, first = merge_similar(torch.stack([tokens, tokens[[2, 3, 0, 1]]]), 3)
    assert first.tolist() == [[0, 1, 3], [0, 1, 2]]  # tokens 0 and 2 may join 1 and 3, and one does: 2, then 0
    assert merged[0].tolist() == [[1.0, 0.0], [0.0, 2.0], [-1.0, 0.5]]
    assert merged[1].tolist() == [[0.0, 2.0], [-1.0, 0.5], [1.0, 0.0]]


def test_merging_down_to_one_token_is_the_mean():
    tokens = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [5.0, 9.0]]])
    merged, first = merge_similar(tokens, 1)
    assert first.tolist() == [[0]]
    assert merged[0, 0].tolist() == pytest.approx([3.0, 5.0])


def test_neighbours_most_alike_share_a_slot():
    frames = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]], [[0.0, 2.0]], [[1.0, 0.0]]])
    slots, first = merge_neighbours(list(frames), 3)
    assert first == [0, 1, 3]
    assert slots[:, 0].tolist() == [[1.0, 0.0], [0.0, 1.5], [1.0, 0.0]]


def test_the_clip_with_the_likeliest_frame_is_read():
    frames = torch.zeros(48, 2)
    frames[20, 0] = 1.0  # in the second clip of 16
    choice = Retrieve(budget=4.0).choose(frames, torch.tensor([1.0, 0.0]))  # 4 x 48 tokens: 12 frames of 16
    assert list(choice.seen) == list(range(16, 28))


def test_frames_that_differ_are_thin_and_the_likeliest_whole():
    frames = torch.tensor([[1.0, 0.0]] * 60 + [[0.0, 1.0]] * 4)  # something changes at frame 60
    choice = Reduce(budget=2.0, patches=64).choose(frames, torch.tensor([0.0, 1.0]))
    assert choice.kept == [60]  # 128 tokens, half of them for one whole frame; of equals the earlier
    assert {0} <= set(choice.seen) and len(choice.seen) == 1 + 16


def test_merged_tokens_are_of_the_patches_most_like_the_question():
    patches = torch.zeros(1, 16, 2)
    patches[..., 0] = 1.0
    patches[0, 3] = torch.tensor([0.0, 5.0])  # in the upper half
    made = MergedOnly(2.0, temperature=0.01).pool(patches, patches, torch.tensor([0.0, 1.0]), 2)
    assert torch.allclose(made[0], torch.tensor([[0.0, 5.0], [1.0, 0.0]]))


def test_llama_vid_has_two_tokens_and_no_other_budget():
    with pytest.raises(UserError, match="2 tokens a frame.*got a budget of 4"):
        ContextAndContent(4.0, 24)


def test_summary_tokens_stand_behind_equal_runs_of_pooled_patches():
    assert interleaved(4, 2) == [0, 1, -1, 2, 3, -1]
    assert interleaved(4, 1) == [0, 1, 2, 3, -1]
    assert interleaved(2, 0) == [0, 1]


def test_pooled_patches_are_means_of_two_by_two():
    reading = torch.arange(16.0).reshape(1, 16, 1)  # rows 0-3, 4-7, ...: the first square is 0, 1, 4, 5
    assert pooled(reading)[0, :, 0].tolist() == [2.5, 4.5, 10.5, 12.5]


@pytest.mark.parametrize("budget", [0.25, 1.25, 2.0, 4.0])
@torch.no_grad()
def test_windows_read_one_after_another_and_all_at_once_name_the_same_words(budget):
    model = made("summary", budget)
    compressor = model.compressor
    assert isinstance(compressor, InLanguage)
    prompt = [256 + 2, 65, 66, 67]
    for frames in (69, 21, 1, 8):  # nine windows, of which four are read at a time; windows of 8, 8 and 5 frames
        choice, run = watched(model, frames, frames)
        cache = compressor.read(model.language, [run], compressor.tokens(choice, 64) + 10)
        assert cache.get_seq_length() == compressor.tokens(choice, 64)
        _, first = model.prefill(model.embed(prompt), cache)
        places = torch.arange(compressor.tokens(choice, 64) + 1)
        text = model.embed(prompt)
        other = watched(model, 13, 13)[1]  # beside it in the batch, and none of its business
        others = torch.arange(sum(other.stays) + 1)
        texts = [[text[:2]], [text[1:], text]]
        batch = Sequences([other, run], texts, [others, places], [torch.tensor([1]), places[:0]])
        states = compressor.states(model.language, batch)
        assert torch.allclose(model.name(states.texts[1][1][-1:]).log_softmax(-1)[0], first, atol=1e-4)


@torch.no_grad()
def test_patches_of_an_earlier_window_reach_the_question_through_summary_tokens_alone():
    model = made("summary")
    compressor, text = model.compressor, model.embed([65, 66])
    choice, run = watched(model, 16, 16)
    places = torch.arange(compressor.tokens(choice, 64) + 1)
    first = [number for number, frame in enumerate(run.frames) if frame < 8]
    changed = run.embeddings.clone()
    changed[first] += 1.0
    last_raw = max(number for number in first if not run.stays[number])
    behind = run.embeddings.clone()
    behind[last_raw] += 1.0  # only the window's last summary token comes behind it
    no_summary = [stays and number < last_raw or stays and frame >= 8
                  for number, (stays, frame) in enumerate(zip(run.stays, run.frames, strict=True))]  # fmt: skip

    def answer(embeddings, stays):
        made = Sequences(
            [TokenChunk(run.frames, embeddings, stays)], [[text]], [places[: sum(stays) + 1]], [places[:0]]
        )
        return compressor.states(model.language, made).texts[0][0]

    assert not torch.allclose(answer(run.embeddings, run.stays), answer(changed, run.stays))
    assert torch.allclose(answer(run.embeddings, no_summary), answer(behind, no_summary), atol=1e-6)


def test_gradients_flow_back_into_every_window():
    model = made("summary")
    choice, run = watched(model, 24, 24)
    inputs = run.embeddings.detach().requires_grad_()
    places = torch.arange(model.compressor.tokens(choice, 64) + 1)
    batch = Sequences([TokenChunk(run.frames, inputs, run.stays)], [[model.embed([65, 66])]], [places], [places[:0]])
    model.compressor.states(model.language, batch).texts[0][0][-1].sum().backward()
    windows = torch.tensor(run.frames) // 8
    assert all(inputs.grad[windows == window].abs().sum() > 0 for window in range(3))


def test_a_checkpoint_says_which_compressor_it_was_trained_with(tmp_path):
    checkpoint.save(made("summary", 1.25), tmp_path)
    model, _ = checkpoint.load(tmp_path)
    assert model.compressor.settings()["budget"] == 1.25
    assert "scheme: summary" in (tmp_path / "config.yaml").read_text()
    with pytest.raises(UserError, match="follow from its budget of 1.25"):
        checkpoint.load(tmp_path, keyframes=3)


def test_a_checkpoint_without_a_compressor_is_written_as_before_there_were_any(tmp_path):
    checkpoint.save(Vilamp(SIZES, Vocabulary(("red",))), tmp_path)
    assert "compression" not in (tmp_path / "config.yaml").read_text()


def test_an_unknown_compressor_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match="no compressor is called 'meen'. Did you mean 'mean'"):
        made("meen")


def test_encoders_are_taken_by_a_model_with_more_words(tmp_path):
    first = Vilamp(SIZES, Vocabulary(("red", "blue")))
    checkpoint.save(first, tmp_path)
    more = Vilamp(SIZES, Vocabulary(("red", "blue", "blood", "snow")))
    copy_encoders(more, str(tmp_path))
    for text in ("red", "blue", "?", "red blue red"):
        assert torch.allclose(more.encode_query(text), first.encode_query(text), atol=1e-6)
    again = Vilamp(SIZES, Vocabulary(("red", "blue", "snow")))
    copy_encoders(again, str(tmp_path))
    assert torch.equal(again.encode_query("snow"), more.encode_query("snow"))


def test_encoders_of_other_words_are_refused(tmp_path):
    checkpoint.save(Vilamp(SIZES, Vocabulary(("red", "blue"))), tmp_path)
    with pytest.raises(UserError, match="trained with other words"):
        copy_encoders(Vilamp(SIZES, Vocabulary(("blue", "red"))), str(tmp_path))


def test_a_training_without_a_compressor_has_the_fingerprint_it_had_before_there_were_any():
    run = read_yaml(TrainingConfig, ROOT / "configs" / "train" / "micro.yaml")
    assert "compression" not in config.written(run)["model"]
    assert set(config.written(run)) == {field.name for field in config.dataclasses.fields(TrainingConfig)}
    other = config.dataclasses.replace(SIZES, compression=config.Compression("mean", 2.0))
    assert config.written(other)["compression"] == {"scheme": "mean", "budget": 2.0}

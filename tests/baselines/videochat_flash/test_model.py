"""VideoChat-Flash's pure parts: merging, dropping, positions, reading a prompt in chunks."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from baselines.videochat_flash.compress import (
    by_attention,
    kept_counts,
    layer_stretches,
    merge_clips,
    merge_counts,
    merge_once,
    merge_steps,
    uniform_kept,
)
from baselines.videochat_flash.config import DROPOUTS, RELEASED, TokenDropout, read
from baselines.videochat_flash.inputs import sample_frames
from baselines.videochat_flash.language import RopeTable, faithful_rows, qwen_config
from baselines.videochat_flash.model import load
from niah.types import UserError

CHECKPOINT = Path(__file__).resolve().parents[2] / "reference" / "videochat_flash" / "tiny_checkpoint"
ROW = json.loads((CHECKPOINT / "config.json").read_text())
DROP = TokenDropout("uniform0_attention", (2, 5), (1, 0.75, 0.25))


@pytest.fixture(scope="module")
def tiny():
    return load(CHECKPOINT, read(ROW))


def prompt(tokens=90, width=32, seed=0):
    return torch.randn(tokens, width, generator=torch.Generator().manual_seed(seed))


def rope_of(mode, **changes):
    language = dataclasses.replace(read(RELEASED).language, **changes)
    return RopeTable(mode, language, qwen_config(language), torch.device("cpu"))


def slow_merge(tokens, sizes, count, heads):
    """One merge of one clip, written out token by token."""
    means = [token.reshape(heads, -1).mean(0) for token in tokens]
    means = [mean / mean.norm() for mean in means]
    even, odd = range(0, len(tokens), 2), range(1, len(tokens), 2)
    choices = {a: max(odd, key=lambda b: float(means[a] @ means[b])) for a in even}
    ranked = sorted(even, key=lambda a: -float(means[a] @ means[choices[a]]))
    sums, total = [size * token for size, token in zip(sizes, tokens, strict=True)], list(sizes)
    for a in ranked[:count]:
        sums[choices[a]] = sums[choices[a]] + sizes[a] * tokens[a]
        total[choices[a]] += sizes[a]
    order = [*ranked[count:], *odd]
    return torch.stack([sums[n] / total[n] for n in order]), [total[n] for n in order]


@pytest.mark.parametrize(
    "tokens, target, expected",
    [(784, 64, [392, 196, 98, 34]), (3136, 64, [1568, 784, 392, 196, 98, 34]), (196, 64, [98, 34]), (36, 64, [])],
)
def test_merges_remove_at_most_half(tokens, target, expected):
    assert merge_counts(tokens, target) == expected


def test_the_surest_even_token_joins_its_odd_one():
    tokens = torch.tensor([[[1.0, 0.0], [2.0, 0.0], [1.0, 1.0], [0.0, 4.0]]])  # 0 points as 1 does; 2 is between
    merge = merge_once(tokens, torch.tensor([[3.0, 1.0, 1.0, 1.0]]), 1, heads=1)
    assert merge.tokens.tolist() == [[[1.0, 1.0], [1.25, 0.0], [0.0, 4.0]]]  # (3 * 1 + 1 * 2) / 4
    assert merge.sizes.tolist() == [[1.0, 4.0, 1.0]]
    assert merge.order[0, 0] == 0 and merge.destination[0, 0] == 0


def test_merging_equals_the_loop_over_tokens():
    tokens = torch.randn(2, 50, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    steps = merge_steps(tokens, 9, heads=3)
    for clip in range(2):
        kept, sizes = tokens[clip], [1.0] * 50
        for step, count in zip(steps, (25, 12, 4), strict=True):
            kept, sizes = slow_merge(kept, sizes, count, 3)
            torch.testing.assert_close(step.tokens[clip], kept)
            assert step.sizes[clip].tolist() == sizes


def test_nothing_is_lost_by_merging():
    tokens = torch.randn(1, 144, 8)
    last = merge_steps(tokens, 64, heads=2)[-1]
    assert last.sizes.sum() == 144
    torch.testing.assert_close((last.tokens * last.sizes[..., None]).sum(1), tokens.sum(1), rtol=1e-4, atol=1e-4)


def test_fewer_tokens_than_the_target_stay():
    tokens = torch.randn(1, 36, 8)
    assert merge_clips(tokens, 64, heads=2) is tokens


def test_ratios_are_of_the_original_number():
    assert kept_counts(DROPOUTS["code"], 192) == [192, 96, 48, 24]
    assert kept_counts(TokenDropout("uniform", (1, 3), (1, 0.6, 0.3)), 192) == [192, 115, 57]
    assert layer_stretches(DROPOUTS["card"], 28) == [range(0, 4), range(4, 18), range(18, 28)]


@pytest.mark.parametrize(
    "kind, expected",
    [
        ("attention", [True, True, True]),
        ("uniform", [False, False, False]),
        ("uniform0_attention", [False, True, True]),
        ("uniform1_attention", [False, False, True]),
    ],
)
def test_a_type_says_which_stops_look_at_attention(kind, expected):
    dropout = TokenDropout(kind, (1, 2, 3), (1, 0.5, 0.25, 0.1))
    assert [by_attention(dropout, stop) for stop in range(3)] == expected


def test_uniform_places_are_spread_from_first_to_last():
    assert uniform_kept(10, 4).tolist() == [0, 3, 6, 9]
    assert uniform_kept(5, 1).tolist() == [0]
    assert uniform_kept(5, 0).tolist() == []


@pytest.mark.parametrize("dropout", [None, DROP], ids=["full", "dropped"])
@pytest.mark.parametrize("mode", ["faithful", "exact"])
def test_chunks_change_nothing(tiny, dropout, mode):
    rope, visual = tiny.rope(mode), range(9, 73)
    whole = tiny.prefill(prompt(), visual, rope, dropout, rows=5)
    parts = tiny.prefill(prompt(), visual, rope, dropout, rows=5, chunk=7)
    torch.testing.assert_close(parts.hidden, whole.hidden, rtol=1e-4, atol=1e-4)
    assert [kept.tolist() for kept in parts.kept] == [kept.tolist() for kept in whole.kept]


def test_a_token_decoded_is_as_one_read(tiny):
    """Positions behind a dropped prompt go on where its shortened sequence ends."""
    rope, embeds = tiny.rope("faithful"), prompt(60)
    state = tiny.prefill(embeds.clone(), range(4, 50), rope, TokenDropout("uniform", (3,), (1, 0.5)), room=1)
    embeds = torch.cat([embeds, tiny.language.embed_tokens.weight[17][None]])
    longer = tiny.prefill(embeds, range(4, 50), rope, TokenDropout("uniform", (3,), (1, 0.5)))
    with torch.inference_mode():
        torch.testing.assert_close(tiny.language.step(17, state, rope), tiny.first_logits(longer), rtol=1e-4, atol=1e-4)
    assert [layer.get_seq_length() for layer in state.cache] == [61] * 3 + [38] * 5


def test_truncation_cuts_on_the_right_when_told(tiny):
    rope = tiny.rope("faithful")
    cut = tiny.prefill(prompt(), range(9, 73), rope, truncate=40)
    short = tiny.prefill(prompt()[:40], range(9, 40), rope)
    assert torch.equal(cut.hidden, short.hidden)


def test_dropout_without_a_video_drops_nothing(tiny):
    state = tiny.prefill(prompt(20), range(20, 20), tiny.rope("faithful"), DROP)
    assert [layer.get_seq_length() for layer in state.cache] == [20] * 8


# Counts of the README: distinct rows of a table rebuilt for 32,770 positions.
@pytest.mark.parametrize("mode, rows", [("faithful", 1153), ("exact", 32770)])
def test_bf16_positions_collapse_only_as_the_release_has_them(mode, rows):
    cosines, sines = rope_of(mode).rows(0, 32770, 32770, torch.empty(0, 128, dtype=torch.bfloat16))
    distinct = torch.cat([cosines, sines], dim=1).view(torch.int16).unique(dim=0)
    assert len(distinct) == rows


def test_fp16_positions_end_at_65520_only_as_the_release_has_them():
    like = torch.empty(0, 128, dtype=torch.float16)
    assert rope_of("exact").rows(65500, 65540, 65540, like)[0].isfinite().all()
    cosines, _ = rope_of("faithful").rows(65500, 65540, 65540, like)
    assert cosines.isnan().any(1).tolist() == [position >= 65520 for position in range(65500, 65540)]


def test_both_modes_agree_in_fp32_on_trained_positions():
    like = torch.empty(0, 128)
    faithful, exact = (rope_of(mode).rows(0, 2000, 2000, like)[0] for mode in ("faithful", "exact"))
    torch.testing.assert_close(faithful, exact)


def test_rope_scaling_acts_in_exact_mode_alone():
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
    like = torch.empty(0, 128)
    rows = {mode: rope_of(mode, rope_scaling=yarn).rows(100, 104, 104, like)[0] for mode in ("faithful", "exact")}
    plain, _ = faithful_rows(torch.arange(100, 104), 128, 1e6, torch.float32, False)
    assert torch.equal(rows["faithful"], plain)
    slowest = 100 / 1e6 ** (126 / 128) / 4  # YaRN slows the last pair of channels down by the whole factor
    scale = 0.1 * torch.tensor(4.0).log() + 1
    torch.testing.assert_close(rows["exact"][0, 63], scale * torch.tensor(slowest).cos())


def test_logits_that_are_no_numbers_are_refused(tiny):
    embeds = prompt(10)
    embeds[3] = float("nan")
    state = tiny.prefill(embeds, range(2, 6), tiny.rope("faithful"))
    with pytest.raises(UserError, match="logits are not finite numbers"):
        tiny.first_logits(state)


def test_one_clips_tokens_do_not_depend_on_its_neighbours(tiny):
    pixels = torch.randn(2, 4, 3, 96, 96, generator=torch.Generator().manual_seed(3))
    together, alone = tiny.encode(pixels), tiny.encode(pixels[1:])
    torch.testing.assert_close(together[1:], alone, rtol=1e-4, atol=1e-5)


def test_a_prompt_needs_a_place_for_its_video(tiny):
    clips = torch.zeros(1, 64, 32)
    with pytest.raises(ValueError, match="1 clips has 0 placeholders"):
        tiny.assemble([1, 2], clips, 1)


def test_ids_of_another_models_tokenizer_are_refused(tiny):
    with pytest.raises(UserError, match="gives id 130, the model knows 130"):
        tiny.assemble([1, 130], torch.zeros(0, 64, 32), 0)


@pytest.mark.parametrize("frames, fps, shown", [(9, 1.0, 8), (63, 1.0, 56), (2001, 1.0, 2000), (1, 1.0, 8)])
def test_about_one_frame_a_second_in_eights(frames, fps, shown):
    indices = sample_frames(frames, fps, 10000)
    assert len(indices) == shown and 0 <= min(indices) <= max(indices) < frames


WRONG = [
    ({"hidden_size": None}, "hidden_size must be a whole number from 1 up, and is not there"),
    ({"mm_projector_type": "mlp2x_gelu"}, "mm_projector_type is 'mlp2x_gelu', only 'tome16_mlp_hd64'"),
    ({"mm_vision_tower": "internvideo2"}, "mm_vision_tower is 'internvideo2'"),
    ({"num_key_value_heads": 3}, "heads by key-value heads"),
    ({"use_sliding_window": True}, "use_sliding_window is True"),
    ({"mm_llm_compress": True}, "dropout at layer 24, but there are 8 layers"),
    ({"mm_llm_compress": True, "llm_compress_layer_list": [4, 2]}, "rising layers"),
    ({"mm_llm_compress": True, "llm_compress_type": "random"}, "dropout is one of attention"),
    ({"mm_hidden_size": 64}, "mm_hidden_size is 64, but the tower is 32 wide"),
    ({"tiny_vision": {**ROW["tiny_vision"], "heads": 4}}, "no keys beyond"),
    ({"tiny_vision": {**ROW["tiny_vision"], "image_size": 0}}, "image_size must be a whole number from 1 up, got 0"),
    ({"mm_vision_select_layer": -9}, "mm_vision_select_layer must be from 1 to 4 or from -4 to -1, got -9"),
    ({"num_hidden_layers": "eight"}, "num_hidden_layers must be a whole number from 1 up, got 'eight'"),
    ({"rms_norm_eps": float("nan")}, "rms_norm_eps must be a positive number, got nan"),
    ({"tokenizer_model_max_length": -1}, "tokenizer_model_max_length must be a whole number"),
    ({"mm_llm_compress": "yes"}, "mm_llm_compress must be true or false, got 'yes'"),
    ({"mm_llm_compress": True, "llm_compress_layer_list": 4}, "llm_compress_layer_list of config.json must be a list"),
    ({"head_dim": 16}, "head_dim is 16, only 8 is supported"),
    ({"tie_word_embeddings": 1}, "tie_word_embeddings must be true or false, got 1"),
]


@pytest.mark.parametrize("changes, words", WRONG)
def test_a_config_of_another_model_is_refused_in_words(changes, words):
    row = {key: value for key, value in {**ROW, **changes}.items() if value is not None or key == "rope_scaling"}
    with pytest.raises(UserError, match=words):
        read(row)

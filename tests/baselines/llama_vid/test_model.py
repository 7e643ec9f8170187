"""LLaMA-VID's parts, by numbers that can be checked by hand."""

import dataclasses

import pytest
import torch

from baselines.llama_vid import compress, inputs
from baselines.llama_vid.bench import build as build_bench
from baselines.llama_vid.bench import unfused
from baselines.llama_vid.config import LlamaVidConfig
from baselines.llama_vid.language import Rotary, inverse_frequencies, rotary_table
from baselines.llama_vid.model import PLACEHOLDER, load, read_sizes
from niah.types import UserError
from tests.helpers.tiny_llama_vid import CHECKPOINT

# ---- tokens of a frame


def test_odd_number_of_rows_loses_its_first_and_an_even_one_none():
    rows = torch.arange(10.0).view(1, 5, 2)
    assert compress.drop_class_row(rows).tolist() == [[[2, 3], [4, 5], [6, 7], [8, 9]]]
    assert compress.drop_class_row(rows[:, 1:]).tolist() == [[[2, 3], [4, 5], [6, 7], [8, 9]]]


def test_scores_are_divided_by_the_root_of_the_vision_width():
    asked, keys = torch.tensor([[[1.0, 2, 0, 0]]]), torch.tensor([[[3.0, 4, 0, 0], [0, 1, 9, 9]]])
    assert compress.context_scores(asked, keys).tolist() == [[[5.5, 1.0]]]  # (3 + 8) / 2, 2 / 2


def test_context_is_the_mean_over_queries_of_weighted_raw_patches():
    patches = torch.tensor([[[2.0, 0], [0, 4]]])
    chosen = torch.tensor([[[1.0, 0], [0.5, 0.5]]])
    assert compress.average_context(chosen, patches).tolist() == [[[1.5, 1.0]]]  # mean of (2, 0) and (1, 2)


def test_mean_content_is_one_row_and_no_compression_is_all():
    patches = torch.tensor([[[1.0], [2], [3], [6]]])
    assert compress.pool_content(patches, "mean", None).tolist() == [[[3]]]
    assert compress.pool_content(patches, None, None).tolist() == [[[1], [2], [3], [6]]]


def test_grid_content_pools_squares_in_reading_order():
    patches = torch.arange(16.0).view(1, 16, 1)  # rows 0-3, 4-7, 8-11, 12-15
    pooled = compress.pool_content(patches, "grid:2", 2)
    assert pooled.flatten().tolist() == [2.5, 4.5, 10.5, 12.5]  # first: (0 + 1 + 4 + 5) / 4


def test_context_comes_before_content_frame_by_frame():
    context, content = torch.tensor([[[1.0]], [[2.0]]]), torch.tensor([[[10.0]], [[20.0]]])
    assert compress.interleave(context, content).flatten().tolist() == [1, 10, 2, 20]


# ---- rotary positions


def test_linear_scaling_divides_positions():
    positions = torch.tensor([0, 16, 32])
    cos, sin = rotary_table(positions, torch.tensor([1.0, 0.5]), 16.0)
    angles = torch.tensor([[0, 0, 0, 0], [1, 0.5, 1, 0.5], [2, 1, 2, 1]])
    torch.testing.assert_close(cos, angles.cos())
    torch.testing.assert_close(sin, angles.sin())


def turned(rotary, *positions):
    return rotary(torch.zeros(1, len(positions), 4), torch.tensor([positions]))[1][0, :, 0].tolist()


def rotary(mode):
    module = Rotary(head_width=4, theta=100.0, factor=1.0, positions=8)
    module.choose(mode, torch.tensor([2.0, 1.0]))  # far from the exact 1 and 0.1, so that it shows
    return module


ONE, TWO = torch.tensor([1.0, 2.0]).sin().tolist()
RUNS = [
    ("faithful", 8, ONE),  # the table made at start-up holds 8 positions
    ("faithful", 9, TWO),  # a longer input rebuilds all of it, its first positions too
    ("exact", 9, ONE),
]


@pytest.mark.parametrize("mode, length, wanted", RUNS)
def test_angles_come_from_the_checkpoint_beyond_the_first_table_alone(mode, length, wanted):
    module = rotary(mode)
    module.expect(length)
    assert turned(module, 0, 1)[1] == pytest.approx(wanted)


def test_input_that_grows_past_the_table_is_rebuilt_from_there_on():
    module = rotary("faithful")
    module.expect(8)
    assert turned(module, 7) == pytest.approx([torch.tensor(7.0).sin().item()])
    assert turned(module, 8) == pytest.approx([torch.tensor(16.0).sin().item()])


def test_long_input_leaves_nothing_behind_for_the_next():
    module = rotary("faithful")
    module.expect(100)
    module.expect(5)
    assert turned(module, 1) == pytest.approx([ONE])


def test_exact_frequencies_fall_from_one_by_the_head_width():
    torch.testing.assert_close(inverse_frequencies(8, 10000.0), torch.tensor([1.0, 0.1, 0.01, 0.001]))


def test_unknown_rope_is_refused_with_those_there_are():
    with pytest.raises(UserError, match="rope is one of faithful, exact, got 'yarn'"):
        rotary("yarn")


# ---- prompts, questions, frames


def test_prompts_are_marked_once_and_once_a_token():
    assert inputs.short_prompt("Who?").marked(1).endswith("questions. USER: <image>\nWho? ASSISTANT:")
    assert inputs.long_prompt("Who?").marked(2).endswith(
        "this movie.<image><image>Now the movie end.\nWho? ASSISTANT:"
    )  # fmt: skip
    assert inputs.blind_prompt("Who?").marked(0).endswith("questions. USER: Who? ASSISTANT:")


class StartingTokenizer:
    """Puts a start token before every text, as LLaMA's does, then one id a character."""

    bos_token_id = 1

    def __call__(self, text):
        return type("Encoding", (), {"input_ids": [1, *map(ord, text)]})


def test_start_token_is_kept_from_the_first_piece_alone():
    assert inputs.piece_ids(StartingTokenizer(), inputs.PromptText("ab", "c"), 128) == ([1, 97, 98], [99])
    assert inputs.piece_ids(StartingTokenizer(), inputs.PromptText("ab", ""), 128) == ([1, 97, 98], [])


def test_tokenizer_of_another_model_is_refused():
    with pytest.raises(UserError, match="gives id 99, the language model knows 99"):
        inputs.piece_ids(StartingTokenizer(), inputs.PromptText("ab", "c"), 99)


SAMPLED = [
    (100, 25.0, [0, 25, 50, 75]),
    (5, 1.0, [0, 1, 2, 3, 4]),
    (6, 2.5, [0, 2, 4]),  # half a frame rounds to the even stride
    (9, 3.5, [0, 4, 8]),
    (3, 0.3, [0, 1, 2]),  # a stride of 0 would be none
    (0, 30.0, []),
]


@pytest.mark.parametrize("frames, fps, wanted", SAMPLED)
def test_one_frame_a_second_is_shown(frames, fps, wanted):
    assert inputs.sample_frames(frames, fps) == wanted


@pytest.fixture(scope="module")
def words():
    return inputs.QueryTokenizer(CHECKPOINT / "bert" / "vocab.txt")


def test_questions_are_lower_cased_and_padded_on_the_right(words):
    query = words(["WHAT color?", "who"])
    vocabulary = (CHECKPOINT / "bert" / "vocab.txt").read_text().split()
    assert [[vocabulary[number] for number in row] for row in query.ids.tolist()] == [
        ["[CLS]", "what", "color", "?", "[SEP]"],
        ["[CLS]", "who", "[SEP]", "[PAD]", "[PAD]"],
    ]
    assert query.mask.tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]


def test_long_question_keeps_its_end(words):
    cut, end = words(["dog " * 300 + "cat ball"]).ids[0], words(["cat ball"]).ids[0]
    assert len(cut) == 256
    assert cut[0] == end[0] and cut[-3:].tolist() == end[-3:].tolist()


# ---- the model


@pytest.fixture(scope="module")
def model():
    return load(CHECKPOINT, read_sizes(CHECKPOINT))


def test_one_placeholder_is_replaced_by_all_tokens(model):
    video = torch.full((3, 32), 7.0)
    made = model.assemble(torch.tensor([5, PLACEHOLDER, 6]), video)
    assert made[1:4].tolist() == video.tolist()
    assert made[[0, 4]].tolist() == model.embed(torch.tensor([5, 6])).tolist() and len(made) == 5


def test_placeholders_for_every_token_are_overwritten_in_order_with_text_between(model):
    video = torch.arange(3.0)[:, None].expand(3, 32)
    made = model.assemble(torch.tensor([PLACEHOLDER, 5, PLACEHOLDER, PLACEHOLDER]), video)
    assert made[[0, 2, 3], 0].tolist() == [0, 1, 2]
    assert made[1].tolist() == model.embed(torch.tensor([5]))[0].tolist() and len(made) == 4


@pytest.mark.parametrize("ids", [[5, 6], [PLACEHOLDER, PLACEHOLDER, 5]])
def test_other_numbers_of_placeholders_are_refused(model, ids):
    count = ids.count(PLACEHOLDER)
    with pytest.raises(ValueError, match=f"3 tokens need 1 placeholder or as many, got {count}"):
        model.assemble(torch.tensor(ids), torch.zeros(3, 32))


def test_tower_with_whole_attention_matrices_is_the_same_tower(model):
    pixels = torch.randn(2, 3, 56, 56, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(unfused(model.vision_tower, pixels), model.encode(pixels, class_row=True))


def test_a_question_does_not_depend_on_the_padding_of_its_neighbour(model, words):
    features = torch.randn(2, 17, 48, generator=torch.Generator().manual_seed(0))
    both = model.video_tokens([features], words(["what color is the red car", "who"]))
    alone = model.video_tokens([features], words(["who"]))
    torch.testing.assert_close(both[1:], alone)


KINDS = [("mean", 2), ("grid:2", 5), ("grid:3", 17), (None, 17)]  # a grid of 3 on 4 x 4 has windows of 4 // 3 = 1


@pytest.mark.parametrize("compress, count", KINDS)
def test_tokens_a_frame_follow_from_the_compression(words, compress, count):
    config = dataclasses.replace(read_sizes(CHECKPOINT), compress=compress)
    loaded = load(CHECKPOINT, config)
    assert loaded.tokens_per_frame == count
    assert loaded.video_tokens([torch.zeros(3, 17, 48)], words(["who"])).shape == (1, 3 * count, 32)


def test_released_7b_answers_with_two_tokens_a_frame_of_256_patches():
    config = LlamaVidConfig()
    assert (config.vision.patches, config.vision.mlp_width, config.language.head_width) == (256, 6144, 128)


@pytest.mark.parametrize("execution", ["streamed", "as_released"])
def test_bench_counts_two_tokens_a_frame_and_80_of_text(execution):
    from niah.adapters.bench import NoiseVideo

    subject = build_bench("tiny", "cpu")
    with torch.inference_mode():
        assert subject.run(NoiseVideo(40, subject.side), execution).tokens == 2 * 40 + 80

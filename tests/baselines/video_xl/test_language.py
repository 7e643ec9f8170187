"""Windows, cache and gradients of Video-XL's language model, against a slow version and by counting bytes."""

import gc
from pathlib import Path

import numpy as np
import pytest
import torch

from baselines.video_xl import config
from baselines.video_xl.compress import RatioCurriculum, cut_windows, plan_windows
from baselines.video_xl.language import SummaryCache, rotation
from baselines.video_xl.model import build_random, load
from baselines.video_xl.training import IGNORED, loss, training_windows

FOLDER = Path(__file__).resolve().parents[2] / "reference" / "video_xl"
# Sizes unlike the reference's: 3 queries a key, 8 channels a head, 9 tokens a frame, windows of no whole frames.
OTHER = {
    "vocab_size": 50, "hidden_size": 40, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 6,
    "num_key_value_heads": 2, "head_dim": 8, "beacon_window": 15, "max_position_embeddings": 99, "rms_norm_eps": 1e-5,
    "rope_theta": 500.0, "mm_vision_select_layer": -1, "mm_spatial_pool_stride": 2, "beacon_ratio": 4,
}  # fmt: skip
TOWER = {
    "hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 1, "num_attention_heads": 3, "image_size": 42,
    "patch_size": 7,
}  # fmt: skip
PREFIX, SUFFIX = torch.tensor([7, 3, 9]), torch.tensor([5, 1, 8, 20, 30, 2, 4, 6, 11, 12, 13, 14, 15, 16, 17, 18, 19])


@pytest.fixture(scope="module")
def other():
    model = build_random(config.parse(OTHER, TOWER), "cpu", torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(15)  # random weights of 0.02 would make every state alike
    return model


def slow_logits(model, visual, ratio):
    """Compute the last token's logits with loops: keys kept unrotated and rotated anew by their index."""
    language, settings = model.language, model.settings.language
    kept = [[] for _ in language.layers]  # (key, value) of each token that stays
    steps = [[(language.embed_tokens.weight[i], False, True) for i in PREFIX]]
    waiting = 0
    for start in range(0, len(visual), 15):
        step = []
        for vector in visual[start : start + 15]:
            step.append((vector, False, False))
            waiting += 1
            if waiting == ratio:
                step.append((language.beacon_embed_tokens.weight[0], True, True))
                waiting = 0
        steps.append(step)
    steps += [[(language.embed_tokens.weight[i], False, True) for i in part] for part in SUFFIX.split(15)]
    for step in steps:
        states = torch.stack([vector for vector, _, _ in step])
        for number, layer in enumerate(language.layers):
            attention, inside = layer.self_attn, layer.input_layernorm(states)
            old, mixed, new = kept[number], [], []
            for i, (_, summary, stays) in enumerate(step):
                kinds = ("beacon_" if summary else "") + "{}_proj"
                q, k, v = (getattr(attention, kinds.format(name))(inside[i]).view(-1, 8) for name in "qkv")
                new.append((k, v, stays))
                everything = [*old, *((k, v) for k, v, _ in new)]
                heads = []
                for head in range(settings.heads):
                    query = turned(q[head], len(old) + i)
                    scores = [query @ turned(k[head // 3], place) / 8**0.5 for place, (k, _) in enumerate(everything)]
                    weights = torch.stack(scores).softmax(0)
                    heads.append(sum(w * v[head // 3] for w, (_, v) in zip(weights, everything, strict=True)))
                mixed.append(attention.o_proj(torch.cat(heads)))
            states = states + torch.stack(mixed)
            states = states + layer.mlp(layer.post_attention_layernorm(states))
            old += [(k, v) for k, v, stays in new if stays]
    return language.lm_head(language.norm(states[-1]))


def turned(vector, place):
    """Rotate pairs (j, j + 4) of eight channels as complex numbers."""
    pairs = torch.complex(vector[:4], vector[4:])
    angles = torch.tensor([place / 500.0 ** (j / 4) for j in range(4)])
    pairs = pairs * torch.polar(torch.ones(4), angles)
    return torch.cat([pairs.real, pairs.imag])


@pytest.mark.parametrize("ratio", [1, 4, 5])  # 4 does not divide a window of 15
@torch.no_grad()
def test_windows_compute_what_loops_over_tokens_compute(other, ratio):
    visual = torch.randn(38, 40, generator=torch.Generator().manual_seed(3))
    lengths = cut_windows(38, 15)
    cache, states = other.cache(200), None
    for step in other.read(
        PREFIX, plan_windows(lengths, [ratio] * 3), lambda w: visual[w.start : w.stop], SUFFIX, cache
    ):
        states = step.states
    torch.testing.assert_close(other.language.logits(states)[-1], slow_logits(other, visual, ratio), rtol=0, atol=2e-5)


def test_a_key_turned_at_the_end_of_its_window_is_rotated_by_its_index():
    # at 7B position 91,000 is reached; a summary token moves back by the visual tokens before it in its window
    key = torch.randn(1, 1, 128, generator=torch.Generator().manual_seed(0))
    inside, index = torch.tensor([91_530]), torch.tensor([90_090])
    twice = rotation(index - inside, 128, 1e6)(rotation(inside, 128, 1e6)(key))
    torch.testing.assert_close(twice, rotation(index, 128, 1e6)(key), rtol=0, atol=2e-6)


def live_bytes():
    """Sum what all tensors take up, each storage once."""
    gc.collect()
    tensors = [item for item in gc.get_objects() if issubclass(type(item), torch.Tensor)]
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


@torch.no_grad()
def test_the_cache_after_each_window_holds_summary_tokens_only_and_memory_is_flat():
    model = load(FOLDER / "checkpoint")
    windows = plan_windows([64] * 12, [16] * 12)
    cache = model.cache(400)
    held, kept = {}, []

    def visual(window):
        if window.start // 64 in (2, 11):
            held[window.start] = live_bytes()
        kept.append(cache.bytes)
        return torch.randn(len(window), 64)

    for step in model.read(torch.arange(14), windows, visual, torch.arange(11), cache):
        del step
    # 3 layers x (key + value) x 2 heads x 16 channels x 4 bytes = 768 bytes a token; a window leaves 64 / 16 = 4 tokens
    assert kept == [768 * (14 + 4 * number) for number in range(12)]
    assert held[2 * 64] == held[11 * 64]  # 576 more visual tokens take nothing: the room of the cache was there


def test_ten_thousand_frames_leave_under_five_gib():
    layout = {**OTHER, "num_hidden_layers": 28, "num_key_value_heads": 4, "head_dim": 128, "num_attention_heads": 28}
    settings = config.parse(layout, TOWER)
    windows = plan_windows(cut_windows(10_000 * 144, 1440), [16] * 1000)
    capacity = 14 + sum(window.summaries for window in windows)
    cache = SummaryCache(settings.language, capacity, [torch.device("meta")] * 28, torch.float16)
    cache.advance(14 + 90_000)
    assert cache.bytes == 57_344 * 90_014  # 4.81 GiB


def test_a_cache_that_is_too_small_says_so(other):
    with pytest.raises(ValueError, match="room for 2 tokens, got 3"):
        list(other.read(PREFIX, (), lambda window: torch.empty(0), SUFFIX, other.cache(2)))


def test_the_loss_is_the_mean_over_labelled_tokens(other):
    visual = torch.randn(20, 40, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([IGNORED] * 23 + SUFFIX.tolist())
    windows = plan_windows([15, 5], [5, 5])
    cache, rows = other.cache(100), []
    with torch.no_grad():
        for step in other.read(PREFIX, windows, lambda w: visual[w.start : w.stop], SUFFIX, cache):
            rows.append(step.states)
        # the last visual token, behind which a summary token stands, predicts the first of the suffix
        states = torch.cat([rows[2][-2:-1], rows[3], rows[4][:-1]])
        chances = other.language.logits(states).log_softmax(-1)[range(17), SUFFIX]
        found = loss(other, PREFIX, visual, SUFFIX, labels, windows)
    torch.testing.assert_close(found, -chances.mean())


def test_labels_of_another_length_are_refused(other):
    with pytest.raises(ValueError, match="5 labels for 3"):
        loss(other, PREFIX, torch.zeros(2, 40), SUFFIX, torch.zeros(5).long(), plan_windows([2], [2]))


def test_training_draws_from_the_checkpoint_unless_a_curriculum_is_given():
    settings = config.parse({**OTHER, "beacon_window": 48, "beacon_ratio": [8, 16]}, TOWER)
    plain = training_windows(settings, 480, 10, np.random.default_rng(0))
    assert {window.ratio for window in plain} == {8, 16}
    early = training_windows(settings, 480, 10, np.random.default_rng(0), RatioCurriculum(), progress=0.1)
    assert {window.ratio for window in early} == {2}

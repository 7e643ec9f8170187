"""Chunked prefill and greedy decoding against the whole sequence recomputed for every token."""

import io

import pytest
import torch
from safetensors.torch import save_file
from transformers import Qwen2Config, Qwen2ForCausalLM

from niah.adapters.attention import attend_far_and_near, causal_tail, register_attention
from niah.adapters.parity import Parity
from niah.adapters.qwen import continue_prompt, generate_greedily, prefill
from niah.types import UserError


@pytest.fixture(scope="module")
def language():
    torch.manual_seed(0)
    sizes = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4)
    return Qwen2ForCausalLM(Qwen2Config(vocab_size=37, num_key_value_heads=2, initializer_range=0.4, **sizes)).eval()


@pytest.fixture(scope="module")
def embeds():
    return torch.randn(23, 16, generator=torch.Generator().manual_seed(1))


def slow(language, embeds, count):
    """Recompute everything for each token."""
    ids = []
    with torch.inference_mode():
        for _ in range(count):
            ids.append(int(language(inputs_embeds=embeds[None]).logits[0, -1].argmax()))
            embeds = torch.cat([embeds, language.get_input_embeddings()(torch.tensor(ids[-1:]))])
    return ids


@pytest.mark.parametrize("chunk", [1, 7, 23, 100])
def test_chunked_prefill_gives_the_last_logits_of_the_whole(language, embeds, chunk):
    with torch.inference_mode():
        whole = language(inputs_embeds=embeds[None]).logits[0, -1]
    _, logits = prefill(language, embeds, chunk)
    torch.testing.assert_close(logits, whole, rtol=0, atol=1e-4)


@pytest.mark.parametrize("chunk", [5, 100])
def test_greedy_equals_recomputing_everything(language, embeds, chunk):
    assert generate_greedily(language, embeds, 9, chunk=chunk) == slow(language, embeds, 9)


def test_a_stop_id_ends_the_reply_and_is_not_part_of_it(language, embeds):
    whole = slow(language, embeds, 9)
    stop = next(token for token in whole if token != whole[0])
    assert generate_greedily(language, embeds, 9, {stop}) == whole[: whole.index(stop)]


def test_the_cache_is_sized_once(language, embeds):
    cache, _ = prefill(language, embeds, chunk=4, room=5)
    keys, values = cache.layers[0].buffers
    assert keys.shape == values.shape == (1, 2, 28, 4)
    assert cache.get_seq_length() == 23


def test_no_token_at_all_is_refused(language):
    with pytest.raises(ValueError, match="at least one token"):
        prefill(language, torch.zeros(0, 16))


def test_parity_measures_the_gap_relative_to_the_largest_wanted_value():
    parity = Parity(0.02)
    parity.tensor("near", torch.tensor([1.0, 50.0]), torch.tensor([2.0, 50.0]))  # 1 / 50
    parity.tensor("far", torch.tensor([1.0, 40.0]), torch.tensor([1.0, 50.0]))  # 10 / 50
    parity.tensor("nan", torch.tensor([float("nan")]), torch.tensor([1.0]))
    parity.tensor("shape", torch.zeros(2), torch.zeros(1, 2))
    parity.equal("ids", [1, 2], [1, 3])
    assert parity.failed == ["far", "nan", "shape", "ids"]


def test_parity_prints_a_table_and_exits_by_it(tmp_path):
    save_file({"a": torch.ones(2), "b": torch.ones(1)}, tmp_path / "golden.safetensors")
    parity, out = Parity(1e-5), io.StringIO()
    golden = parity.golden(tmp_path / "golden.safetensors")
    parity.tensor("a", torch.tensor([1.0, 1.0]), golden["a"])
    assert parity.report(out) == 1
    assert "golden.safetensors: b was compared with nothing" in out.getvalue()
    parity.tensor("b", torch.tensor([1.0]), golden["b"])
    out = io.StringIO()
    assert parity.report(out) == 0
    assert out.getvalue().splitlines() == [
        "a  0.00e+00",
        "b  0.00e+00",
        "files used: golden.safetensors",
        "2 comparisons, tolerance 1e-05: all agree",
    ]


def test_parity_that_compared_nothing_fails():
    assert Parity(1e-5).report(io.StringIO()) == 1


@pytest.mark.parametrize("queries, keys", [(5, 5), (1, 9), (70, 100), (130, 131)])
def test_the_last_queries_see_the_keys_up_to_their_own(queries, keys):
    rng = torch.Generator().manual_seed(queries)
    query = torch.randn(1, 4, queries, 8, generator=rng)
    key, value = torch.randn(1, 2, keys, 8, generator=rng), torch.randn(1, 2, keys, 8, generator=rng)
    got = causal_tail(query, key, value)
    for head in range(4):
        for row in {0, queries // 2, queries - 1}:
            seen = keys - queries + row + 1
            weights = (key[0, head // 2, :seen] @ query[0, head, row] / 8**0.5).softmax(0)
            torch.testing.assert_close(got[0, head, row], weights @ value[0, head // 2, :seen])


@pytest.mark.parametrize("far", [0, 40])
@pytest.mark.parametrize("grad", [True, False])
def test_far_keys_are_all_seen_and_near_ones_by_a_mask(far, grad):
    rng = torch.Generator().manual_seed(far)
    query = torch.randn(1, 4, 9, 8, generator=rng)
    key, value = (torch.randn(1, 2, far + 12, 8, generator=rng) for _ in "kv")
    seen = torch.rand(9, 12, generator=rng) < 0.4
    seen[:, 3] = True
    with torch.set_grad_enabled(grad):
        far_keys, near_keys = zip(*(part.tensor_split([far], dim=2) for part in (key, value)), strict=True)
        got = attend_far_and_near(query, far_keys, near_keys, seen)
    for head in range(4):
        for row in range(9):
            sees = torch.cat([torch.ones(far, dtype=torch.bool), seen[row]])
            weights = (key[0, head // 2, sees] @ query[0, head, row] / 8**0.5).softmax(0)
            torch.testing.assert_close(got[0, head, row], weights @ value[0, head // 2, sees])


def test_attention_without_masks_gives_the_same_logits(embeds, language):
    with torch.inference_mode():
        whole = language(inputs_embeds=embeds[None]).logits[0, -1]
    usual = language.config._attn_implementation
    language.config._attn_implementation = register_attention()
    _, logits = prefill(language, embeds, chunk=9)
    language.config._attn_implementation = usual
    torch.testing.assert_close(logits, whole, rtol=0, atol=1e-4)


def test_an_answer_is_never_made_of_logits_that_are_not_numbers(language, embeds):
    cache, logits = prefill(language, embeds, room=2)
    with pytest.raises(UserError, match="not finite numbers"):
        continue_prompt(language, cache, logits.clone().fill_(float("nan")), 2)

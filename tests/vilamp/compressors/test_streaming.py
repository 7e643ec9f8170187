"""The sliding window is StreamingLLM's cache, token by token; and what cannot be reached is not read."""

import pytest
import torch

from niah.adapters.compressor import InLanguage, Sequences, TokenChunk
from tests.vilamp.compressors.test_compressors import QUERY, SIZES, made, watched
from vilamp.compressors.streaming import SINKS, sinks_of
from vilamp.compressors.summary import pooled

LAYERS = SIZES.language.layers
PROMPT = [256 + 2, 65, 66, 67]


def turn(language, row, place):
    """Turn a (heads, size) row by one position."""
    cosine, sine = language.model.rotary_emb(row[None], torch.tensor([[place]]))
    first, second = row.chunk(2, dim=-1)
    return row * cosine[0] + torch.cat([-second, first], dim=-1) * sine[0]


def slowly(model, tokens, stay, prompt, start):
    """Read as the paper's cache does: keys are held unturned, pushed out beyond `stay`, and turned by their slot."""
    language, caches = model.language, [[] for _ in model.language.model.layers]
    for number, state in enumerate([*tokens, *model.embed(prompt)]):
        words = max(0, number + 1 - len(tokens))
        for layer, cache in zip(language.model.layers, caches, strict=True):
            attention, before = layer.self_attn, layer.input_layernorm(state)
            query, key, value = (one(before).unflatten(-1, (-1, attention.head_dim))
                                 for one in (attention.q_proj, attention.k_proj, attention.v_proj))  # fmt: skip
            cache.append((key, value))
            if not words and len(cache) > stay:
                del cache[sinks_of(stay)]
            places = [*range(len(cache) - words), *range(start, start + words)]
            keys = torch.stack([turn(language, one, place) for (one, _), place in zip(cache, places, strict=True)])
            scores = turn(language, query, places[-1]) @ keys[:, 0].T / attention.head_dim**0.5  # (heads, cache)
            mixed = scores.softmax(-1) @ torch.stack([value[0] for _, value in cache])
            state = state + attention.o_proj(mixed.flatten())
            state = state + layer.mlp(layer.post_attention_layernorm(state))
    return model.name(language.model.norm(state)[None])[0].log_softmax(-1)


def all_tokens(model, frames):
    """Every pooled patch of the frames that `watched` shows."""
    patches = torch.randn(frames, 64, 24, generator=torch.Generator().manual_seed(frames))
    return model.merged_connector(pooled(model.features(patches, QUERY)).flatten(0, 1))


@pytest.mark.parametrize("budget, frames", [(0.25, 5), (1.25, 6), (2.0, 9), (2.0, 1), (5.0, 4)])
@torch.no_grad()
def test_it_reads_as_a_cache_does_that_pushes_out_token_by_token(budget, frames):
    model = made("streaming", budget)
    compressor = model.compressor
    assert isinstance(compressor, InLanguage)
    choice, run = watched(model, frames, frames)
    stay = compressor.tokens(choice, 64)
    assert stay == max(1, int(budget * frames))
    cache = compressor.read(model.language, [run], stay + 10)
    assert cache.get_seq_length() == stay
    expected = slowly(model, all_tokens(model, frames), stay, PROMPT, stay)
    assert torch.allclose(model.prefill(model.embed(PROMPT), cache)[1], expected, atol=1e-4)


@pytest.mark.parametrize("gap", [0, 40])
@torch.no_grad()
def test_training_reads_alike_also_where_the_question_comes_after_a_gap(gap):
    model = made("streaming")
    run, other = watched(model, 9, 9)[1], watched(model, 13, 13)[1]
    places, others = torch.arange(19), torch.arange(27)
    places[-1] += gap
    text = model.embed(PROMPT)
    batch = Sequences([other, run], [[text[:2]], [text[1:], text]], [others, places], [torch.tensor([1]), others[:0]])
    states = model.compressor.states(model.language, batch)
    assert [len(one) for one in states.wanted] == [1, 0]
    named = model.name(states.texts[1][1][-1:]).log_softmax(-1)[0]
    assert torch.allclose(named, slowly(model, all_tokens(model, 9), 18, PROMPT, 18 + gap), atol=1e-4)


@torch.no_grad()
def test_how_the_video_is_cut_into_runs_does_not_matter():
    model = made("streaming")
    whole = watched(model, 20, 20)[1]
    parts = [TokenChunk(whole.frames[n : n + 7], whole.embeddings[n : n + 7], whole.stays[n : n + 7])
             for n in range(0, len(whole.frames), 7)]  # fmt: skip
    firsts = [
        model.prefill(model.embed(PROMPT), model.compressor.read(model.language, runs, 50))[1]
        for runs in ([whole], parts)
    ]
    assert torch.allclose(*firsts, atol=1e-6)


@torch.no_grad()
def test_no_token_depends_on_a_later_one():
    model = made("streaming")
    run, text = watched(model, 20, 20)[1], model.embed(PROMPT)
    places = torch.arange(41)

    def last_states(embeddings):
        batch = Sequences([TokenChunk(run.frames, embeddings, run.stays)], [[text]], [places], [places[:-1]])
        return model.compressor.states(model.language, batch).wanted[0]

    changed = run.embeddings.clone()
    changed[-10:] += 1.0
    before, after = last_states(run.embeddings), last_states(changed)
    assert torch.allclose(before[:-10], after[:-10], atol=1e-6)
    assert not torch.allclose(before[-10:], after[-10:], atol=1e-3)


def test_sinks_and_one_window_a_layer_reach_the_question_and_nothing_else_does():
    model = made("streaming")
    choice, run = watched(model, 40, 40)
    window = 80 - SINKS
    assert list(choice.seen) == [0, *range(25, 40)]  # 3 x 76 tokens, 16 a frame: the first of 640 is number 412
    assert [n for n, one in enumerate(run.stays) if one][:SINKS] == list(range(SINKS))
    assert sum(run.stays) == 80 and len(run.frames) == SINKS + (LAYERS + 1) * window  # of 640 tokens
    inputs = run.embeddings.detach().requires_grad_()
    places = torch.arange(81)
    batch = Sequences([TokenChunk(run.frames, inputs, run.stays)], [[model.embed([65, 66])]], [places], [places[:0]])
    model.compressor.states(model.language, batch).texts[0][0][-1].sum().backward()
    met = inputs.grad.abs().sum(dim=1) > 0
    reach = 1 + LAYERS * (window - 1)  # a token and those before it in its window, once for each layer
    assert met.tolist() == [True] * SINKS + [False] * (len(met) - SINKS - reach) + [True] * reach


def test_a_window_of_at_least_one_token_is_left_beside_the_sinks():
    assert [sinks_of(stay) for stay in (0, 1, 2, 5, 100)] == [0, 0, 1, 4, 4]

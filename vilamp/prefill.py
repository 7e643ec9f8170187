"""Read a video's tokens up to the first answer, a chunk at a time; of what was read, keys and values are held.

Only the last position is ever named, so the last layer works for that position alone: its keys and
values are all that others leave behind. With three layers that saves a third of the work. `transformers`
runs every layer for every position; its modules are used here, its loop is not.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import Cache, Qwen2ForCausalLM
from transformers.models.qwen2.modeling_qwen2 import apply_rotary_pos_emb

from niah.adapters.attention import causal_tail
from niah.adapters.kv_cache import sized_cache

CHUNK = 2048  # tokens that are between two layers at a time


def prefill(
    language: Qwen2ForCausalLM,
    visual: Float[Tensor, "tokens hidden"],
    prompt: Float[Tensor, "_words hidden"],
    room: int,
) -> tuple[Cache, Float[Tensor, " vocabulary"]]:
    """Read visual tokens, then the prompt; return the cache, with `room` for more, and the last position's logits.

    Holds 2 x layers x key-value heads x head size numbers for each token besides `visual`, and one chunk of states.
    Raises ValueError for a prompt without tokens.
    """
    if not len(prompt):
        raise ValueError("a prompt needs at least one token: what follows it is the answer")
    layers: Any = language.model.layers
    count = len(visual) + len(prompt)
    cache = sized_cache(len(layers), count + room)
    last = prompt[-1:]  # (1, hidden)
    for start in range(0, count, CHUNK):
        states = _chunk(visual, prompt, start, min(start + CHUNK, count))  # (chunk, hidden)
        turns = _turns(language, states, start)
        for layer in layers[:-1]:
            states = _layer(layer, states, cache, turns, len(states))
        last = _layer(layers[-1], states, cache, turns, int(start + CHUNK >= count))
    return cache, language.lm_head(language.model.norm(last))[0]


def _chunk(visual: Tensor, prompt: Tensor, start: int, stop: int) -> Tensor:
    """Return tokens `start` up to `stop` of the visual tokens with the prompt behind them."""
    words = prompt[max(0, start - len(visual)) : max(0, stop - len(visual))]
    return torch.cat([visual[start:stop], words]) if len(words) else visual[start:stop]


def _turns(language: Qwen2ForCausalLM, states: Tensor, start: int) -> tuple[Tensor, Tensor]:
    """Return cosines and sines (1, chunk, head size) of the rotary positions from `start`."""
    positions = torch.arange(start, start + len(states), device=states.device)
    return language.model.rotary_emb(states[None], positions[None])


def _layer(layer: Any, states: Tensor, cache: Cache, turns: tuple[Tensor, Tensor], wanted: int) -> Tensor:
    """Cache keys and values of (chunk, hidden) states; return what the layer makes of the `wanted` last ones."""
    attention, before = layer.self_attn, layer.input_layernorm(states)
    keys = turned(_heads(attention, attention.k_proj(before)), turns)
    keys, values = cache.update(keys, _heads(attention, attention.v_proj(before)), attention.layer_idx)
    if not wanted:
        return states[:0]
    queries = turned(_heads(attention, attention.q_proj(before[-wanted:])), turns)
    mixed = causal_tail(queries, keys, values)[0].transpose(0, 1).flatten(1)  # (wanted, hidden)
    states = states[-wanted:] + attention.o_proj(mixed)
    return states + layer.mlp(layer.post_attention_layernorm(states))


def _heads(attention: Any, rows: Tensor) -> Tensor:
    """Return (rows, heads x size) as (1, heads, rows, size)."""
    return rows.view(1, len(rows), -1, attention.head_dim).transpose(1, 2)


def turned(rows: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    """Turn (1, heads, rows, size) by their rotary positions, the last ones of `turns`."""
    cosines, sines = (part[:, -rows.shape[2] :] for part in turns)
    return apply_rotary_pos_emb(rows, rows[:, :0], cosines, sines)[0]  # it turns pairs: here with no second

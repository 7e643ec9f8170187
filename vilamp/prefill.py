"""Read a prompt up to the first answer, a chunk at a time; of what was read, keys and values are held.

Only the last position predicts a token, so the last layer works for that position alone: of all others it makes keys
and values. With three layers that saves a third of the work. `transformers` runs every layer for every
position; its modules are used here, its loop is not.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import Cache, Qwen2ForCausalLM

from niah.adapters.attention import causal_tail
from niah.adapters.kv_cache import sized_cache
from niah.adapters.qwen import Rope, finish_layer, project_keys_values, project_queries, rope_cos_sin

CHUNK = 2048  # tokens that are between two layers at a time


def prefill(
    language: Qwen2ForCausalLM, prompt: Float[Tensor, "tokens hidden"], room: int
) -> tuple[Cache, Float[Tensor, " vocabulary"]]:
    """Read a prompt; return the cache, with `room` for more tokens, and the last position's logits.

    Holds 2 x layers x key-value heads x head size numbers for each token besides `prompt`, and one chunk of states.
    Raises ValueError for a prompt without tokens.
    """
    if not len(prompt):
        raise ValueError("a prompt needs at least one token: what follows it is the answer")
    layers: Any = language.model.layers
    cache = sized_cache(len(layers), len(prompt) + room)
    last = prompt[-1:]  # (1, hidden)
    for start in range(0, len(prompt), CHUNK):
        states = prompt[start : start + CHUNK]  # (chunk, hidden)
        rope = rope_cos_sin(language, states, torch.arange(start, start + len(states), device=states.device))
        for layer in layers[:-1]:
            states = _layer(layer, states, cache, rope, len(states))
        is_last_chunk = start + CHUNK >= len(prompt)
        last = _layer(layers[-1], states, cache, rope, int(is_last_chunk))
    return cache, language.lm_head(language.model.norm(last))[0]


def _layer(
    layer: Any, states: Float[Tensor, "chunk hidden"], cache: Cache, rope: Rope, wanted: int
) -> Float[Tensor, "wanted hidden"]:
    """Cache a layer's keys and values of a chunk; return its output for the `wanted` last tokens of it."""
    normed = layer.input_layernorm(states)
    keys, values = project_keys_values(layer, normed, rope)
    keys, values = cache.update(keys[None], values[None], layer.self_attn.layer_idx)
    if not wanted:
        return states[:0]
    queries = project_queries(layer, normed[-wanted:], rope)
    return finish_layer(layer, states[-wanted:], causal_tail(queries[None], keys, values)[0])

"""Run language models of `transformers` whose layers are Qwen2's or LLaMA's, whole or one layer at a time.

Whole: `prefill` in chunks, then `continue_prompt`. Layer by layer, for what `transformers`' own loop cannot do
(drop tokens between layers, capture attention, keep part of a window): `rope_cos_sin`, `project_queries`,
`project_keys_values`, attention of the caller's choice, `finish_layer`. Heads are (..., heads, tokens, size).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers.cache_utils import Cache

from niah.adapters.generation import Choose, continue_reply, most_likely
from niah.adapters.kv_cache import cache_arguments, sized_cache

PREFILL_CHUNK = 2048  # tokens
Rope = tuple[Float[Tensor, "*batch _tokens size"], Float[Tensor, "*batch _tokens size"]]  # cosines and sines


@torch.inference_mode()
def prefill(
    language_model: Any, embeds: Float[Tensor, "tokens hidden"], chunk: int = PREFILL_CHUNK, room: int = 0
) -> tuple[Cache, Float[Tensor, " vocabulary"]]:
    """Run a prompt through a causal language model; return its cache and the logits of the last position.

    Logits of no other position are made. Raises ValueError for a prompt without tokens.

    Args:
        language_model: A causal language model of `transformers`.
        embeds: Embeddings of the whole prompt.
        chunk: Tokens that pass through the layers at a time; memory of activations grows with it, nothing else.
        room: How many more tokens the cache shall have room for, those of the answer.
    """
    if len(embeds) == 0:
        raise ValueError("a language model needs at least one token, got none")
    cache = sized_cache(language_model.config.num_hidden_layers, len(embeds) + room)
    arguments = cache_arguments(language_model.model, cache)
    last = embeds[-1:]
    for start in range(0, len(embeds), chunk):
        part = embeds[None, start : start + chunk]
        states = language_model.model(inputs_embeds=part, **arguments).last_hidden_state  # (1, chunk, hidden)
        last = states[0, -1:]
    return cache, language_model.lm_head(last)[0]


@torch.inference_mode()
def continue_prompt(
    language_model: Any,
    cache: Cache,
    logits: Float[Tensor, " vocabulary"],
    max_new_tokens: int,
    stop_ids: Collection[int] = (),
    choose: Choose = most_likely,
) -> list[int]:
    """Return a continuation of what `cache` holds. Raises UserError for logits that are not finite.

    Args:
        language_model: The model that filled the cache.
        cache: Needs room for `max_new_tokens` - 1 tokens.
        logits: Those of the last position in the cache, as `prefill` returns them.
        max_new_tokens: Where to stop if no stop id comes.
        stop_ids: Ids that end the answer; they are not returned.
        choose: Returns the next id; the most likely one if nothing else is said.
    """
    embed = language_model.get_input_embeddings()
    arguments = cache_arguments(language_model.model, cache)

    def step(token: int) -> Tensor:
        embedded = embed(torch.tensor([[token]], device=logits.device))  # (1, 1, hidden)
        states = language_model.model(inputs_embeds=embedded, **arguments).last_hidden_state
        return language_model.lm_head(states[0, -1:])[0]

    return [token for token, _ in continue_reply(logits, step, max_new_tokens, stop_ids, choose)]


def finish_reason(ids: Sequence[int], max_new_tokens: int) -> str:
    """Return why a text of these ids ended, as a `Reply` has it: at the limit, or before it by a stop id."""
    return "length" if len(ids) == max_new_tokens else "stop"


def generate_greedily(
    language_model: Any,
    embeds: Float[Tensor, "tokens hidden"],
    max_new_tokens: int,
    stop_ids: Collection[int] = (),
    chunk: int = PREFILL_CHUNK,
) -> list[int]:
    """Return the ids that greedily follow a prompt, up to but without a stop id: `prefill`, `continue_prompt`."""
    cache, logits = prefill(language_model, embeds, chunk, room=max_new_tokens)
    return continue_prompt(language_model, cache, logits, max_new_tokens, stop_ids)


def rope_cos_sin(
    language_model: Any, states: Float[Tensor, "*batch tokens hidden"], positions: Int[Tensor, "*batch tokens"]
) -> Rope:
    """Return cosines and sines of rotary positions, in the dtype of `states`."""
    if states.ndim == 2:
        cosines, sines = language_model.model.rotary_emb(states[None], positions[None])
        return cosines[0], sines[0]
    return language_model.model.rotary_emb(states, positions)


def apply_rope(
    heads: Float[Tensor, "*batch heads tokens size"], rope: Rope
) -> Float[Tensor, "*batch heads tokens size"]:
    """Rotate queries or keys by their positions, the last ones of `rope`."""
    cosines, sines = (part[..., -heads.shape[-2] :, :].unsqueeze(-3) for part in rope)
    first, second = heads.chunk(2, dim=-1)
    return heads * cosines + torch.cat((-second, first), dim=-1) * sines


def split_heads(rows: Float[Tensor, "*batch tokens width"], size: int) -> Float[Tensor, "*batch heads tokens size"]:
    """Return what a projection made with its heads, of `size` channels each, as an axis of their own."""
    return rows.unflatten(-1, (-1, size)).transpose(-3, -2)


def project_queries(
    layer: Any, normed: Float[Tensor, "*batch tokens hidden"], rope: Rope
) -> Float[Tensor, "*batch heads tokens size"]:
    """Return the rotated queries of states that `input_layernorm` has normed."""
    attention = layer.self_attn
    return apply_rope(split_heads(attention.q_proj(normed), attention.head_dim), rope)


def project_keys_values(
    layer: Any, normed: Float[Tensor, "*batch tokens hidden"], rope: Rope
) -> tuple[Float[Tensor, "*batch groups tokens size"], Float[Tensor, "*batch groups tokens size"]]:
    """Return the rotated keys and the values of states that `input_layernorm` has normed."""
    attention = layer.self_attn
    keys = apply_rope(split_heads(attention.k_proj(normed), attention.head_dim), rope)
    return keys, split_heads(attention.v_proj(normed), attention.head_dim)


def finish_layer(
    layer: Any, states: Float[Tensor, "tokens hidden"], attended: Float[Tensor, "heads tokens size"]
) -> Float[Tensor, "tokens hidden"]:
    """Return a layer's output: the output projection and the MLP, each added to what came in."""
    states = states + layer.self_attn.o_proj(attended.transpose(0, 1).flatten(1))
    return states + layer.mlp(layer.post_attention_layernorm(states))

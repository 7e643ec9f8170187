"""What the last tokens of a sequence look at, layer by layer: the rows of attention that a forward pass throws away.

`output_attentions` of `transformers` makes (heads, tokens, tokens) of every layer: for 128 whole frames at 7B
28 x 28 x 25,000 x 25,000 numbers. Here a sequence goes through one layer at a time; held are its states, the keys and
values of one layer, one chunk of activations, and the rows asked for, (heads, rows, tokens).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.models.qwen2.modeling_qwen2 import apply_rotary_pos_emb

from niah.adapters.attention import causal_tail
from niah.run.attention import VisualAttention
from niah.types import UserError

CHUNK = 2048  # tokens that attend at a time
KNOWN = ("qwen2", "llama")  # whose layers are alike: projections, rotary positions, two norms


def attended(
    language: Any, embeds: Tensor, first: int, frames: list[int], features: Tensor, between: int = 0
) -> VisualAttention:
    """Return what an adapter's `attentions` returns.

    `embeds` (tokens, hidden) is the whole prompt. Its visual tokens begin at number `first`; `frames` and `features`,
    (visual, dim), are theirs. Who asks are the tokens behind them but for the `between` first, a newline perhaps.
    """
    numbers, stop = np.array(frames), first + len(frames)
    rows = (layer[:, :, first:stop].cpu().numpy() for layer in attention_rows(language, embeds, stop + between))
    return VisualAttention(numbers, places(numbers), features.float().cpu().numpy(), rows)


def places(frames: np.ndarray) -> np.ndarray:
    """Return which token of its frame each is, (tokens,), and -1 for the only one of a frame."""
    found = np.empty(len(frames), dtype=int)
    for frame in np.unique(frames):
        own = np.flatnonzero(frames == frame)
        found[own] = np.arange(len(own)) if len(own) > 1 else -1
    return found


@torch.inference_mode()
def attention_rows(language: Any, embeds: Tensor, start: int) -> Iterator[Tensor]:
    """Yield for each layer what tokens `start` on attend to, (heads, tokens - start, tokens), rows of sum 1.

    `language` is a causal language model of `transformers`, `embeds` (tokens, hidden) its inputs. Single precision
    whatever the weights are. Raises UserError for another kind of model, or where no token is left to ask about.
    """
    kind = language.config.model_type
    if kind not in KNOWN:
        raise UserError(f"attention is read from language models of the kinds {', '.join(KNOWN)}, got {kind}")
    if not 0 <= start < len(embeds):
        raise UserError(f"{len(embeds)} tokens have none from number {start} on: nothing asks")
    states = embeds.clone()  # (tokens, hidden)
    positions = torch.arange(len(states), device=states.device)
    turns = language.model.rotary_emb(states[None], positions[None])  # cosines and sines, (1, tokens, head size)
    for layer in language.model.layers:
        attention = layer.self_attn
        parts = [_keys_and_values(layer, states[rows], _part(turns, rows)) for rows in _chunks(len(states))]
        keys, values = (torch.cat(one, dim=2) for one in zip(*parts, strict=True))  # (1, key heads, tokens, head size)
        del parts
        asking = slice(start, len(states))
        yield shares(_queries(layer, states[asking], _part(turns, asking))[0], keys[0], attention.scaling)
        if layer is language.model.layers[-1]:
            return  # what it makes of the states, nobody reads
        for rows in _chunks(len(states)):
            mixed = causal_tail(
                _queries(layer, states[rows], _part(turns, rows)), keys[:, :, : rows.stop], values[:, :, : rows.stop]
            )
            states[rows] += attention.o_proj(mixed[0].transpose(0, 1).flatten(1))
            states[rows] += layer.mlp(layer.post_attention_layernorm(states[rows]))


def shares(queries: Tensor, keys: Tensor, scale: float) -> Tensor:
    """Return the softmax of (heads, rows, size) queries, the last tokens, over (key heads, tokens, size) keys."""
    heads, rows, size = queries.shape
    grouped = queries.reshape(len(keys), -1, size)  # (key heads, heads that share them x rows, size)
    scores = (grouped @ keys.transpose(1, 2)).reshape(heads, rows, -1).float() * scale
    ahead = torch.ones(rows, rows, dtype=torch.bool, device=scores.device).triu(1)  # what a row may not see yet
    scores[:, :, -rows:].masked_fill_(ahead, float("-inf"))
    return scores.softmax(dim=-1)


def _chunks(count: int) -> list[slice]:
    return [slice(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]


def _part(turns: tuple[Tensor, Tensor], rows: slice) -> tuple[Tensor, Tensor]:
    return turns[0][:, rows], turns[1][:, rows]


def _queries(layer: Any, states: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    """Return the turned queries of (tokens, hidden) states, (1, heads, tokens, head size)."""
    rows = _heads(layer.self_attn, layer.self_attn.q_proj(layer.input_layernorm(states)))
    return apply_rotary_pos_emb(rows, rows[:, :0], *turns)[0]  # it turns pairs: here with no second


def _keys_and_values(layer: Any, states: Tensor, turns: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Return turned keys and values of (tokens, hidden) states, (1, key heads, tokens, head size) each."""
    attention, before = layer.self_attn, layer.input_layernorm(states)
    keys = _heads(attention, attention.k_proj(before))
    return apply_rotary_pos_emb(keys, keys[:, :0], *turns)[0], _heads(attention, attention.v_proj(before))


def _heads(attention: Any, rows: Tensor) -> Tensor:
    """Return (tokens, heads x size) as (1, heads, tokens, size)."""
    return rows.view(1, len(rows), -1, attention.head_dim).transpose(1, 2)

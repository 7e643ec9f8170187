"""Prefill a language model in chunks and continue greedily, with a cache that is sized once.

The cache of `transformers` grows by concatenation, which for a moment holds a layer twice
and leaves memory in pieces; here each layer has its room from the beginning.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache, DynamicLayer

from niah.types import UserError

PREFILL_CHUNK = 2048  # tokens


class SizedLayer(DynamicLayer):
    """Keys and values of one layer, (1, heads, capacity, dim) each, taken whole when the first token comes."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.room: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Write behind what is there and return views of all there is.

        Raises ValueError where the room does not suffice.
        """
        if self.room is None:
            shapes = [(*states.shape[:2], self.capacity, states.shape[3]) for states in (key_states, value_states)]
            self.room = key_states.new_empty(shapes[0]), value_states.new_empty(shapes[1])
            self.dtype, self.device, self.is_initialized = key_states.dtype, key_states.device, True
            self.keys, self.values = (room[:, :, :0] for room in self.room)
        start, stop = self.get_seq_length(), self.get_seq_length() + key_states.shape[2]
        if stop > self.capacity:
            raise ValueError(f"the cache has room for {self.capacity} tokens, got {stop}")
        for room, states in zip(self.room, (key_states, value_states), strict=True):
            room[:, :, start:stop] = states
        self.keys, self.values = (room[:, :, :stop] for room in self.room)
        return self.keys, self.values


def sized_cache(layers: int, capacity: int) -> Cache:
    """Return a cache for `capacity` tokens."""
    return Cache(layers=[SizedLayer(capacity) for _ in range(layers)])


def cached(module: nn.Module, cache: Cache) -> dict[str, Any]:
    """Return the arguments that make a model of `transformers` read and fill `cache`.

    The argument was called `past_key_values` up to 5.23 or so and is called `cache` since; the old name warns.
    """
    name = "cache" if "cache" in inspect.signature(module.forward).parameters else "past_key_values"
    return {name: cache, "use_cache": True}


@torch.inference_mode()
def prefill(language_model: Any, embeds: Tensor, chunk: int = PREFILL_CHUNK, room: int = 0) -> tuple[Cache, Tensor]:
    """Run (tokens, hidden) embeddings through a causal language model, `chunk` tokens at a time.

    Returns the cache, with space for `room` more tokens, and the (vocabulary,) logits of the last
    position; no other position's logits are made. Raises ValueError where there is no token.
    """
    if len(embeds) == 0:
        raise ValueError("a language model needs at least one token, got none")
    cache = sized_cache(language_model.config.num_hidden_layers, len(embeds) + room)
    last, remembered = embeds[-1:], cached(language_model.model, cache)
    for start in range(0, len(embeds), chunk):
        part = embeds[None, start : start + chunk]
        states = language_model.model(inputs_embeds=part, **remembered).last_hidden_state  # (1, chunk, hidden)
        last = states[0, -1:]
    return cache, language_model.lm_head(last)[0]


@torch.inference_mode()
def continue_greedily(
    language_model: Any, cache: Cache, logits: Tensor, max_new_tokens: int, stop_ids: Collection[int] = ()
) -> list[int]:
    """Return the likeliest continuation of what `cache` holds, up to but without a stop id.

    The cache needs room for `max_new_tokens` - 1 tokens. Raises UserError for logits that are not finite.
    """
    ids: list[int] = []
    embed, remembered = language_model.get_input_embeddings(), cached(language_model.model, cache)
    while len(ids) < max_new_tokens:
        best = int(finite(logits).argmax())
        if best in stop_ids:
            break
        ids.append(best)
        if len(ids) < max_new_tokens:
            token = embed(torch.tensor([[best]], device=logits.device))  # (1, 1, hidden)
            states = language_model.model(inputs_embeds=token, **remembered).last_hidden_state
            logits = language_model.lm_head(states[0, -1:])[0]
    return ids


def finite(logits: Tensor) -> Tensor:
    """Return logits as they came. Raises UserError where one is not finite: the likeliest would be made up."""
    if not logits.isfinite().all():
        raise UserError(
            f"the logits are not finite numbers in {logits.dtype}, so any answer would be made up: load with a wider "
            "dtype, and look for odd numbers in the checkpoint's config files"
        )
    return logits


def greedy(
    language_model: Any,
    embeds: Tensor,
    max_new_tokens: int,
    stop_ids: Collection[int] = (),
    chunk: int = PREFILL_CHUNK,
) -> list[int]:
    """Return the ids that greedily follow (tokens, hidden) embeddings, up to but without a stop id."""
    cache, logits = prefill(language_model, embeds, chunk, room=max_new_tokens)
    return continue_greedily(language_model, cache, logits, max_new_tokens, stop_ids)

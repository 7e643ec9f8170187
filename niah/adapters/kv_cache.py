"""A key-value cache of a fixed size for models of `transformers`.

Their own cache grows by concatenation, which for a moment holds a layer twice and fragments memory. Here each
layer allocates its capacity once, when its first token arrives.
"""

from __future__ import annotations

import inspect
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from transformers.cache_utils import Cache, DynamicLayer


class SizedLayer(DynamicLayer):
    """Keys and values of one layer, (1, heads, capacity, size) each."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.buffers: tuple[Tensor, Tensor] | None = None  # keys and values, allocated by the first `update`

    def update(
        self,
        key_states: Float[Tensor, "1 heads new size"],
        value_states: Float[Tensor, "1 heads new size"],
        *args: Any,
        **kwargs: Any,
    ) -> tuple[Float[Tensor, "1 heads tokens size"], Float[Tensor, "1 heads tokens size"]]:
        """Append keys and values; return views of all that is held.

        Raises ValueError where the capacity does not suffice.
        """
        if self.buffers is None:
            shapes = [(*states.shape[:2], self.capacity, states.shape[3]) for states in (key_states, value_states)]
            self.buffers = key_states.new_empty(shapes[0]), value_states.new_empty(shapes[1])
            self.dtype, self.device, self.is_initialized = key_states.dtype, key_states.device, True
            self.keys, self.values = (buffer[:, :, :0] for buffer in self.buffers)
        start = self.get_seq_length()
        stop = start + key_states.shape[2]
        if stop > self.capacity:
            raise ValueError(f"the cache has room for {self.capacity} tokens, got {stop}")
        for buffer, states in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[:, :, start:stop] = states
        self.keys, self.values = (buffer[:, :, :stop] for buffer in self.buffers)
        return self.keys, self.values

    def skip(self, count: int) -> None:
        """Hold `count` more tokens whose keys and values nobody writes: where memory is counted and values are not."""
        assert self.buffers is not None  # allocated by the first tokens
        stop = self.get_seq_length() + count
        self.keys, self.values = (buffer[:, :, :stop] for buffer in self.buffers)


def sized_cache(layers: int, capacity: int) -> Cache:
    """Return a cache for `capacity` tokens in each of `layers` layers."""
    return Cache(layers=[SizedLayer(capacity) for _ in range(layers)])


def cache_arguments(module: nn.Module, cache: Cache) -> dict[str, Any]:
    """Return the arguments that make a model of `transformers` read and fill `cache`.

    The argument was called `past_key_values` up to about version 5.23 and is called `cache` since; the old name warns.
    """
    name = "cache" if "cache" in inspect.signature(module.forward).parameters else "past_key_values"
    return {name: cache, "use_cache": True}

"""Keys and values that stay: the prefix, then summary tokens in the order of time, then the text.

Keys are stored rotated to their index here, which never changes once their window is over.
A step's own keys lie behind the kept ones while its layer attends and are overwritten by
the summary tokens' at its end, so raw tokens never take lasting room and nothing is copied
to make it. At 7B in 16 bits a token takes 57,344 bytes: 504 KiB a frame at ratio 16.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from baselines.video_xl.config import LanguageConfig


class KeyValues(Protocol):
    """What a layer's attention needs: a place to look at old and new keys, and to keep some of the new."""

    length: int  # tokens kept so far

    def look(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return kept and new keys and values of one layer, (heads, length + new, dim) each; keeps nothing."""
        ...

    def keep(self, layer: int, keys: Tensor, values: Tensor) -> None:
        """Append (heads, kept, dim) keys and values to one layer."""
        ...

    def advance(self, count: int) -> None:
        """Count the tokens that every layer has kept of a step."""
        ...


class Cache:
    """Room for `capacity` tokens in every layer, taken once."""

    def __init__(self, config: LanguageConfig, capacity: int, device: torch.device, dtype: torch.dtype) -> None:
        shape = (2, config.layers, config.key_value_heads, capacity, config.head)
        self.store = torch.empty(shape, device=device, dtype=dtype)  # (2, layers, heads, capacity, dim)
        self.length = 0

    def look(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write a step's keys and values behind the kept ones and return a view of all."""
        stop = self._write(layer, keys, values)
        return self.store[0, layer, :, :stop], self.store[1, layer, :, :stop]

    def keep(self, layer: int, keys: Tensor, values: Tensor) -> None:
        """Write what stays of a step over it; it counts once every layer has, by `advance`."""
        self._write(layer, keys, values)

    def advance(self, count: int) -> None:
        """Count the tokens that every layer kept of a step."""
        self.length += count

    def read(self, start: int, stop: int) -> Tensor:
        """Return a view of the tokens `start` up to `stop` of all layers: (2, layers, heads, count, dim)."""
        return self.store[:, :, :, start:stop]

    def append(self, kept: Tensor) -> None:
        """Append tokens that `read` gave at this very index."""
        stop = self.length + kept.shape[3]
        self.store[:, :, :, self.length : stop] = kept
        self.length = stop

    @property
    def bytes(self) -> int:
        """What the tokens kept so far take up."""
        return self.read(0, self.length).numel() * self.store.element_size()

    def _write(self, layer: int, keys: Tensor, values: Tensor) -> int:
        stop = self.length + keys.shape[1]
        if stop > self.store.shape[3]:
            raise ValueError(f"the cache has room for {self.store.shape[3]} tokens, got {stop}")
        self.store[0, layer, :, self.length : stop] = keys
        self.store[1, layer, :, self.length : stop] = values
        return stop


class GradientCache:
    """The same by concatenation, through which gradients flow back into earlier windows."""

    def __init__(self, config: LanguageConfig) -> None:
        self._kept: list[tuple[Tensor, Tensor] | None] = [None] * config.layers
        self.length = 0

    def look(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return kept and new ones, joined."""
        kept = self._kept[layer]
        return (keys, values) if kept is None else (torch.cat([kept[0], keys], 1), torch.cat([kept[1], values], 1))

    def keep(self, layer: int, keys: Tensor, values: Tensor) -> None:
        """Join what stays of a step to what is kept."""
        self._kept[layer] = self.look(layer, keys, values)

    def advance(self, count: int) -> None:
        """Count the tokens that every layer kept of a step."""
        self.length += count

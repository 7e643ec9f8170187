"""Qwen2 with summary tokens: a second set of q/k/v projections, and a cache that keeps only them of a window.

Written out rather than subclassed, because the cache, the positions and the projections all differ from Qwen2's, and
the rest is fifty lines. Modules are named as in the checkpoint, where summary tokens are "beacons".

The cache holds the prefix, then summary tokens in the order of time, then the text. Keys are stored rotated to their
index in it, which never changes once their window is over. A step's own keys lie after the kept ones while its layer
attends and are overwritten by the summary tokens' at its end, so raw tokens never take lasting room and nothing is
copied to make it. At 7B in 16 bits a token takes 57,344 bytes: 504 KiB a frame at ratio 16.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import linear, silu

from baselines.video_xl.compress import Window
from baselines.video_xl.config import SummaryQwen2Config
from niah.adapters.attention import attention_weights, causal_tail
from niah.adapters.spread import enter

States = Float[Tensor, "heads new dim"]
AllStates = Float[Tensor, "heads tokens dim"]  # kept and new


@dataclass(frozen=True)
class Rotation:
    """Cosines and sines of a rotary embedding, in single precision."""

    cosines: Float[Tensor, "tokens half"]
    sines: Float[Tensor, "tokens half"]

    def __call__(self, states: Float[Tensor, "heads tokens dim"]) -> Float[Tensor, "heads tokens dim"]:
        """Rotate states and return single precision: a kept key is rounded once, after its last rotation."""
        first, second = states.float().chunk(2, dim=-1)
        return torch.cat(
            [first * self.cosines - second * self.sines, second * self.cosines + first * self.sines], dim=-1
        )

    def to(self, device: torch.device | str) -> Rotation:
        """Return the rotation on a device."""
        return Rotation(self.cosines.to(device), self.sines.to(device))


def rotation(positions: Int[Tensor, " tokens"], dim: int, theta: float) -> Rotation:
    """Return the rotation by positions, which may be negative.

    Angles are computed in double precision: at position 91,000 a single-precision one is off by 0.004.
    """
    exponents = torch.arange(0, dim, 2, device=positions.device, dtype=torch.float64) / dim
    angles = positions.double()[:, None] / theta**exponents  # (tokens, dim / 2)
    return Rotation(angles.cos().float(), angles.sin().float())


@dataclass(frozen=True)
class StepLayout:
    """What every layer needs to know of one step; without summary tokens a step of text, all of which is kept."""

    rotate: Rotation
    raw: Int[Tensor, " raw"] | None = None  # positions of visual tokens in the step
    summaries: Int[Tensor, " summaries"] | None = None  # and of summary tokens
    order: Int[Tensor, " tokens"] | None = None  # puts [raw, summaries] into the step's order
    relocate: Rotation | None = None  # from a summary token's position in the step to its index in the cache

    def to(self, device: torch.device | str) -> StepLayout:
        """Return the layout on the device of a layer."""
        return StepLayout(**{name: part.to(device) for name, part in vars(self).items() if part is not None})


class RmsNorm(nn.Module):
    """Scale to unit root mean square in single precision."""

    def __init__(self, size: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.epsilon = epsilon

    def forward(self, states: Float[Tensor, "*tokens size"]) -> Float[Tensor, "*tokens size"]:
        """Normalise the last axis."""
        wide = states.float()
        return self.weight * (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.epsilon)).to(states.dtype)


class SummaryAttention(nn.Module):
    """Grouped-query attention over the cache and the step; summary tokens have projections of their own."""

    def __init__(self, config: SummaryQwen2Config) -> None:
        super().__init__()
        self.dim = config.head
        wide, narrow = config.heads * config.head, config.key_value_heads * config.head
        self.q_proj = nn.Linear(config.hidden, wide)
        self.k_proj = nn.Linear(config.hidden, narrow)
        self.v_proj = nn.Linear(config.hidden, narrow)
        self.o_proj = nn.Linear(wide, config.hidden, bias=False)
        self.beacon_q_proj = nn.Linear(config.hidden, wide)
        self.beacon_k_proj = nn.Linear(config.hidden, narrow)
        self.beacon_v_proj = nn.Linear(config.hidden, narrow)

    def forward(
        self, states: Float[Tensor, "tokens hidden"], step: StepLayout, cache: KeyValues, layer: int
    ) -> Float[Tensor, "tokens hidden"]:
        """Attend to the cache and the step; keep in the cache what stays of the step."""
        queries, keys, values = self._project(states, step)
        rotated = step.rotate(keys)
        all_keys, all_values = cache.look(layer, rotated.to(values.dtype), values)
        queries = step.rotate(queries).to(values.dtype)
        attended = causal_tail(queries[None], all_keys[None], all_values[None])[0]  # (heads, tokens, dim)
        if step.summaries is not None and step.relocate is not None:
            rotated, values = step.relocate(rotated[:, step.summaries]), values[:, step.summaries]
        cache.keep(layer, rotated.to(values.dtype), values)
        return self.o_proj(attended.transpose(0, 1).flatten(1))

    def weights(
        self, states: Float[Tensor, "tokens hidden"], step: StepLayout, cache: KeyValues, layer: int
    ) -> Float[Tensor, "heads tokens seen"]:
        """Return the attention weights of a step over the kept tokens and itself; keeps nothing."""
        queries, keys, values = self._project(states, step)
        all_keys, _ = cache.look(layer, step.rotate(keys).to(values.dtype), values)
        return attention_weights(step.rotate(queries).to(values.dtype), all_keys, self.dim**-0.5)

    def _project(
        self, states: Float[Tensor, "tokens hidden"], step: StepLayout
    ) -> list[Float[Tensor, "_heads tokens dim"]]:
        """Return queries, keys and values; those of summary tokens by their own projections."""
        ordinary = (self.q_proj, self.k_proj, self.v_proj)
        if step.summaries is None:
            made = [project(states) for project in ordinary]
        else:
            raw, summaries = states[step.raw], states[step.summaries]
            special = (self.beacon_q_proj, self.beacon_k_proj, self.beacon_v_proj)
            pairs = zip(ordinary, special, strict=True)
            made = [torch.cat([one(raw), other(summaries)])[step.order] for one, other in pairs]
        return [part.unflatten(-1, (-1, self.dim)).transpose(0, 1) for part in made]


class GatedMlp(nn.Module):
    """Qwen2's gated feed-forward layer."""

    def __init__(self, config: SummaryQwen2Config) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden, config.intermediate, bias=False)
        self.up_proj = nn.Linear(config.hidden, config.intermediate, bias=False)
        self.down_proj = nn.Linear(config.intermediate, config.hidden, bias=False)

    def forward(self, states: Float[Tensor, "tokens hidden"]) -> Float[Tensor, "tokens hidden"]:
        """Return down(silu(gate(x)) * up(x))."""
        return self.down_proj(silu(self.gate_proj(states)) * self.up_proj(states))


class SummaryLayer(nn.Module):
    """One block of the language model."""

    def __init__(self, config: SummaryQwen2Config) -> None:
        super().__init__()
        self.input_layernorm = RmsNorm(config.hidden, config.epsilon)
        self.self_attn = SummaryAttention(config)
        self.post_attention_layernorm = RmsNorm(config.hidden, config.epsilon)
        self.mlp = GatedMlp(config)

    def forward(
        self, states: Float[Tensor, "tokens hidden"], step: StepLayout, cache: KeyValues, layer: int
    ) -> Float[Tensor, "tokens hidden"]:
        """Attend, then run the feed-forward layer, each after its own norm and added to what came in."""
        states = states + self.self_attn(self.input_layernorm(states), step, cache, layer)
        return states + self.mlp(self.post_attention_layernorm(states))


class SummaryQwen2(nn.Module):
    """The language model: a step of text or of one window at a time, over a cache."""

    def __init__(self, config: SummaryQwen2Config) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocabulary, config.hidden)
        self.beacon_embed_tokens = nn.Embedding(1, config.hidden)
        self.layers = nn.ModuleList(SummaryLayer(config) for _ in range(config.layers))
        self.norm = RmsNorm(config.hidden, config.epsilon)
        self.lm_head = None if config.tied else nn.Linear(config.hidden, config.vocabulary, bias=False)

    def read_text(self, ids: Int[Tensor, " tokens"], cache: KeyValues) -> Float[Tensor, "tokens hidden"]:
        """Read ids, keep them all, and return their states after the last norm."""
        return self._run(self.embed_tokens(ids), self._step(len(ids), cache.length), cache, len(ids))

    def read_window(
        self, visual: Float[Tensor, "visual hidden"], window: Window, cache: KeyValues
    ) -> Float[Tensor, "tokens hidden"]:
        """Read visual tokens, keep their summary tokens, and return the states of both, in order."""
        step = self._step(len(visual) + window.summaries, cache.length, window)
        summaries = self.beacon_embed_tokens.weight.expand(window.summaries, -1)
        mixed = torch.cat([visual, summaries.to(visual.dtype)])[step.order]  # (tokens + summaries, hidden)
        return self._run(mixed, step, cache, window.summaries)

    def attention(self, ids: Int[Tensor, " tokens"], cache: KeyValues) -> Iterator[Float[Tensor, "heads tokens seen"]]:
        """Yield for each layer the attention weights of ids that follow the cache, as `read_text` would read them.

        The cache does not count them: what is read next takes their place.
        """
        states = self.embed_tokens(ids)
        step = self._step(len(ids), cache.length)
        for number, layer in enumerate(cast(Any, self.layers)):
            states, step = enter(layer, states, step)
            yield layer.self_attn.weights(layer.input_layernorm(states), step, cache, number)
            states = layer(states, step, cache, number)

    def logits(self, states: Float[Tensor, "tokens hidden"]) -> Float[Tensor, "tokens vocabulary"]:
        """Return the logits after each token."""
        return linear(states, self.embed_tokens.weight if self.lm_head is None else self.lm_head.weight)

    def _run(
        self, states: Float[Tensor, "tokens hidden"], step: StepLayout, cache: KeyValues, kept: int
    ) -> Float[Tensor, "tokens hidden"]:
        for number, layer in enumerate(self.layers):
            states, step = enter(layer, states, step)
            states = layer(states, step, cache, number)
        cache.advance(kept)
        return self.norm(states)

    def _step(self, count: int, held: int, window: Window | None = None) -> StepLayout:
        """Prepare a step of `count` tokens after `held` kept ones. Positions go on from the compressed cache."""
        device, dim, theta = self.norm.weight.device, self.config.head, self.config.rope_theta
        here = torch.arange(count, device=device)
        rotate = rotation(held + here, dim, theta)
        if window is None:
            return StepLayout(rotate)
        places = torch.arange(window.places.start, window.places.stop, window.places.step, device=device)
        raw = torch.from_numpy(np.setdiff1d(np.arange(count), window.places)).to(device)  # no wait for the device
        order = torch.cat([raw, places]).argsort()
        relocate = rotation(here[: len(places)] - places, dim, theta)
        return StepLayout(rotate, raw, places, order, relocate)


@runtime_checkable
class KeyValues(Protocol):
    """What a layer's attention needs: a place to look at old and new keys, and to keep some of the new."""

    length: int  # tokens kept so far

    def look(self, layer: int, keys: States, values: States) -> tuple[AllStates, AllStates]:
        """Return kept and new keys and values of one layer; keeps nothing."""
        ...

    def keep(self, layer: int, keys: States, values: States) -> None:
        """Append keys and values to one layer; they count once every layer has, by `advance`."""
        ...

    def advance(self, count: int) -> None:
        """Count the tokens that every layer has kept of a step."""
        ...


class SummaryCache:
    """A cache for `capacity` tokens in every layer, allocated once, each layer's on its own device."""

    def __init__(
        self, config: SummaryQwen2Config, capacity: int, devices: Sequence[torch.device], dtype: torch.dtype
    ) -> None:
        shape = (2, config.key_value_heads, capacity, config.head)
        self.layers = [torch.empty(shape, device=device, dtype=dtype) for device in devices]
        self.length = 0

    def look(self, layer: int, keys: States, values: States) -> tuple[AllStates, AllStates]:
        """Write a step's keys and values after the kept ones and return a view of all."""
        stop = self._write(layer, keys, values)
        all_keys, all_values = self.layers[layer][:, :, :stop]
        return all_keys, all_values

    def keep(self, layer: int, keys: States, values: States) -> None:
        """Write what stays of a step over it; it counts once every layer has, by `advance`."""
        self._write(layer, keys, values)

    def advance(self, count: int) -> None:
        """Count the tokens that every layer kept of a step."""
        self.length += count

    def read(self, start: int, stop: int) -> Float[Tensor, "2 layers heads count dim"]:
        """Return a copy of the keys and values of tokens `start` up to `stop` in all layers, on one device."""
        first = self.layers[0].device
        return torch.stack([layer[:, :, start:stop].to(first) for layer in self.layers], dim=1)

    def append(self, kept: Float[Tensor, "2 layers heads count dim"]) -> None:
        """Append tokens that `read` returned from this very index."""
        stop = self.length + kept.shape[3]
        for layer, part in zip(self.layers, kept.unbind(1), strict=True):
            layer[:, :, self.length : stop] = part
        self.length = stop

    @property
    def bytes(self) -> int:
        """The bytes of the tokens kept so far."""
        return sum(layer[:, :, : self.length].nbytes for layer in self.layers)

    def _write(self, layer: int, keys: States, values: States) -> int:
        stop = self.length + keys.shape[1]
        store = self.layers[layer]
        if stop > store.shape[2]:
            raise ValueError(f"the cache has room for {store.shape[2]} tokens, got {stop}")
        store[0, :, self.length : stop] = keys
        store[1, :, self.length : stop] = values
        return stop


class GradientCache:
    """A cache that grows by concatenation, through which gradients flow back into earlier windows."""

    def __init__(self, config: SummaryQwen2Config) -> None:
        self._kept: list[tuple[Tensor, Tensor] | None] = [None] * config.layers
        self.length = 0

    def look(self, layer: int, keys: States, values: States) -> tuple[AllStates, AllStates]:
        """Return kept and new ones, joined."""
        kept = self._kept[layer]
        if kept is None:
            return keys, values
        return torch.cat([kept[0], keys], 1), torch.cat([kept[1], values], 1)

    def keep(self, layer: int, keys: States, values: States) -> None:
        """Join what stays of a step to what is kept."""
        self._kept[layer] = self.look(layer, keys, values)

    def advance(self, count: int) -> None:
        """Count the tokens that every layer kept of a step."""
        self.length += count

"""Qwen2 with summary tokens: a second set of q/k/v projections, and a cache that keeps only them of a window.

Written out rather than subclassed, because the cache, the positions and the projections all
differ from Qwen2's, and the rest is fifty lines. Modules are called as in the checkpoint,
where summary tokens are "beacons".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu

from baselines.video_xl.cache import KeyValues
from baselines.video_xl.config import LanguageConfig
from baselines.video_xl.windows import Window
from niah.adapters.attention import attention_weights, causal_tail


@dataclass(frozen=True)
class Rotation:
    """Cosines and sines of a rotary embedding, (tokens, dim / 2) each, in single precision."""

    cosines: Tensor
    sines: Tensor

    def __call__(self, states: Tensor) -> Tensor:
        """Rotate (heads, tokens, dim) and return single precision: a kept key is rounded once, after its turn."""
        first, second = states.float().chunk(2, dim=-1)
        return torch.cat(
            [first * self.cosines - second * self.sines, second * self.cosines + first * self.sines], dim=-1
        )


def rotation(positions: Tensor, dim: int, theta: float) -> Rotation:
    """Return the rotation by (tokens,) positions, negative ones too.

    Angles are made in double precision: at position 91,000 a single-precision one is off by 0.004.
    """
    exponents = torch.arange(0, dim, 2, device=positions.device, dtype=torch.float64) / dim
    angles = positions.double()[:, None] / theta**exponents  # (tokens, dim / 2)
    return Rotation(angles.cos().float(), angles.sin().float())


@dataclass(frozen=True)
class Step:
    """What every layer needs to know of one step; `None` fields: a step of text, all of which is kept."""

    rotate: Rotation
    raw: Tensor | None = None  # positions of visual tokens in the step
    summaries: Tensor | None = None  # and of summary tokens
    order: Tensor | None = None  # puts [raw, summaries] into the step's order
    turn: Rotation | None = None  # from a summary token's position in the step to its index in the cache


class RmsNorm(nn.Module):
    """Scale to unit root mean square in single precision."""

    def __init__(self, size: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.epsilon = epsilon

    def forward(self, states: Tensor) -> Tensor:
        """Normalise the last axis."""
        wide = states.float()
        return self.weight * (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.epsilon)).to(states.dtype)


class Attention(nn.Module):
    """Grouped-query attention over the cache and the step; summary tokens have projections of their own."""

    def __init__(self, config: LanguageConfig) -> None:
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

    def forward(self, states: Tensor, step: Step, cache: KeyValues, layer: int) -> Tensor:
        """Attend (tokens, hidden), and keep what stays of the step in the cache."""
        queries, keys, values = self._project(states, step)  # (heads, tokens, dim) each
        rotated = step.rotate(keys)
        all_keys, all_values = cache.look(layer, rotated.to(values.dtype), values)
        queries = step.rotate(queries).to(values.dtype)
        attended = causal_tail(queries[None], all_keys[None], all_values[None])[0]  # (heads, tokens, dim)
        if step.summaries is not None and step.turn is not None:
            rotated, values = step.turn(rotated[:, step.summaries]), values[:, step.summaries]
        cache.keep(layer, rotated.to(values.dtype), values)
        return self.o_proj(attended.transpose(0, 1).flatten(1))

    def attention_weights(self, states: Tensor, step: Step, cache: KeyValues, layer: int) -> Tensor:
        """Return what (tokens, hidden) attend to, (heads, tokens, kept + tokens), in rows of sum 1; keeps nothing."""
        queries, keys, values = self._project(states, step)
        all_keys, _ = cache.look(layer, step.rotate(keys).to(values.dtype), values)
        return attention_weights(step.rotate(queries).to(values.dtype), all_keys, self.dim**-0.5)

    def _project(self, states: Tensor, step: Step) -> list[Tensor]:
        """Return queries, keys and values, by either set of projections."""
        ordinary = (self.q_proj, self.k_proj, self.v_proj)
        if step.summaries is None:
            made = [project(states) for project in ordinary]
        else:
            raw, summaries = states[step.raw], states[step.summaries]
            special = (self.beacon_q_proj, self.beacon_k_proj, self.beacon_v_proj)
            pairs = zip(ordinary, special, strict=True)
            made = [torch.cat([one(raw), other(summaries)])[step.order] for one, other in pairs]
        return [part.unflatten(-1, (-1, self.dim)).transpose(0, 1) for part in made]


class Mlp(nn.Module):
    """Qwen2's gated feed-forward layer."""

    def __init__(self, config: LanguageConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden, config.intermediate, bias=False)
        self.up_proj = nn.Linear(config.hidden, config.intermediate, bias=False)
        self.down_proj = nn.Linear(config.intermediate, config.hidden, bias=False)

    def forward(self, states: Tensor) -> Tensor:
        """Transform (tokens, hidden)."""
        return self.down_proj(silu(self.gate_proj(states)) * self.up_proj(states))


class Layer(nn.Module):
    """One block of the language model."""

    def __init__(self, config: LanguageConfig) -> None:
        super().__init__()
        self.input_layernorm = RmsNorm(config.hidden, config.epsilon)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RmsNorm(config.hidden, config.epsilon)
        self.mlp = Mlp(config)

    def forward(self, states: Tensor, step: Step, cache: KeyValues, layer: int) -> Tensor:
        """Transform (tokens, hidden)."""
        states = states + self.self_attn(self.input_layernorm(states), step, cache, layer)
        return states + self.mlp(self.post_attention_layernorm(states))


class SummaryQwen2(nn.Module):
    """The language model: a step of text or of one window at a time, over a cache."""

    def __init__(self, config: LanguageConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocabulary, config.hidden)
        self.beacon_embed_tokens = nn.Embedding(1, config.hidden)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = RmsNorm(config.hidden, config.epsilon)
        self.lm_head = None if config.tied else nn.Linear(config.hidden, config.vocabulary, bias=False)

    def read_text(self, ids: Tensor, cache: KeyValues) -> Tensor:
        """Read (tokens,) ids, keep them all, and return their (tokens, hidden) states after the last norm."""
        return self._run(self.embed_tokens(ids), self._step(len(ids), cache.length), cache, len(ids))

    def read_window(self, visual: Tensor, window: Window, cache: KeyValues) -> Tensor:
        """Read (tokens, hidden) visual tokens, keep their summary tokens, and return the states of both, in order."""
        step = self._step(len(visual) + window.summaries, cache.length, window)
        summaries = self.beacon_embed_tokens.weight.expand(window.summaries, -1)
        mixed = torch.cat([visual, summaries.to(visual.dtype)])[step.order]  # (tokens + summaries, hidden)
        return self._run(mixed, step, cache, window.summaries)

    def attention(self, ids: Tensor, cache: KeyValues) -> Iterator[Tensor]:
        """Yield for each layer what (tokens,) ids attend to as `read_text` reads them, (heads, tokens, kept + tokens).

        The cache is not told of them: what is read next takes their place.
        """
        states, step = self.embed_tokens(ids), self._step(len(ids), cache.length)
        for number, layer in enumerate(cast(Any, self.layers)):
            yield layer.self_attn.shares(layer.input_layernorm(states), step, cache, number)
            states = layer(states, step, cache, number)

    def logits(self, states: Tensor) -> Tensor:
        """Return (tokens, vocabulary) logits of (tokens, hidden) states."""
        return linear(states, self.embed_tokens.weight if self.lm_head is None else self.lm_head.weight)

    def _run(self, states: Tensor, step: Step, cache: KeyValues, kept: int) -> Tensor:
        for number, layer in enumerate(self.layers):
            states = layer(states, step, cache, number)
        cache.advance(kept)
        return self.norm(states)

    def _step(self, count: int, held: int, window: Window | None = None) -> Step:
        """Prepare a step of `count` tokens behind `held` kept ones. Positions go on from the compressed cache."""
        device, dim, theta = self.norm.weight.device, self.config.head, self.config.rope_theta
        here = torch.arange(count, device=device)
        rotate = rotation(held + here, dim, theta)
        if window is None:
            return Step(rotate)
        places = torch.arange(window.places.start, window.places.stop, window.places.step, device=device)
        is_raw = torch.ones(count, dtype=torch.bool, device=device).index_fill(0, places, False)
        raw = here[is_raw]
        order = torch.cat([raw, places]).argsort()
        turn = rotation(here[: len(places)] - places, dim, theta)
        return Step(rotate, raw, places, order, turn)

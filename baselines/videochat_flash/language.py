"""The language model: transformers' Qwen2 layers, run so that visual tokens can go on the way.

Layers between two stops run over the whole prompt, `chunk` tokens at a time, before the next layers begin:
a stop has to know all of it. Every layer's cache is as long as what its layer sees. Attention is called here
and not inside transformers' module because a chunk must see the cache before it without a square mask, and
because the release's rotary table is no part of transformers any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.qwen2.configuration_qwen2 import Qwen2Config
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer, Qwen2RMSNorm

from baselines.videochat_flash import dropout as drop
from baselines.videochat_flash.config import Dropout, LanguageConfig
from baselines.videochat_flash.rope import Rope, rotate
from niah.adapters.attention import attention_weights, causal_tail
from niah.adapters.kv_cache import SizedLayer
from niah.adapters.qwen import PREFILL_CHUNK


def qwen_config(config: LanguageConfig) -> Qwen2Config:
    """Return what transformers calls the same model; `rope_scaling` is in it, and only `rope: exact` looks."""
    return Qwen2Config(
        vocab_size=config.vocabulary,
        hidden_size=config.width,
        intermediate_size=config.intermediate,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.key_value_heads,
        max_position_embeddings=config.positions,
        rms_norm_eps=config.norm_eps,
        rope_parameters={"rope_type": "default", **(config.rope_scaling or {}), "rope_theta": config.rope_theta},
    )


@dataclass
class State:
    """A prompt the model has read: what decoding needs, and what was dropped on the way."""

    cache: list[SizedLayer]  # rotated keys and values, a layer each
    longest: list[int]  # the longest sequence each layer has met: the release's rotary table depends on it
    hidden: Tensor  # (kept rows, width): the last positions behind the final norm
    kept: list[Tensor] = field(default_factory=list)  # of each stop: visual tokens kept, numbered from the first
    scores: list[Tensor | None] = field(default_factory=list)  # of each stop by attention: its candidates' scores


class Language(nn.Module):
    """Qwen2 with the release's parameter names, less "model."."""

    def __init__(self, config: LanguageConfig) -> None:
        super().__init__()
        qwen = qwen_config(config)
        self.config, self.qwen = config, qwen
        self.embed_tokens = nn.Embedding(config.vocabulary, config.width)
        self.layers = nn.ModuleList(Qwen2DecoderLayer(qwen, number) for number in range(config.layers))
        self.norm = Qwen2RMSNorm(config.width, config.norm_eps)
        self.lm_head = nn.Linear(config.width, config.vocabulary, bias=False)
        if config.tied:
            self.lm_head.weight = self.embed_tokens.weight

    def prefill(
        self,
        embeds: Tensor,
        visual: range,
        dropout: Dropout | None,
        rope: Rope,
        chunk: int = PREFILL_CHUNK,
        room: int = 0,
        rows: int = 1,
    ) -> State:
        """Read (tokens, width) embeddings, of which `visual` are visual tokens, and overwrite them.

        Holds the embeddings, twice while tokens are dropped, one chunk's activations, and a cache of
        4 * key-value heads * head width bytes a token and layer in half precision, with room for `room` more
        tokens. Returns the last `rows` positions' states; logits are made of those asked for only.
        """
        state, hidden, left = State([], [], embeds[:0]), embeds, torch.arange(len(visual))
        for number, stretch in enumerate(drop.stretches(dropout, len(self.layers))):
            longest = len(hidden)
            if dropout is not None and number > 0:
                keep = drop.counts(dropout, len(visual))[number]
                now = range(visual.start, visual.start + len(left))
                place, scores = self._choose(hidden, now, keep, dropout, number - 1, rope)
                hidden = torch.cat([hidden[: now.start], hidden[now.start + place], hidden[now.stop :]])
                left = left[place.cpu()]
                state.kept.append(left)
                state.scores.append(scores)
                longest = len(hidden) if scores is None else longest  # scoring made its layer's table that long
            state.cache += [SizedLayer(len(hidden) + room) for _ in stretch]
            state.longest += [longest, *[len(hidden)] * (len(stretch) - 1)]
            for start in range(0, len(hidden), chunk):
                part = hidden[start : start + chunk]
                part[:] = self._run(part, stretch, state, rope)
        state.hidden = self.norm(hidden[-rows:])
        return state

    def step(self, token: int, state: State, rope: Rope) -> Tensor:
        """Append one token to a prompt that was read and return the logits (vocabulary,) behind it."""
        hidden = self.embed_tokens.weight[token][None]  # (1, width)
        for number, cache in enumerate(state.cache):
            state.longest[number] = max(state.longest[number], cache.get_seq_length() + 1)
        return self.logits(self.norm(self._run(hidden, range(len(self.layers)), state, rope)))[0]

    def attention(self, words: Tensor, state: State, rope: Rope) -> Iterator[Tensor]:
        """Yield for each layer what the last tokens of a prompt that was read attend to, (heads, words, tokens).

        `words` are their embeddings (words, width). Only queries are made again; keys and values are the cache's.
        """
        for number, cache in enumerate(state.cache):
            layer: Any = self.layers[number]
            keys, values, stop = cache.keys, cache.values, cache.get_seq_length()
            assert keys is not None and values is not None  # the prompt was read
            turns = rope.rows(stop - len(words), stop, state.longest[number], words)
            query = self._heads(layer, words, turns)[0]
            yield attention_weights(query, keys[0], self.config.head_width**-0.5)
            words = self._after(layer, words, causal_tail(query[None], keys, values))

    def logits(self, hidden: Tensor) -> Tensor:
        """Return (rows, vocabulary) fp32 for normed states (rows, width)."""
        return self.lm_head(hidden).float()

    def _run(self, hidden: Tensor, numbers: Sequence[int], state: State, rope: Rope) -> Tensor:
        """Run some layers over tokens that follow what their caches hold."""
        for number in numbers:
            layer: Any = self.layers[number]
            cache = state.cache[number]
            start = cache.get_seq_length()
            turns = rope.rows(start, start + len(hidden), state.longest[number], hidden)
            query, key, value = self._heads(layer, hidden, turns)
            keys, values = cache.update(key[None], value[None])
            hidden = self._after(layer, hidden, causal_tail(query[None], keys, values))
        return hidden

    def _after(self, layer: Any, hidden: Tensor, mixed: Tensor) -> Tensor:
        """Return what a layer makes of (tokens, width) that have mixed (1, heads, tokens, head width)."""
        hidden = hidden + layer.self_attn.o_proj(mixed[0].transpose(0, 1).flatten(1))
        return hidden + layer.mlp(layer.post_attention_layernorm(hidden))

    def _heads(self, layer: Any, hidden: Tensor, turns: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return rotated queries, rotated keys and values, each (heads, tokens, head width)."""
        normed, attention = layer.input_layernorm(hidden), layer.self_attn
        query, key, value = (
            projection(normed).unflatten(-1, (-1, self.config.head_width)).transpose(0, 1)
            for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        return rotate(query, *turns), rotate(key, *turns), value

    def _choose(
        self, hidden: Tensor, visual: range, keep: int, dropout: Dropout, stop: int, rope: Rope
    ) -> tuple[Tensor, Tensor | None]:
        """Return which visual tokens stay at a stop, and their scores where attention decides."""
        if not drop.by_attention(dropout, stop):
            return drop.uniform_kept(len(visual), keep).to(hidden.device), None
        turns = rope.rows(0, len(hidden), len(hidden), hidden)
        query, keys, _ = self._heads(self.layers[dropout.layers[stop]], hidden, turns)
        scores = drop.attention_scores(query[:, -1], keys, visual)
        return drop.attention_kept(scores, keep), scores

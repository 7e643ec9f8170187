"""VideoChat-Flash's language model: transformers' Qwen2 layers, run so that visual tokens can be dropped on the way.

Layers between two stops run over the whole prompt, `chunk` tokens at a time, before the next layers begin: a stop has
to know all of it. Every layer's cache is as long as what its layer sees. The layers are stepped through here, because
a chunk must see the cache before it without a square mask, and because the release's rotary positions are no part of
transformers any more:

the release builds its table in fp32 for the trained positions and casts it with the model. A longer sequence makes it
build the table again in the model's dtype: in bf16 about 1,150 different rows are left of 32,770, in fp16 positions
from 65,520 on are NaN. It also ignores `rope_scaling`. That is `faithful`; `exact` is what transformers' own Qwen2 does
today: fp32 angles for every position, and `rope_scaling` (YaRN) acts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers.models.qwen2.configuration_qwen2 import Qwen2Config
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer, Qwen2RMSNorm, Qwen2RotaryEmbedding

from baselines.videochat_flash import compress
from baselines.videochat_flash.config import DroppingQwen2Config, TokenDropout
from niah.adapters.attention import attention_weights, causal_tail
from niah.adapters.kv_cache import SizedLayer
from niah.adapters.qwen import PREFILL_CHUNK, Rope, finish_layer, project_keys_values, project_queries
from niah.adapters.spread import enter
from niah.types import UserError

MODES = ("faithful", "exact")
SCALINGS = ("default", "linear", "yarn")  # those whose angles depend on the position alone, not on the longest so far


def faithful_rows(
    positions: Int[Tensor, " positions"], width: int, theta: float, dtype: torch.dtype, rebuilt: bool
) -> tuple[Float[Tensor, "positions width"], Float[Tensor, "positions width"]]:
    """Return cosines and sines as the release's table has them.

    Args:
        positions: Positions in the sequence.
        width: Channels of a head.
        theta: Base of the rotary frequencies.
        dtype: The model's.
        rebuilt: Whether the table was built again for a sequence longer than the trained positions.
    """
    exponents = torch.arange(0, width, 2, dtype=torch.int64, device=positions.device).float() / width
    frequencies = 1.0 / theta**exponents
    working = dtype if rebuilt else torch.float32
    angles = torch.outer(positions.to(working), frequencies.to(working))
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos().to(dtype), angles.sin().to(dtype)


class RopeTable:
    """Cosines and sines of positions, in one of the MODES."""

    def __init__(self, mode: str, config: DroppingQwen2Config, qwen: Qwen2Config, device: torch.device) -> None:
        if mode not in MODES:
            raise UserError(f"rope must be one of {', '.join(MODES)}; got {mode!r}")
        if mode == "exact" and config.scaling not in SCALINGS:
            raise UserError(f"rope_scaling is one of {', '.join(SCALINGS)} here; the config has {config.scaling!r}")
        self.mode, self._config = mode, config
        self._exact = Qwen2RotaryEmbedding(qwen).to(device) if mode == "exact" else None

    def rows(self, start: int, stop: int, longest: int, like: Float[Tensor, "_tokens width"]) -> Rope:
        """Return cosines and sines of positions `start` up to `stop`.

        Args:
            start: The first position.
            stop: The position after the last.
            longest: The longest sequence the layer has met in this answer; a faithful table depends on it.
            like: A tensor of the wanted dtype, on the wanted device.
        """
        where = torch.arange(start, stop, device=like.device)
        if self._exact is None:
            width, theta = self._config.head_width, self._config.rope_theta
            return faithful_rows(where, width, theta, like.dtype, longest > self._config.positions)
        cosines, sines = self._exact(like, where[None])
        return cosines[0], sines[0]


def qwen_config(config: DroppingQwen2Config) -> Qwen2Config:
    """Return the same sizes as a config of transformers; its `rope_scaling` is read only with `rope: exact`."""
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
class PromptState:
    """A prompt the model has read: what decoding needs, and what was dropped on the way."""

    cache: list[SizedLayer]  # rotated keys and values, a layer each
    longest: list[int]  # the longest sequence each layer has met: the release's rotary table depends on it
    hidden: Float[Tensor, "rows width"]  # the last positions, after the final norm
    kept: list[Tensor] = field(default_factory=list)  # at each stop: visual tokens kept, numbered from the first
    scores: list[Tensor | None] = field(default_factory=list)  # at each stop by attention: its candidates' scores


class DroppingQwen2(nn.Module):
    """Qwen2 with the release's parameter names without "model."."""

    def __init__(self, config: DroppingQwen2Config) -> None:
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
        embeds: Float[Tensor, "tokens width"],
        visual: range,
        dropout: TokenDropout | None,
        rope: RopeTable,
        chunk: int = PREFILL_CHUNK,
        room: int = 0,
        rows: int = 1,
    ) -> PromptState:
        """Read a prompt; return the state that decoding continues from.

        Holds the embeddings, twice while tokens are dropped, one chunk's activations, and a cache of
        4 * key-value heads * head width bytes a token and layer in half precision.

        Args:
            embeds: The prompt's embeddings; they are overwritten.
            visual: Which of its tokens are visual.
            dropout: Where visual tokens are dropped, if anywhere.
            rope: The rotary positions.
            chunk: Tokens that pass through the layers at a time.
            room: How many more tokens each layer's cache shall have room for.
            rows: How many of the last positions' states to return; logits are made only of those asked for.
        """
        state = PromptState([], [], embeds[:0])
        hidden = embeds
        left = torch.arange(len(visual))  # visual tokens not dropped so far
        for number, stretch in enumerate(compress.layer_stretches(dropout, len(self.layers))):
            longest = len(hidden)
            if dropout is not None and number > 0:
                keep = compress.kept_counts(dropout, len(visual))[number]
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

    def step(self, token: int, state: PromptState, rope: RopeTable) -> Float[Tensor, " vocabulary"]:
        """Append one token to a prompt that was read, and return the logits after it."""
        hidden = self.embed_tokens.weight[token][None]  # (1, width)
        for number, cache in enumerate(state.cache):
            state.longest[number] = max(state.longest[number], cache.get_seq_length() + 1)
        return self.logits(self.norm(self._run(hidden, range(len(self.layers)), state, rope)))[0]

    def attention(
        self, words: Float[Tensor, "words width"], state: PromptState, rope: RopeTable
    ) -> Iterator[Float[Tensor, "heads words tokens"]]:
        """Yield for each layer the attention weights of the last tokens of a prompt that was read.

        `words` are their embeddings. Only queries are computed again; keys and values are the cache's.
        """
        for number, cache in enumerate(state.cache):
            layer: Any = self.layers[number]
            keys, values, stop = cache.keys, cache.values, cache.get_seq_length()
            assert keys is not None and values is not None  # the prompt was read
            (words,) = enter(layer, words)
            rows = rope.rows(stop - len(words), stop, state.longest[number], words)
            queries = project_queries(layer, layer.input_layernorm(words), rows)
            yield attention_weights(queries, keys[0], self.config.head_width**-0.5)
            words = finish_layer(layer, words, causal_tail(queries[None], keys, values)[0])

    def logits(self, hidden: Float[Tensor, "rows width"]) -> Float[Tensor, "rows vocabulary"]:
        """Return the logits of normed states, in fp32."""
        return self.lm_head(hidden).float()

    def _run(
        self, hidden: Float[Tensor, "tokens width"], numbers: Sequence[int], state: PromptState, rope: RopeTable
    ) -> Float[Tensor, "tokens width"]:
        """Run some layers over tokens that follow what their caches hold."""
        for number in numbers:
            hidden = self.run_layer(hidden, number, state, rope)
        return hidden

    def run_layer(
        self, hidden: Float[Tensor, "tokens width"], number: int, state: PromptState, rope: RopeTable
    ) -> Float[Tensor, "tokens width"]:
        """Run one layer over tokens that follow what its cache holds."""
        layer: Any = self.layers[number]
        cache = state.cache[number]
        (hidden,) = enter(layer, hidden)
        start = cache.get_seq_length()
        rows = rope.rows(start, start + len(hidden), state.longest[number], hidden)
        normed = layer.input_layernorm(hidden)
        queries = project_queries(layer, normed, rows)
        new_keys, new_values = project_keys_values(layer, normed, rows)
        keys, values = cache.update(new_keys[None], new_values[None])
        return finish_layer(layer, hidden, causal_tail(queries[None], keys, values)[0])

    def _choose(
        self,
        hidden: Float[Tensor, "tokens width"],
        visual: range,
        keep: int,
        dropout: TokenDropout,
        stop: int,
        rope: RopeTable,
    ) -> tuple[Int[Tensor, " keep"], Float[Tensor, " visual"] | None]:
        """Return which visual tokens stay at a stop, and their scores where attention decides."""
        if not compress.by_attention(dropout, stop):
            return compress.uniform_kept(len(visual), keep).to(hidden.device), None
        layer: Any = self.layers[dropout.layers[stop]]
        device = hidden.device
        (hidden,) = enter(layer, hidden)
        rows = rope.rows(0, len(hidden), len(hidden), hidden)
        normed = layer.input_layernorm(hidden)
        queries = project_queries(layer, normed, rows)
        keys, _ = project_keys_values(layer, normed, rows)
        scores = compress.attention_scores(queries[:, -1], keys, visual)
        return compress.attention_kept(scores, keep).to(device), scores

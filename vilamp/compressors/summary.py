"""Video-XL's summary tokens (arXiv 2409.14485) in the small language model.

A window of frames passes through the language model as pooled patches with summary tokens between them, which have
query, key and value projections of their own. Behind the window only their keys and values stay, turned to
their place in the cache; the patches' are dropped. `read` goes window by window over a cache, `states` reads all
windows of a batch at once, which is the same by causality and what training can afford: `summary_rows` lays them out.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import Cache, Qwen2ForCausalLM

from niah.adapters.attention import causal_tail
from niah.adapters.compressor import Choice, Chunks, Connectors, Sequences, States, TokenChunk
from niah.adapters.kv_cache import sized_cache
from vilamp.compressors.budget import tokens_of
from vilamp.compressors.pooled import EveryFrame
from vilamp.compressors.summary_rows import WINDOW, Part, Rows, lay_out
from vilamp.prefill import turned

POOL = 2  # patches a side that become one token


class Projections(nn.Module):
    """Queries, keys and values of summary tokens in one layer; they begin as copies of the ordinary ones."""

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.query, self.key, self.value = (
            copy.deepcopy(one) for one in (attention.q_proj, attention.k_proj, attention.v_proj)
        )


class SummaryTokens(EveryFrame):
    """Summary tokens behind equal runs of a frame's pooled patches, as many as mean pooling would give.

    Holds the patches of a chunk, the inputs of a window, and the cache of what stays.
    """

    name = "summary"

    def __init__(self, budget: float, language: Qwen2ForCausalLM) -> None:
        super().__init__(budget)
        self.token = nn.Parameter(0.02 * torch.randn(language.config.hidden_size))
        self.layers = nn.ModuleList(Projections(layer.self_attn) for layer in language.model.layers)

    def settings(self) -> dict[str, float | str | None]:
        """Return name, budget and frames of a window."""
        return {**super().settings(), "window": WINDOW}

    def compress(self, choice: Choice, query: Tensor, chunks: Chunks, connect: Connectors) -> Iterator[TokenChunk]:
        """Yield a chunk's pooled patches, through the connector of merged tokens, with the summary tokens that stay."""
        for numbers, patches in chunks:
            raw = connect.merged(pooled(connect.features(patches)).flatten(0, 1))  # (frames x pooled, hidden)
            each = len(raw) // len(numbers)
            counts = tokens_of(self.budget, torch.tensor(numbers)).tolist()
            rows, frames = [], []
            for place, (number, count) in enumerate(zip(numbers, counts, strict=True)):
                made = [place * each + row if row >= 0 else len(raw) for row in interleaved(each, count)]
                rows += made
                frames += [number] * len(made)
            inputs = torch.cat([raw, self.token[None]])[torch.tensor(rows, device=raw.device)]
            yield TokenChunk(frames, inputs, [row == len(raw) for row in rows])

    def read(self, language: Any, runs: Iterable[TokenChunk], capacity: int) -> Cache:
        """Read window by window into a cache of the summary tokens, at positions 0, 1, ..."""
        cache: Any = None
        for inputs, stays in windows(runs):
            if cache is None:
                cache = sized_cache(len(self.layers), capacity + 2 * len(inputs))
            self._step(language, inputs, stays.nonzero()[:, 0], cache)
        return sized_cache(len(self.layers), capacity) if cache is None else cache

    def states(self, language: Any, batch: Sequences) -> States:
        """Return the last states of the texts and of the summary tokens wanted."""
        rows = lay_out(batch)
        states, taken = rows.inputs, rows.all
        layers = language.model.layers
        for number, layer in enumerate(layers):
            if number == len(layers) - 1:  # of the last layer only some states are wanted
                taken = rows.answering
            states = self._layer(language, layer, number, states, rows, taken)
        return rows.pick(language.model.norm(states))

    def _layer(self, language: Any, layer: Any, number: int, states: Tensor, rows: Rows, taken: Part) -> Tensor:
        """Return what a layer makes of the tokens in the rows `taken`, of (tokens, hidden) states of all rows."""
        before = layer.input_layernorm(states)
        special, attention = self._own(number), layer.self_attn
        summaries = before[rows.summaries]  # (videos, most, hidden)
        far_turns = language.model.rotary_emb(summaries, rows.summary_places)
        far_keys = turned(_heads(attention, special.key(summaries)), far_turns)  # (videos, heads, most, size)
        far_values = _heads(attention, special.value(summaries))
        made = self._project(number, attention, before[taken.tokens], taken.stays)
        queries, keys, values = (_heads(attention, taken.padded(part)) for part in made)
        turns = language.model.rotary_emb(before, taken.places)
        keys = torch.cat([far_keys[taken.video], turned(keys, turns)], dim=2)  # (taken, heads, most + width, size)
        values = torch.cat([far_values[taken.video], values], dim=2)
        shared = attention.num_key_value_groups
        mixed = scaled_dot_product_attention(
            turned(queries, turns),
            keys.repeat_interleave(shared, 1),
            values.repeat_interleave(shared, 1),
            attn_mask=taken.mask,
        )
        states = states[taken.tokens] + attention.o_proj(taken.packed(mixed.transpose(1, 2).flatten(2)))
        return states + layer.mlp(layer.post_attention_layernorm(states))

    def _step(self, language: Any, inputs: Tensor, kept: Tensor, cache: Any) -> None:
        """Read one window's (tokens, hidden) inputs behind what the cache holds; keep the tokens numbered in `kept`."""
        start, states = cache.get_seq_length(), inputs
        places = torch.arange(start, start + len(inputs), device=inputs.device)
        turns = language.model.rotary_emb(states, places[None])
        later = language.model.rotary_emb(states, places[None, : len(kept)])
        layers = language.model.layers
        for number, layer in enumerate(layers):
            attention, before = layer.self_attn, layer.input_layernorm(states)
            made = self._project(number, attention, before, kept)
            queries, keys, values = (_heads(attention, part[None]) for part in made)
            if number < len(layers) - 1:  # what the last layer makes of a window nobody asks for
                seen = cache.update(turned(keys, turns), values, number)
                mixed = causal_tail(turned(queries, turns), *seen)  # (1, heads, tokens, size)
                cache.layers[number].crop(-len(inputs))
                states = states + attention.o_proj(mixed[0].transpose(0, 1).flatten(1))
                states = states + layer.mlp(layer.post_attention_layernorm(states))
            cache.update(turned(keys[:, :, kept], later), values[:, :, kept], number)

    def _own(self, number: int) -> Projections:
        """Return the summary tokens' projections in a layer."""
        return cast(Projections, self.layers[number])

    def _project(self, number: int, attention: Any, tokens: Tensor, summaries: Tensor) -> list[Tensor]:
        """Return queries, keys and values of (tokens, hidden), of the tokens numbered in `summaries` by their own."""
        special = self._own(number)
        pairs = zip(
            (attention.q_proj, attention.k_proj, attention.v_proj),
            (special.query, special.key, special.value),
            strict=True,
        )
        return [ordinary(tokens).index_copy(0, summaries, own(tokens[summaries])) for ordinary, own in pairs]


def _heads(attention: Any, rows: Tensor) -> Tensor:
    """Return (rows, width, heads x size) as (rows, heads, width, size)."""
    return rows.unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)


def pooled(features: Float[Tensor, "frames patches channels"]) -> Float[Tensor, "frames pooled channels"]:
    """Average squares of 2 x 2 patches."""
    side = round(features.shape[1] ** 0.5)
    squares = features.unflatten(1, (side // POOL, POOL, side // POOL, POOL))
    return squares.mean(dim=(2, 4)).flatten(1, 2)


def interleaved(tokens: int, summaries: int) -> list[int]:
    """Return 0 up to `tokens` with -1, a summary token, behind each of `summaries` equal runs."""
    ends = {tokens * (run + 1) // summaries for run in range(summaries)} if summaries else set()
    return [row for token in range(tokens) for row in ([token, -1] if token + 1 in ends else [token])]


def windows(runs: Iterable[TokenChunk]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the inputs (tokens, hidden) of each window and which of them stay, however they are cut into runs."""
    held: list[TokenChunk] = []
    for run in runs:
        start = 0
        for window, group in groupby(run.frames, key=lambda number: number // WINDOW):
            stop = start + len(list(group))
            if held and held[-1].frames[0] // WINDOW != window:
                yield _joined(held)
                held = []
            stays = None if run.stays is None else run.stays[start:stop]
            held.append(TokenChunk(run.frames[start:stop], run.embeddings[start:stop], stays))
            start = stop
    if held:
        yield _joined(held)


def _joined(held: list[TokenChunk]) -> tuple[Tensor, Tensor]:
    inputs = torch.cat([run.embeddings for run in held])
    stays = [one for run in held for one in run.stays or ()]
    return inputs, torch.tensor(stays, dtype=torch.bool, device=inputs.device)

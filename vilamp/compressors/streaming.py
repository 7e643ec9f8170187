"""StreamingLLM's cache (arXiv 2309.17453) in the small language model: attention sinks and a sliding window.

The language model reads every frame as 16 pooled patches. A token sees the first tokens of the video, the sinks, and
the latest up to itself; what stays for the question is the sinks and the latest tokens, floor(B N) together. Positions
are counted in the cache, so sinks are never farther than the cache is long. Departures from the paper:

- the window follows from budget and length, as an equal budget wants it, and slides with that size from the beginning
- question and answer push nothing out of the cache
- the model is trained so, where the paper mends models that were not; the sinks are the video's first tokens, as no
  text comes before it

A token that stays depends on sinks and on one window further back for each layer, on nothing before that: tokens out
of that reach are never made. No number moves by it, and a needle there cannot be found by any training.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import Cache

from niah.adapters.compressor import Choice, Chunks, Connectors, Sequences, States, TokenChunk
from niah.adapters.kv_cache import sized_cache
from vilamp.compressors.summary import POOL, pooled
from vilamp.prefill import turned

SINKS = 4  # as many as the paper finds enough
BLOCK = 32  # queries that attend at a time
CHUNK = 2048  # tokens between attention and the next layer at a time


@dataclass(frozen=True)
class SlidingWindow:
    """The first tokens and the latest. Holds the states, keys and values of one layer for the tokens within reach."""

    budget: float
    patches: int  # of a frame
    layers: int  # of the language model

    guided = False

    def settings(self) -> dict[str, float | str | None]:
        """Return name, budget and sinks."""
        return {"compressor": "streaming", "budget": self.budget, "sinks": SINKS}

    def choose(self, frames: Tensor, query: Tensor) -> Choice:
        """See the frames within reach, the first and the last always."""
        count, each = len(frames), self.patches // POOL**2
        sinks, near = self._reach(count, each)
        return Choice([n for n in range(count) if n * each < sinks or (n + 1) * each > near], ())

    def tokens(self, choice: Choice, patches: int) -> int:
        """Return floor(B N), at least one and at most all; the last frame seen is the video's last."""
        return self._stay(choice.seen[-1] + 1, patches // POOL**2) if choice.seen else 0

    def compress(self, choice: Choice, query: Tensor, chunks: Chunks, connect: Connectors) -> Iterator[TokenChunk]:
        """Yield the pooled patches within reach, through the connector of merged tokens, and which of them stay."""
        for numbers, patches in chunks:
            count, each = choice.seen[-1] + 1, patches.shape[1] // POOL**2
            (sinks, near), dropped = self._reach(count, each), count * each - self._stay(count, each)
            rows = torch.tensor([row for n in numbers for row in range(n * each, (n + 1) * each)])
            made = ((rows < sinks) | (rows >= near)).nonzero()[:, 0]
            reading = pooled(connect.features(patches)).flatten(0, 1)[made.to(patches.device)]
            stays = (rows < sinks) | (rows >= sinks + dropped)
            yield TokenChunk((rows[made] // each).tolist(), connect.merged(reading), stays[made].tolist())

    def _stay(self, count: int, each: int) -> int:
        """Return how many tokens of `count` frames, `each` a frame, stay."""
        return min(max(1, int(self.budget * count)), count * each)

    def _reach(self, count: int, each: int) -> tuple[int, int]:
        """Return how many tokens are sinks, and from which on tokens are made.

        That is one window more than an answer depends on, for the last states of what stays.
        """
        stay = self._stay(count, each)
        sinks = sinks_of(stay)
        return sinks, max(0, count * each - (self.layers + 1) * (stay - sinks))

    def read(self, language: Any, runs: Iterable[TokenChunk], capacity: int) -> Cache:
        """Read layer by layer; return the cache of sinks and window, at positions 0, 1, ..."""
        held, cache = list(runs), sized_cache(self.layers, capacity)
        if not held:
            return cache
        inputs = torch.cat([run.embeddings for run in held])
        stay = sum(one for run in held for one in run.stays or ())
        reading = begin(inputs, stay, torch.arange(stay + 1, device=inputs.device), [])
        reading = reading.taken(reading.latest(self.layers * reading.window))
        for number, layer in enumerate(language.model.layers):
            keys, values = reading.project(language, layer)
            staying = reading.latest(reading.window)
            cache.update(keys[None, :, staying], values[None, :, staying], number)
            if number < self.layers - 1:  # what the last layer makes of the video nobody asks for
                left = (self.layers - 1 - number) * reading.window
                reading = reading.after(language, layer, keys, values, reading.latest(left))
        return cache

    def states(self, language: Any, batch: Sequences) -> States:
        """Return the last states of the texts and of the staying tokens wanted."""
        texts, wanted = [], []
        for run, words, places, numbers in zip(*batch, strict=True):
            sizes, stay = [len(text) for text in words], sum(run.stays or ())
            reading = begin(torch.cat([run.embeddings, *words]), stay, places, sizes)
            for number, layer in enumerate(language.model.layers):
                keys, values = reading.project(language, layer)
                left = (self.layers - number) * reading.window
                reading = reading.after(language, layer, keys, values, reading.latest(left))
            last = language.model.norm(reading.states)  # what stays, then the words
            texts.append(last[stay:].split(sizes))
            wanted.append(last[numbers])
        return States(texts, wanted)


@dataclass(frozen=True, eq=False)
class Reading:
    """A video's sinks and later tokens between two layers, and the words of the texts behind it."""

    states: Float[Tensor, "tokens hidden"]
    near: Int[Tensor, " tokens"]  # positions among the tokens of the window
    cached: Int[Tensor, " tokens"]  # positions in the cache, from which the sinks are seen
    sinks: int
    window: int
    sight: Bool[Tensor, "words seen"]  # what a word sees of what stays and of all words

    @property
    def video(self) -> int:
        """Return how many tokens are of the video."""
        return len(self.states) - len(self.sight)

    def latest(self, count: int) -> Int[Tensor, " latest"]:
        """Return the numbers of the sinks and of the `count` latest tokens of the video."""
        numbers = torch.arange(self.video, device=self.states.device)
        return torch.cat([numbers[: self.sinks], numbers[max(self.sinks, self.video - count) :]])

    def taken(self, numbers: Int[Tensor, " taken"]) -> Reading:
        """Return the reading of some tokens of the video, and of all words."""
        words = torch.arange(self.video, len(self.states), device=self.states.device)
        rows = torch.cat([numbers, words])
        return replace(self, states=self.states[rows], near=self.near[rows], cached=self.cached[rows])

    def project(self, language: Any, layer: Any) -> tuple[Tensor, Tensor]:
        """Return the turned keys and the values of all tokens, (key heads, tokens, head size) each."""
        before, attention = layer.input_layernorm(self.states), layer.self_attn
        keys = turned(_heads(attention, attention.k_proj(before)), _turns(language, before, self.near))
        return keys[0], _heads(attention, attention.v_proj(before))[0]

    def after(self, language: Any, layer: Any, keys: Tensor, values: Tensor, numbers: Int[Tensor, " taken"]) -> Reading:
        """Return what a layer makes of some tokens of the video, sinks first, and of all words."""
        left, attention, sinks = self.taken(numbers), layer.self_attn, self.sinks
        before = layer.input_layernorm(left.states)
        queries = _heads(attention, attention.q_proj(before))
        near = turned(queries, _turns(language, before, left.near))[0]  # (heads, taken + words, head size)
        far = turned(queries, _turns(language, before, left.cached))[0]
        body, stop = slice(sinks, left.video), self.video
        staying = torch.cat([self.latest(self.window), torch.arange(stop, len(self.states), device=keys.device)])
        mixed = torch.cat([
            _attend(near[:, :sinks], keys[:, :sinks], values[:, :sinks], keys.new_ones(sinks, sinks).tril().bool()),
            *windowed(near[:, body], far[:, body], keys[:, :stop], values[:, :stop], sinks, self.window),
            _attend(near[:, left.video :], keys[:, staying], values[:, staying], self.sight),
        ], dim=1)  # fmt: skip
        states = left.states + attention.o_proj(mixed.transpose(0, 1).flatten(1))
        parts = [part + layer.mlp(layer.post_attention_layernorm(part)) for part in states.split(CHUNK)]
        return replace(left, states=torch.cat(parts))


def begin(
    inputs: Float[Tensor, "tokens hidden"], stay: int, places: Int[Tensor, " places"], words: list[int]
) -> Reading:
    """Lay out a video of which `stay` tokens stay, at `places`, with texts of so many `words` behind it.

    Where positions leave gaps, tokens that do not stay come before the window without any.
    """
    sinks, video = sinks_of(stay), len(inputs) - sum(words)
    numbers = torch.arange(video, device=places.device)
    window = places[sinks:stay]
    dropped = window[:1] - torch.arange(video - stay, 0, -1, device=places.device)
    behind = [places[-1] + torch.arange(count, device=places.device) for count in words]
    text = torch.tensor([n for n, count in enumerate(words) for _ in range(count)], device=places.device).long()
    own = (text[:, None] == text).tril()  # (words, words)
    return Reading(
        states=inputs,
        near=torch.cat([places[:sinks], dropped, window, *behind]),
        cached=torch.cat([places[numbers.clamp(max=stay - 1)], *behind]),
        sinks=sinks,
        window=stay - sinks,
        sight=torch.cat([own.new_ones(len(text), stay), own], dim=1),
    )


def sinks_of(stay: int) -> int:
    """Return how many of the tokens that stay are sinks: a window of at least one is left."""
    return max(0, min(SINKS, stay - 1))


def windowed(
    near: Tensor, far: Tensor, keys: Tensor, values: Tensor, sinks: int, window: int
) -> Iterator[Float[Tensor, "heads rows size"]]:
    """Yield what the latest tokens mix, in blocks: of the sinks seen by `far` queries, of their window by `near` ones.

    Queries are (heads, queries, size), keys and values (key heads, sinks + tokens, size); the last query is the last
    token's.
    """
    before = keys.shape[1] - near.shape[1]
    sunk, places = keys[:, :sinks], torch.arange(keys.shape[1], device=keys.device)
    for start in range(0, near.shape[1], BLOCK):
        rows = slice(start, min(start + BLOCK, near.shape[1]))
        seen = slice(max(sinks, before + rows.start - window + 1), before + rows.stop)
        back = places[before + rows.start : before + rows.stop, None] - places[seen]  # (rows, seen)
        scores = _scores(near[:, rows], torch.cat([sunk, keys[:, seen]], dim=1))
        scores[..., sinks:].masked_fill_((back < 0) | (back >= window), float("-inf"))
        scores[..., :sinks] = _scores(far[:, rows], sunk)
        mixed = scores.softmax(-1).flatten(1, 2) @ torch.cat([values[:, :sinks], values[:, seen]], dim=1)
        yield mixed.unflatten(1, (-1, rows.stop - rows.start)).flatten(0, 1)


def _scores(queries: Tensor, keys: Tensor) -> Float[Tensor, "groups sharing rows keys"]:
    """Return the scores of (heads, rows, size) queries over (key heads, keys, size), heads in groups."""
    grouped = (queries * queries.shape[2] ** -0.5).reshape(len(keys), -1, queries.shape[2])
    return (grouped @ keys.transpose(1, 2)).unflatten(1, (-1, queries.shape[1]))


def _attend(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Float[Tensor, "heads rows size"]:
    """Attend from (heads, rows, size) where the (rows, keys) mask allows it."""
    return scaled_dot_product_attention(queries[None], keys[None], values[None], attn_mask=mask, enable_gqa=True)[0]


def _heads(attention: Any, rows: Tensor) -> Float[Tensor, "1 heads rows size"]:
    """Return (rows, heads x size) with heads apart."""
    return rows.unflatten(-1, (-1, attention.head_dim)).transpose(0, 1)[None]


def _turns(language: Any, states: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Return cosines and sines (1, tokens, head size) of positions."""
    return language.model.rotary_emb(states[None], places[None])

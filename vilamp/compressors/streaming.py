"""StreamingLLM's cache (arXiv 2309.17453) in the small language model: attention sinks and a sliding window.

The language model reads every frame as 16 pooled patches. A token sees the first tokens of the video, the sinks, and
the latest up to itself; what stays for the question is the sinks and the latest tokens, floor(B N) together. Positions
are counted in the cache, so sinks are never farther than the cache is long. Departures from the paper:

- the window follows from budget and length, as an equal budget wants it, and slides with that size from the beginning
- question and answer push nothing out of the cache
- the model is trained so, where the paper repairs models that were not; the sinks are the video's first tokens, as no
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

from niah.adapters.compressor import PATCHES, Choice, Connectors, FrameChunk, Sequences, Settings, States, TokenChunk
from niah.adapters.kv_cache import sized_cache
from niah.adapters.qwen import apply_rope, project_keys_values, rope_cos_sin, split_heads
from niah.types import UserError
from vilamp.compressors.pooled import POOL, pooled

SINKS = 4  # as many as the paper finds enough
BLOCK = 32  # queries that attend at a time
CHUNK = 2048  # tokens between attention and the next layer at a time


@dataclass(frozen=True)
class SlidingWindow:
    """The first tokens and the latest. Holds the states, keys and values of one layer for the tokens within reach."""

    budget: float
    patches: int  # of a frame
    layers: int  # of the language model

    needs = (PATCHES,)
    guided = False

    def settings(self) -> Settings:
        """Return name, budget and sinks."""
        return {"compressor": "streaming", "budget": self.budget, "sinks": SINKS}

    def choose(self, embeddings: Float[Tensor, "frames dim"], query: Float[Tensor, " width"]) -> Choice:
        """See the frames within reach, the first and the last always."""
        count, each = len(embeddings), self.patches // POOL**2
        sinks, near = self._reach(count, each)
        return Choice([n for n in range(count) if n * each < sinks or (n + 1) * each > near], ())

    def tokens(self, choice: Choice, patches: int) -> int:
        """Return floor(B N), at least one and at most all; the last frame seen is the video's last."""
        return self._stay(choice.seen[-1] + 1, patches // POOL**2) if choice.seen else 0

    def compress(
        self, choice: Choice, query: Float[Tensor, " dim"], chunks: Iterable[FrameChunk], connect: Connectors
    ) -> Iterator[TokenChunk]:
        """Yield the pooled patches within reach, through the connector of merged tokens, and which of them stay."""
        for frames, patches, features in chunks:
            count = choice.seen[-1] + 1
            each = patches.shape[1] // POOL**2
            sinks, near = self._reach(count, each)
            dropped = count * each - self._stay(count, each)
            tokens = torch.tensor([token for n in frames for token in range(n * each, (n + 1) * each)])
            in_reach = ((tokens < sinks) | (tokens >= near)).nonzero()[:, 0]
            inputs = pooled(features).flatten(0, 1)[in_reach.to(patches.device)]
            stays = (tokens < sinks) | (tokens >= sinks + dropped)
            yield TokenChunk((tokens[in_reach] // each).tolist(), connect.merged(inputs), stays[in_reach].tolist())

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

    def read(self, language: Any, chunks: Iterable[TokenChunk], capacity: int) -> Cache:
        """Read layer by layer; return the cache of sinks and window, at positions 0, 1, ..."""
        held = list(chunks)
        cache = sized_cache(self.layers, capacity)
        if not held:
            return cache
        inputs = torch.cat([chunk.embeddings for chunk in held])
        stay = sum(stays for chunk in held for stays in chunk.stays or ())
        reading = begin(inputs, stay, torch.arange(stay + 1, device=inputs.device), [])
        reading = reading.taken(reading.latest(self.layers * reading.window))
        for number, layer in enumerate(language.model.layers):
            keys, values = reading.project(language, layer)
            staying = reading.latest(reading.window)
            cache.update(keys[None, :, staying], values[None, :, staying], number)
            if number < self.layers - 1:  # nobody reads the last layer's output for the video
                left = (self.layers - 1 - number) * reading.window
                reading = reading.after(language, layer, keys, values, reading.latest(left))
        return cache

    def states(self, language: Any, batch: Sequences) -> States:
        """Return the last states of the texts and of the staying tokens wanted.

        Raises UserError where the question comes late, which this compressor was never trained with.
        """
        if batch.bias is not None:
            raise UserError("a late question goes with every compressor but streaming: train it without late_question")
        texts, wanted = [], []
        for video, words, places, numbers in zip(batch.visual, batch.texts, batch.places, batch.wanted, strict=True):
            sizes = [len(text) for text in words]
            stay = sum(video.stays or ())
            reading = begin(torch.cat([video.embeddings, *words]), stay, places, sizes)
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

    def project(
        self, language: Any, layer: Any
    ) -> tuple[Float[Tensor, "groups tokens size"], Float[Tensor, "groups tokens size"]]:
        """Return a layer's rotated keys and its values of all tokens."""
        normed = layer.input_layernorm(self.states)
        return project_keys_values(layer, normed, rope_cos_sin(language, normed, self.near))

    def after(
        self,
        language: Any,
        layer: Any,
        keys: Float[Tensor, "groups tokens size"],
        values: Float[Tensor, "groups tokens size"],
        numbers: Int[Tensor, " taken"],
    ) -> Reading:
        """Return a layer's output for some tokens of the video and for all words.

        Args:
            language: The language model.
            layer: Its layer.
            keys: The layer's rotated keys of all tokens.
            values: The layer's values of all tokens.
            numbers: The tokens of the video whose output is wanted, sinks first.
        """
        left, attention, sinks = self.taken(numbers), layer.self_attn, self.sinks
        normed = layer.input_layernorm(left.states)
        queries = split_heads(attention.q_proj(normed), attention.head_dim)
        near = apply_rope(queries, rope_cos_sin(language, normed, left.near))  # (heads, taken + words, head size)
        far = apply_rope(queries, rope_cos_sin(language, normed, left.cached))
        body = slice(sinks, left.video)
        stop = self.video
        staying = torch.cat([self.latest(self.window), torch.arange(stop, len(self.states), device=keys.device)])
        attended = torch.cat([
            _attend(near[:, :sinks], keys[:, :sinks], values[:, :sinks], keys.new_ones(sinks, sinks).tril().bool()),
            *windowed(near[:, body], far[:, body], keys[:, :stop], values[:, :stop], sinks, self.window),
            _attend(near[:, left.video :], keys[:, staying], values[:, staying], self.sight),
        ], dim=1)  # fmt: skip
        states = left.states + attention.o_proj(attended.transpose(0, 1).flatten(1))
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
    near: Float[Tensor, "heads queries size"],
    far: Float[Tensor, "heads queries size"],
    keys: Float[Tensor, "groups tokens size"],
    values: Float[Tensor, "groups tokens size"],
    sinks: int,
    window: int,
) -> Iterator[Float[Tensor, "heads _rows size"]]:
    """Yield the attention of the latest tokens to the sinks and to their window, in blocks of queries.

    Args:
        near: Queries rotated by their positions in the window; the last is the last token's.
        far: The same queries rotated by their positions in the cache, from which the sinks are seen.
        keys: Keys of the sinks and of the tokens after them.
        values: Values of the same.
        sinks: How many sinks there are.
        window: How many tokens up to itself a token sees besides.
    """
    before = keys.shape[1] - near.shape[1]
    sink_keys = keys[:, :sinks]
    places = torch.arange(keys.shape[1], device=keys.device)
    for start in range(0, near.shape[1], BLOCK):
        rows = slice(start, min(start + BLOCK, near.shape[1]))
        seen = slice(max(sinks, before + rows.start - window + 1), before + rows.stop)
        back = places[before + rows.start : before + rows.stop, None] - places[seen]  # (rows, seen)
        scores = _scores(near[:, rows], torch.cat([sink_keys, keys[:, seen]], dim=1))
        scores[..., sinks:].masked_fill_((back < 0) | (back >= window), float("-inf"))
        scores[..., :sinks] = _scores(far[:, rows], sink_keys)
        mixed = scores.softmax(-1).flatten(1, 2) @ torch.cat([values[:, :sinks], values[:, seen]], dim=1)
        yield mixed.unflatten(1, (-1, rows.stop - rows.start)).flatten(0, 1)


def _scores(
    queries: Float[Tensor, "heads rows size"], keys: Float[Tensor, "groups keys size"]
) -> Float[Tensor, "groups sharing rows keys"]:
    """Return the scores of queries over keys, heads in groups that share keys."""
    grouped = (queries * queries.shape[2] ** -0.5).reshape(len(keys), -1, queries.shape[2])
    return (grouped @ keys.transpose(1, 2)).unflatten(1, (-1, queries.shape[1]))


def _attend(
    queries: Float[Tensor, "heads rows size"],
    keys: Float[Tensor, "groups keys size"],
    values: Float[Tensor, "groups keys size"],
    mask: Bool[Tensor, "rows keys"],
) -> Float[Tensor, "heads rows size"]:
    """Attend where the mask allows it."""
    return scaled_dot_product_attention(queries[None], keys[None], values[None], attn_mask=mask, enable_gqa=True)[0]

"""Video-XL's summary tokens (arXiv 2409.14485) in the small language model.

A window of frames passes through the language model as pooled patches with summary tokens between them, which have
query, key and value projections of their own. After the window only their keys and values stay, rotated to their
positions in the cache; the patches' are dropped. `read` takes a few windows at a time behind a cache, `states` all
windows of a batch, which is the same by causality and what training can afford: `summary_rows` lays them out.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import Cache, Qwen2ForCausalLM

from niah.adapters.attention import attend_far_and_near
from niah.adapters.compressor import Choice, Connectors, FrameChunk, Sequences, Settings, States, TokenChunk
from niah.adapters.kv_cache import sized_cache
from niah.adapters.qwen import apply_rope, finish_layer, rope_cos_sin, split_heads
from vilamp.compressors.budget import tokens_of
from vilamp.compressors.pooled import EveryFrame, pooled
from vilamp.compressors.summary_rows import WINDOW, Part, Rows, lay_out

TOGETHER = 4  # windows that are read at a time: enough for the kernel, few enough for a mask
WindowTokens = tuple[Tensor, Tensor]  # inputs of a window, (tokens, hidden), and which of them stay, (tokens,)


class Projections(nn.Module):
    """Queries, keys and values of summary tokens in one layer; they begin as copies of the ordinary ones."""

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.query = copy.deepcopy(attention.q_proj)
        self.key = copy.deepcopy(attention.k_proj)
        self.value = copy.deepcopy(attention.v_proj)

    def copy_from(self, attention: Any) -> None:
        """Take over the weights of the ordinary projections."""
        pairs = ((self.query, attention.q_proj), (self.key, attention.k_proj), (self.value, attention.v_proj))
        for own, ordinary in pairs:
            own.load_state_dict(ordinary.state_dict())


class SummaryTokens(EveryFrame):
    """Summary tokens behind equal runs of a frame's pooled patches, as many as mean pooling would give.

    Holds the features of a chunk, the inputs of a window, and the cache of what stays.
    """

    name = "summary"

    def __init__(self, budget: float, language: Qwen2ForCausalLM) -> None:
        super().__init__(budget)
        self.token = nn.Parameter(0.02 * torch.randn(language.config.hidden_size))
        self.layers = nn.ModuleList(Projections(layer.self_attn) for layer in language.model.layers)

    def settings(self) -> Settings:
        """Return name, budget and frames of a window."""
        return {**super().settings(), "window": WINDOW}

    def compress(
        self, choice: Choice, query: Float[Tensor, " dim"], chunks: Iterable[FrameChunk], connect: Connectors
    ) -> Iterator[TokenChunk]:
        """Yield a chunk's pooled patches, through the connector of merged tokens, with the summary tokens that stay."""
        for frames, _, features in chunks:
            raw = connect.merged(pooled(features).flatten(0, 1))  # (frames x pooled, hidden)
            each = len(raw) // len(frames)
            counts = tokens_of(self.budget, torch.tensor(frames)).tolist()
            rows: list[int] = []  # of `raw` with the summary token behind it
            sources: list[int] = []
            for place, (number, count) in enumerate(zip(frames, counts, strict=True)):
                order = [place * each + row if row >= 0 else len(raw) for row in interleaved(each, count)]
                rows += order
                sources += [number] * len(order)
            summary = pad(self.token, (0, raw.shape[1] - len(self.token)))[None]  # where tokens carry a cosine: 0
            inputs = torch.cat([raw, summary])[torch.tensor(rows, device=raw.device)]
            stays = [row == len(raw) for row in rows]
            if raw.shape[1] > len(self.token):
                inputs = torch.cat([inputs[:, :-1], highest_of_runs(inputs[:, -1], stays)[:, None]], dim=1)
            yield TokenChunk(sources, inputs, stays)

    def read(self, language: Any, chunks: Iterable[TokenChunk], capacity: int) -> Cache:
        """Read some windows at a time into a cache of the summary tokens, at positions 0, 1, ..."""
        cache: Any = sized_cache(len(self.layers), capacity)
        waiting = windows(chunks)
        while group := list(islice(waiting, TOGETHER)):
            self._read(language, group, cache)
        return cache

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

    def _layer(
        self,
        language: Any,
        layer: Any,
        number: int,
        states: Float[Tensor, "tokens hidden"],
        rows: Rows,
        taken: Part,
    ) -> Float[Tensor, "taken hidden"]:
        """Return a layer's output for the tokens in some rows.

        Args:
            language: The language model.
            layer: Its layer.
            number: The number of that layer.
            states: States of the tokens of all rows.
            rows: All rows.
            taken: The rows whose output is wanted.
        """
        normed = layer.input_layernorm(states)
        special, attention = self._own(number), layer.self_attn
        size = attention.head_dim
        summaries = normed[rows.summaries]  # (videos, most, hidden)
        far_rope = rope_cos_sin(language, summaries, rows.summary_places)
        far_keys = apply_rope(split_heads(special.key(summaries), size), far_rope)  # (videos, heads, most, size)
        far_values = split_heads(special.value(summaries), size)
        projected = self._project(number, attention, normed[taken.tokens], taken.stays)
        queries, keys, values = (split_heads(taken.padded(part), size) for part in projected)
        rope = language.model.rotary_emb(normed, taken.places)  # of rows, whose tokens lie packed in `normed`
        keys = torch.cat([far_keys[taken.video], apply_rope(keys, rope)], dim=2)  # (taken, heads, most + width, size)
        values = torch.cat([far_values[taken.video], values], dim=2)
        shared = attention.num_key_value_groups
        queries, keys, values = (
            apply_rope(queries, rope),
            keys.repeat_interleave(shared, 1),
            values.repeat_interleave(shared, 1),
        )
        if taken.bias is not None:
            queries, keys, values = biased(queries, keys, values, taken.bias)
        attended = scaled_dot_product_attention(queries, keys, values, attn_mask=taken.mask, scale=size**-0.5)
        attended = attended[..., :size]
        states = states[taken.tokens] + attention.o_proj(taken.packed(attended.transpose(1, 2).flatten(2)))
        return states + layer.mlp(layer.post_attention_layernorm(states))

    def _read(self, language: Any, group: Sequence[WindowTokens], cache: Any) -> None:
        """Read some windows behind what the cache holds, which then holds their summary tokens, too.

        Nobody reads the last layer's output for a window, so the last layer makes keys and values alone, and the one
        before it works for the summary tokens.
        """
        read, start = lay_group_out(group), cache.get_seq_length()
        states, kept, seen = read.inputs, read.kept, read.seen
        if not len(kept):
            return
        rope = rope_cos_sin(language, states, start + read.places)
        later_rope = rope_cos_sin(language, states, start + torch.arange(len(kept), device=states.device))
        layers = language.model.layers
        for number, layer in enumerate(layers):
            attention, normed = layer.self_attn, layer.input_layernorm(states)
            projected = self._project(number, attention, normed, kept)
            queries, keys, values = (split_heads(part, attention.head_dim)[None] for part in projected)
            later = apply_rope(keys[:, :, kept], later_rope), values[:, :, kept]  # once their window is over
            held = cache.update(*later, number)
            if number < len(layers) - 1:
                queries, now = apply_rope(queries, rope), (apply_rope(keys, rope), values)
                if number == len(layers) - 2:
                    queries, states, seen = queries[:, :, kept], states[kept], seen[kept]
                    kept = torch.arange(len(kept), device=states.device)
                far, later = zip(*(part.tensor_split([start], dim=2) for part in held), strict=True)
                keys, values = (torch.cat(parts, dim=2) for parts in zip(later, now, strict=True))
                states = finish_layer(layer, states, attend_far_and_near(queries, far, (keys, values), seen)[0])

    def _own(self, number: int) -> Projections:
        """Return the summary tokens' projections in a layer."""
        return cast(Projections, self.layers[number])

    def _project(
        self, number: int, attention: Any, tokens: Float[Tensor, "tokens hidden"], summaries: Int[Tensor, " summaries"]
    ) -> list[Float[Tensor, "tokens _width"]]:
        """Return queries, keys and values; the tokens numbered in `summaries` have projections of their own."""
        special = self._own(number)
        pairs = zip(
            (attention.q_proj, attention.k_proj, attention.v_proj),
            (special.query, special.key, special.value),
            strict=True,
        )
        return [ordinary(tokens).index_copy(0, summaries, own(tokens[summaries])) for ordinary, own in pairs]


@dataclass(frozen=True, eq=False)
class Group:
    """Some windows, one after the other."""

    inputs: Float[Tensor, "tokens hidden"]
    kept: Int[Tensor, " kept"]  # numbers of the summary tokens
    places: Int[Tensor, " tokens"]  # positions, from that of the group's first token
    seen: Bool[Tensor, "tokens kept+tokens"]  # whom a token sees: summary tokens of earlier windows, its own window's


def lay_group_out(group: Sequence[WindowTokens]) -> Group:
    """Return where the tokens of some windows stand: behind the summary tokens of earlier windows alone."""
    inputs, stays = (torch.cat(parts) for parts in zip(*group, strict=True))
    sizes = torch.tensor([len(tokens) for tokens, _ in group], device=inputs.device)
    window = torch.arange(len(group), device=inputs.device).repeat_interleave(sizes)  # of each token
    row = torch.arange(len(inputs), device=inputs.device)
    kept = stays.nonzero()[:, 0]
    earlier = window[kept] < window[:, None]  # (tokens, kept)
    own = (window == window[:, None]) & (row <= row[:, None])  # (tokens, tokens)
    places = earlier.sum(dim=1) + row - (sizes.cumsum(0) - sizes)[window]
    return Group(inputs, kept, places, torch.cat([earlier, own], dim=1))


def biased(
    queries: Float[Tensor, "rows heads width size"],
    keys: Float[Tensor, "rows heads keys size"],
    values: Float[Tensor, "rows heads keys size"],
    bias: Float[Tensor, "rows heads most"],
) -> tuple[
    Float[Tensor, "rows heads width more"], Float[Tensor, "rows heads keys more"], Float[Tensor, "rows heads keys more"]
]:
    """Return queries, keys and values with one more channel, through which scores get a bias.

    A mask would do it with (rows, heads, width, keys) numbers.

    Args:
        queries: Queries of all rows.
        keys: Keys, those of the summary tokens first.
        values: Values; their new channel is 0.
        bias: What a row's scores of the summary tokens get.
    """
    asks = queries.new_full((*queries.shape[:3], 1), queries.shape[-1] ** 0.5)  # undoes the scale of the scores
    carried = pad(bias, (0, keys.shape[2] - bias.shape[2]))[..., None]
    return torch.cat([queries, asks], -1), torch.cat([keys, carried], -1), pad(values, (0, 1))


def interleaved(tokens: int, summaries: int) -> list[int]:
    """Return 0 up to `tokens` with -1, a summary token, behind each of `summaries` equal runs."""
    ends = {tokens * (run + 1) // summaries for run in range(summaries)} if summaries else set()
    return [row for token in range(tokens) for row in ([token, -1] if token + 1 in ends else [token])]


def highest_of_runs(cosines: Float[Tensor, " tokens"], stays: list[bool]) -> Float[Tensor, " tokens"]:
    """Return cosines with those of summary tokens, each the highest of the patches since the summary token before."""
    found = cosines.clone()
    start = 0
    for place, is_summary in enumerate(stays):
        if is_summary:
            found[place] = cosines[start:place].max()
            start = place + 1
    return found


def windows(
    chunks: Iterable[TokenChunk],
) -> Iterator[WindowTokens]:
    """Yield the inputs of each window and which of them stay, however they are cut into chunks."""
    held: list[TokenChunk] = []
    for chunk in chunks:
        start = 0
        for window, group in groupby(chunk.frames, key=lambda number: number // WINDOW):
            stop = start + len(list(group))
            if held and held[-1].frames[0] // WINDOW != window:
                yield _joined(held)
                held = []
            stays = None if chunk.stays is None else chunk.stays[start:stop]
            held.append(TokenChunk(chunk.frames[start:stop], chunk.embeddings[start:stop], stays))
            start = stop
    if held:
        yield _joined(held)


def _joined(held: list[TokenChunk]) -> WindowTokens:
    inputs = torch.cat([chunk.embeddings for chunk in held])
    stays = [stay for chunk in held for stay in chunk.stays or ()]
    return inputs, torch.tensor(stays, dtype=torch.bool, device=inputs.device)

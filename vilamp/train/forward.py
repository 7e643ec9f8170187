"""The language model's last states of a training batch, where training looks: texts and traced tokens.

A video is read once for all texts behind it, and the last layer works for texts and traced tokens alone. It is the same
function as `Vilamp.states` of every video with every text, to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.nn.utils.rnn import pad_sequence

from niah.adapters.compressor import InLanguage, Sequences, States
from niah.adapters.qwen import Rope, apply_rope, project_keys_values, project_queries, rope_cos_sin
from vilamp.model import Vilamp
from vilamp.train.example import Example


def last_states(model: Vilamp, batch: Sequence[Example]) -> States:
    """Return the last states of the texts and of the traced tokens of a batch, with gradients."""
    bias = [one for example in batch if (one := late_bias(model, example)) is not None] or None
    if isinstance(model.compressor, InLanguage):
        columns = zip(*((one.visual, one.texts, one.positions, one.traced) for one in batch), strict=True)
        return model.compressor.states(model.language, Sequences(*columns, bias=bias))
    return _read(model.language, batch, bias)


def late_bias(model: Vilamp, example: Example) -> Float[Tensor, "texts heads tokens"] | None:
    """Return what each text's attention scores of a video's tokens get where the question comes late."""
    if model.late_weights is None or example.cosines is None:
        return None
    return model.late_weights[:, None] * example.cosines[:, None]


@dataclass(frozen=True, eq=False)
class _Layout:
    """Where the tokens of a batch lie, padded on the right."""

    owner: Int[Tensor, " texts"]  # the video that a text follows
    video_places: Int[Tensor, "videos tokens"]
    text_places: Int[Tensor, "texts words"]
    mask: Float[Tensor, "texts heads words keys"]  # added to the scores of a text; keys: a video's, then its own
    traced: Int[Tensor, "videos traced"]  # padded with token 0


def _read(language: Any, batch: Sequence[Example], bias: list[Tensor] | None) -> States:
    """Send videos and texts through all layers."""
    videos = pad_sequence([one.visual.embeddings for one in batch], batch_first=True)  # (videos, tokens, hidden)
    texts = pad_sequence([text for one in batch for text in one.texts], batch_first=True)  # (texts, words, hidden)
    layout = _lay_out(batch, texts.shape[1], bias)
    layers = language.model.layers
    for number, layer in enumerate(layers):
        is_last = number == len(layers) - 1
        videos, texts = _layer(language, layer, videos, texts, layout, layout.traced if is_last else None)
    videos, texts = language.model.norm(videos), language.model.norm(texts)
    rows = iter(texts)
    return States(
        [[next(rows)[: len(text)] for text in one.texts] for one in batch],
        [row[: len(one.traced)] for row, one in zip(videos, batch, strict=True)],
    )


def _lay_out(batch: Sequence[Example], words: int, bias: list[Tensor] | None) -> _Layout:
    """Return the places of all tokens, and what a word sees: its whole video, and the words before it."""
    device = batch[0].positions.device
    sizes = torch.tensor([len(one.visual.embeddings) for one in batch], device=device)
    owner = torch.tensor([n for n, one in enumerate(batch) for _ in one.texts], device=device)
    first = torch.stack([one.positions[-1] for one in batch])[owner]  # the position of each text's first word
    hidden = torch.arange(int(sizes.max()), device=device) >= sizes[:, None]  # (videos, tokens)
    on_video = torch.zeros(hidden.shape, device=device).masked_fill(hidden, float("-inf"))[owner, None]
    if bias is not None:
        texts = [text.T for of_video in bias for text in of_video]
        on_video = on_video + pad_sequence(texts, batch_first=True).transpose(1, 2)  # (texts, heads, tokens)
    on_words = torch.full((words, words), float("-inf"), device=device).triu(1)
    mask = torch.cat(
        [
            on_video[:, :, None].expand(-1, -1, words, -1),
            on_words.expand(len(owner), on_video.shape[1], -1, -1),
        ],
        dim=-1,
    )
    return _Layout(
        owner=owner,
        video_places=pad_sequence([one.positions[:-1] for one in batch], batch_first=True),
        text_places=first[:, None] + torch.arange(words, device=device),
        mask=mask,
        traced=pad_sequence([one.traced for one in batch], batch_first=True),
    )


def _layer(
    language: Any,
    layer: Any,
    videos: Float[Tensor, "videos tokens hidden"],
    texts: Float[Tensor, "texts words hidden"],
    layout: _Layout,
    wanted: Int[Tensor, "videos traced"] | None,
) -> tuple[Float[Tensor, "videos _tokens hidden"], Float[Tensor, "texts words hidden"]]:
    """Return a layer's output for all texts, and for the videos' tokens: all, or those wanted.

    Args:
        language: The language model.
        layer: Its layer.
        videos: States of the videos' tokens.
        texts: States of the texts' words.
        layout: Where the tokens lie.
        wanted: The tokens of each video whose output is wanted; None for all.
    """
    normed, words = layer.input_layernorm(videos), layer.input_layernorm(texts)
    rope = rope_cos_sin(language, normed, layout.video_places)
    text_rope = rope_cos_sin(language, words, layout.text_places)
    keys, values = project_keys_values(layer, normed, rope)  # (videos, groups, tokens, size)
    text_keys, text_values = project_keys_values(layer, words, text_rope)
    owner = layout.owner
    attended = scaled_dot_product_attention(
        project_queries(layer, words, text_rope),
        torch.cat([keys[owner], text_keys], dim=2),
        torch.cat([values[owner], text_values], dim=2),
        attn_mask=layout.mask,
        enable_gqa=True,
    )
    texts = _finish(layer, texts, attended)
    if wanted is None:
        queries = project_queries(layer, normed, rope)
        attended = scaled_dot_product_attention(queries, keys, values, is_causal=True, enable_gqa=True)
        return _finish(layer, videos, attended), texts
    rows = wanted[..., None]  # (videos, traced, 1)
    queries = _queries_of(layer, normed, rope, rows)
    earlier = torch.arange(videos.shape[1], device=rows.device) <= rows  # (videos, traced, tokens)
    attended = scaled_dot_product_attention(queries, keys, values, attn_mask=earlier[:, None], enable_gqa=True)
    return _finish(layer, _rows_of(videos, rows), attended), texts


def _queries_of(
    layer: Any, normed: Float[Tensor, "videos tokens hidden"], rope: Rope, rows: Int[Tensor, "videos traced 1"]
) -> Float[Tensor, "videos heads traced size"]:
    """Return the rotated queries of some tokens of each video."""
    cosines, sines = (_rows_of(part, rows) for part in rope)
    attention = layer.self_attn
    projected = attention.q_proj(_rows_of(normed, rows))
    heads = projected.unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)
    return apply_rope(heads, (cosines, sines))


def _rows_of(
    tokens: Float[Tensor, "videos tokens width"], rows: Int[Tensor, "videos traced 1"]
) -> Float[Tensor, "videos traced width"]:
    """Return some tokens of each video."""
    return tokens.gather(1, rows.expand(-1, -1, tokens.shape[-1]))


def _finish(
    layer: Any, states: Float[Tensor, "rows tokens hidden"], attended: Float[Tensor, "rows heads tokens size"]
) -> Float[Tensor, "rows tokens hidden"]:
    """Return a layer's output: the output projection and the MLP, each added to what came in."""
    states = states + layer.self_attn.o_proj(attended.transpose(1, 2).flatten(2))
    return states + layer.mlp(layer.post_attention_layernorm(states))

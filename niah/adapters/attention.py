"""Causal attention without a mask in memory, and the capture of attention weights layer by layer.

`transformers` makes a (queries, keys) mask for every prefill chunk after the first and repeats grouped keys for every
head; both grow with the video. On a GPU a flash kernel needs neither. On a CPU the earlier tokens and the chunk itself
are attended to separately, which takes no mask, and combined by the weight of each; where gradients are wanted, the
queries go in small blocks with a mask each.

`output_attentions` of `transformers` holds (heads, tokens, tokens) of every layer: for 128 whole frames at 7B
28 x 28 x 25,000 x 25,000 numbers. `capture_attention` sends a sequence through one layer at a time; it holds the
sequence's states, the keys and values of one layer, one chunk of activations, and the rows asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.attention.bias import causal_lower_right
from torch.nn.functional import scaled_dot_product_attention
from torch.utils._python_dispatch import _disable_current_modes
from transformers import AttentionInterface

from niah.adapters.qwen import Rope, finish_layer, project_keys_values, project_queries, rope_cos_sin
from niah.adapters.spread import enter
from niah.run.attention import VisualAttention
from niah.types import UserError

NAME = "causal_tail"  # by which a config of `transformers` selects this attention
Pair = tuple[Tensor, Tensor]  # keys and values
CPU_ROWS = 64  # queries a block
CAPTURE_CHUNK = 2048  # tokens that attend at a time while attention is captured
CAPTURABLE = ("qwen2", "llama")  # model types with the same layers: projections, rotary positions, two norms


def register_attention() -> str:
    """Register `causal_tail` with `transformers`, and return the name by which a config selects it."""
    AttentionInterface.register(NAME, _for_transformers)
    return NAME


def causal_tail(
    query: Float[Tensor, "1 heads queries size"],
    key: Float[Tensor, "1 groups keys size"],
    value: Float[Tensor, "1 groups keys size"],
    scale: float | None = None,
) -> Float[Tensor, "1 heads queries size"]:
    """Attend from the last tokens to all tokens up to each of them: of q queries over k keys, query i sees k - q + i.

    Args:
        query: Queries of the last tokens of the sequence.
        key: Keys of the whole sequence; several heads may share a group's.
        value: Values of the whole sequence.
        scale: What scores are multiplied by; the usual 1 / sqrt(size) if None.
    """
    queries, keys = query.shape[2], key.shape[2]
    grouped = query.shape[1] != key.shape[1]
    if queries == keys:
        return scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale, enable_gqa=grouped)
    if queries == 1:
        return scaled_dot_product_attention(query, key, value, scale=scale, enable_gqa=grouped)
    if query.is_cuda:
        mask = _lower_right(queries, keys)
        return scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale, enable_gqa=grouped)
    if not torch.is_grad_enabled():
        far, near = zip(*(part.tensor_split([keys - queries], dim=2) for part in (key, value)), strict=True)
        return _attend_in_two_parts(query, far, near, scale)
    parts = []
    for start in range(0, queries, CPU_ROWS):
        rows = query[:, :, start : start + CPU_ROWS]
        seen = keys - queries + start + rows.shape[2]  # keys the block's last query sees
        mask = torch.ones(rows.shape[2], seen, dtype=torch.bool).tril(seen - rows.shape[2])
        parts.append(
            scaled_dot_product_attention(
                rows, key[:, :, :seen], value[:, :, :seen], attn_mask=mask, scale=scale, enable_gqa=grouped
            )
        )
    return torch.cat(parts, dim=2)


def attend_far_and_near(
    query: Float[Tensor, "1 heads queries size"], far: Pair, near: Pair, seen: Bool[Tensor, "queries near"]
) -> Float[Tensor, "1 heads queries size"]:
    """Attend to all far keys and to those near ones that `seen` allows, at least one for each query.

    Args:
        query: Queries; several heads may share a group's keys.
        far: Keys and values that all queries see, (1, groups, far, size) each; there may be none.
        near: Keys and values of which a query sees some.
        seen: Which near keys each query sees.
    """
    if query.is_cuda or torch.is_grad_enabled() or not far[0].shape[2]:
        everything = torch.cat([seen.new_ones(len(seen), far[0].shape[2]), seen], dim=1)
        keys, values = (torch.cat(parts, dim=2) for parts in zip(far, near, strict=True))
        return scaled_dot_product_attention(query, keys, values, attn_mask=everything, enable_gqa=True)
    mask = query.new_zeros(seen.shape).masked_fill(~seen, float("-inf"))
    return _attend_in_two_parts(query, far, near, mask=mask)


def attention_weights(
    queries: Float[Tensor, "heads queries size"], keys: Float[Tensor, "groups keys size"], scale: float
) -> Float[Tensor, "heads queries keys"]:
    """Return the softmax of the last tokens' queries over all keys up to each of them, in single precision."""
    heads, rows, size = queries.shape
    grouped = queries.reshape(len(keys), -1, size)  # (groups, heads of a group x queries, size)
    scores = (grouped @ keys.transpose(1, 2)).reshape(heads, rows, -1).float() * scale
    ahead = torch.ones(rows, rows, dtype=torch.bool, device=scores.device).triu(1)  # keys after a query's own
    scores[:, :, -rows:].masked_fill_(ahead, float("-inf"))
    return scores.softmax(dim=-1)


def capture_attention(
    language_model: Any,
    embeds: Float[Tensor, "tokens hidden"],
    first: int,
    frames: list[int],
    features: Float[Tensor, "visual dim"],
    skipped: int = 0,
) -> VisualAttention:
    """Return what an adapter's `attentions` returns: what the tokens after the video attend to in it.

    Args:
        language_model: A causal language model of `transformers`, of one of the CAPTURABLE types.
        embeds: Embeddings of the whole prompt.
        first: Number of the first visual token in the prompt; visual tokens are consecutive.
        frames: For each visual token, the number of the frame it comes from.
        features: What each visual token shows, for cosines between tokens; of any dimension.
        skipped: Tokens right after the video whose attention is not wanted, a newline for example.
    """
    numbers = np.array(frames)
    stop = first + len(frames)
    rows = (layer[:, :, first:stop].cpu().numpy() for layer in attention_rows(language_model, embeds, stop + skipped))
    return VisualAttention(numbers, patch_places(numbers), features.float().cpu().numpy(), rows)


def patch_places(frames: np.ndarray) -> np.ndarray:
    """Return which token of its frame each visual token is, (tokens,); -1 where it is the frame's only one."""
    places = np.empty(len(frames), dtype=int)
    for frame in np.unique(frames):
        tokens = np.flatnonzero(frames == frame)
        places[tokens] = np.arange(len(tokens)) if len(tokens) > 1 else -1
    return places


@torch.inference_mode()
def attention_rows(
    language_model: Any, embeds: Float[Tensor, "tokens hidden"], start: int
) -> Iterator[Float[Tensor, "heads rows tokens"]]:
    """Yield for each layer the attention weights of the tokens from number `start` on; each row sums to 1.

    Weights are in single precision whatever the model's dtype. Raises UserError for another type of model, or where
    no token is left whose attention could be captured.
    """
    kind = language_model.config.model_type
    if kind not in CAPTURABLE:
        raise UserError(f"attention is captured in language models of type {' or '.join(CAPTURABLE)}, got {kind}")
    if not 0 <= start < len(embeds):
        raise UserError(f"{len(embeds)} tokens have none from number {start} on whose attention could be captured")
    states = embeds.clone()  # (tokens, hidden)
    rope = rope_cos_sin(language_model, states, torch.arange(len(states), device=states.device))
    asking = slice(start, len(states))
    layers = language_model.model.layers
    for layer in layers:
        states, *rope = enter(layer, states, *rope)
        chunks = _chunks(len(states))
        projected = [
            project_keys_values(layer, layer.input_layernorm(states[rows]), _cut(rope, rows)) for rows in chunks
        ]
        keys, values = (torch.cat(parts, dim=1) for parts in zip(*projected, strict=True))  # (groups, tokens, size)
        del projected
        queries = project_queries(layer, layer.input_layernorm(states[asking]), _cut(rope, asking))
        yield attention_weights(queries, keys, layer.self_attn.scaling)
        if layer is layers[-1]:
            return  # nobody reads its output
        for rows in chunks:
            queries = project_queries(layer, layer.input_layernorm(states[rows]), _cut(rope, rows))
            attended = causal_tail(queries[None], keys[None, :, : rows.stop], values[None, :, : rows.stop])[0]
            states[rows] = finish_layer(layer, states[rows], attended)


def _chunks(count: int) -> list[slice]:
    return [slice(start, min(start + CAPTURE_CHUNK, count)) for start in range(0, count, CAPTURE_CHUNK)]


def _cut(rope: Sequence[Tensor], rows: slice) -> Rope:
    return rope[0][rows], rope[1][rows]


def _lower_right(queries: int, keys: int) -> Any:
    """Return what tells a kernel which mask is meant; none is made in memory.

    The sizes are set afterwards, because the constructor allocates 8 bytes of the host for each pair: 2.4 GiB for 2,048
    queries over 160,060 keys, in every layer.
    """
    with _disable_current_modes():  # a traced tensor cannot become one of this class
        mask: Any = causal_lower_right(1, 1)
    mask.seq_len_q, mask.seq_len_kv = queries, keys
    return mask


def _attend_in_two_parts(
    query: Tensor, far: Pair, near: Pair, scale: float | None = None, mask: Tensor | None = None
) -> Tensor:
    """Attend to far keys and, causally or by a mask of numbers, to near ones, and mix both as one softmax would.

    The CPU kernel behind `scaled_dot_product_attention` also returns the logarithm of each softmax's sum, which that
    function drops. Query heads that share keys go one after another: the kernel would want the keys repeated.
    """
    attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    heads_per_group = query.shape[1] // far[0].shape[1]
    mixed = torch.empty_like(query)  # (1, heads, queries, size)
    for number in range(heads_per_group):
        heads = slice(number, None, heads_per_group)  # one of each group
        rows = query[:, heads]
        earlier, earlier_sum = attend(rows, *far, scale=scale)
        own, own_sum = attend(rows, *near, is_causal=mask is None, attn_mask=mask, scale=scale)
        share = torch.sigmoid(earlier_sum - own_sum)[..., None]  # (1, groups, queries, 1)
        mixed[:, heads] = (share * earlier + (1 - share) * own).to(query.dtype)
    return mixed


def _for_transformers(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **settings: Any
) -> tuple[Tensor, None]:
    """Attend as an attention function of `transformers`. Raises ValueError for padded batches."""
    if attention_mask is not None:
        raise ValueError("causal_tail attends to every earlier token: it takes no mask, so no padded batches")
    mixed = causal_tail(query, key, value, settings.get("scaling"))
    return mixed.transpose(1, 2).contiguous(), None

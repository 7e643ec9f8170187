"""Causal attention of the last tokens to all tokens before them, without a mask in memory.

`transformers` makes a (queries, keys) mask for every prefill chunk after the first and repeats
grouped keys for every head; both grow with the video. On a GPU a flash kernel needs neither. On a
CPU the tokens before and the chunk itself are attended to apart, which takes no mask, and put together by
the weight of each; where gradients are wanted, the queries go in small blocks, a mask each.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.bias import causal_lower_right
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

NAME = "causal_tail"
CPU_ROWS = 64  # queries a block


def register() -> str:
    """Tell `transformers` of this attention, and return the name a config selects it by."""
    AttentionInterface.register(NAME, _for_transformers)
    return NAME


def causal_tail(query: Tensor, key: Tensor, value: Tensor, scale: float | None = None) -> Tensor:
    """Attend from (1, heads, queries, dim) to (1, key heads, keys, dim); the last query sees every key.

    Query i of q sees keys up to keys - q + i. Returns (1, heads, queries, dim).
    """
    queries, keys = query.shape[2], key.shape[2]
    grouped = query.shape[1] != key.shape[1]
    if queries == keys:
        return scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale, enable_gqa=grouped)
    if queries == 1:
        return scaled_dot_product_attention(query, key, value, scale=scale, enable_gqa=grouped)
    if query.is_cuda:
        mask: Any = causal_lower_right(queries, keys)  # a promise to the kernel, not a tensor
        return scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale, enable_gqa=grouped)
    if not torch.is_grad_enabled():
        return _in_two_parts(query, key, value, scale)
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


def _in_two_parts(query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
    """Attend to the keys before the queries and to the queries' own, and mix both as one softmax would.

    The CPU kernel behind `scaled_dot_product_attention` also tells the logarithm of each softmax's sum, which
    that function drops. Query heads that share keys go one after another: the kernel would want the keys repeated.
    """
    attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    before, sharing = key.shape[2] - query.shape[2], query.shape[1] // key.shape[1]
    mixed = torch.empty_like(query)  # (1, heads, queries, dim)
    for number in range(sharing):
        heads = slice(number, None, sharing)  # one of each group
        rows = query[:, heads]
        far, far_sum = attend(rows, key[:, :, :before], value[:, :, :before], scale=scale)
        near, near_sum = attend(rows, key[:, :, before:], value[:, :, before:], is_causal=True, scale=scale)
        share = torch.sigmoid(far_sum - near_sum)[..., None]  # (1, key heads, queries, 1)
        mixed[:, heads] = (share * far + (1 - share) * near).to(query.dtype)
    return mixed


def _for_transformers(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **settings: Any
) -> tuple[Tensor, None]:
    """Attend as a `transformers` attention function. Raises ValueError for batches that are padded."""
    if attention_mask is not None:
        raise ValueError("causal_tail attends to every token before: it takes no mask, so no padded batches")
    mixed = causal_tail(query, key, value, settings.get("scaling"))
    return mixed.transpose(1, 2).contiguous(), None

"""Causal attention of the last tokens to all tokens before them, without a mask in memory.

`transformers` makes a (queries, keys) mask for every prefill chunk after the first and repeats
grouped keys for every head; both grow with the video. On a GPU a flash kernel needs neither. On a
CPU the queries go in small blocks, so that a block's mask is all there is.
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


def _for_transformers(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **settings: Any
) -> tuple[Tensor, None]:
    """Attend as a `transformers` attention function. Raises ValueError for batches that are padded."""
    if attention_mask is not None:
        raise ValueError("causal_tail attends to every token before: it takes no mask, so no padded batches")
    mixed = causal_tail(query, key, value, settings.get("scaling"))
    return mixed.transpose(1, 2).contiguous(), None

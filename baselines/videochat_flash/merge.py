"""Merge the tokens of a clip into fewer, most alike first, without parameters.

Tokens at even places look for the token at an odd place most like them; the r surest are added to theirs.
The tokens that remain lie in no order of space or time, and the next merge halves this very order.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Merge(NamedTuple):
    """One merge of clips: what is left, and how it came about."""

    tokens: Tensor  # (clips, left, width)
    sizes: Tensor  # (clips, left): how many tokens went into each
    order: Tensor  # (clips, sources): even places by falling likeness, counted among the even ones
    destination: Tensor  # (clips, sources): each even place's choice, counted among the odd ones


def merge_counts(tokens: int, target: int) -> list[int]:
    """Return how many tokens each merge removes: never more than half of them, until `target` are left."""
    counts = []
    while tokens > target:
        counts.append(min(tokens - target, tokens // 2))
        tokens -= counts[-1]
    return counts


def merge_once(tokens: Tensor, sizes: Tensor, count: int, heads: int) -> Merge:
    """Add the `count` surest even tokens to their odd ones, weighted by size.

    `tokens` is (clips, tokens, width) and `sizes` (clips, tokens). Likeness is the cosine between means over
    `heads` slices of the width. Holds the likenesses, (clips, tokens / 2, tokens / 2), and a map of their size.
    """
    means = tokens.unflatten(-1, (heads, -1)).mean(-2)
    means = means / means.norm(dim=-1, keepdim=True)  # (clips, tokens, width / heads)
    best, destination = (means[:, ::2] @ means[:, 1::2].transpose(1, 2)).max(-1)  # (clips, sources)
    order = best.argsort(dim=-1, descending=True, stable=True)
    merged, left = order[:, :count], order[:, count:]
    sums = tokens * sizes[..., None]
    chosen = destination.gather(1, merged)  # (clips, count)
    # A product with a map of zeros and ones, not scatter_add: its atomics would change the last bits on a GPU.
    into = torch.nn.functional.one_hot(chosen, tokens.shape[1] // 2).transpose(1, 2).to(tokens)  # (clips, odd, count)
    odd_sums = sums[:, 1::2] + into @ _rows(sums[:, ::2], merged)
    odd_sizes = sizes[:, 1::2] + (into @ sizes[:, ::2].gather(1, merged)[..., None])[..., 0]
    new_sums = torch.cat([_rows(sums[:, ::2], left), odd_sums], dim=1)
    new_sizes = torch.cat([sizes[:, ::2].gather(1, left), odd_sizes], dim=1)
    return Merge(new_sums / new_sizes[..., None], new_sizes, order, destination)


def merge_steps(tokens: Tensor, target: int, heads: int) -> list[Merge]:
    """Return every merge of clips (clips, tokens, width) down to `target` tokens.

    In fp32, or fp64 where the tokens are: sizes up to 3,136 are no half-precision numbers, and likenesses
    that half precision rounds to one another would be merged in another order.
    """
    tokens = tokens if tokens.dtype == torch.float64 else tokens.float()
    sizes = tokens.new_ones(tokens.shape[:2])
    steps = []
    for count in merge_counts(tokens.shape[1], target):
        steps.append(merge_once(tokens, sizes, count, heads))
        tokens, sizes = steps[-1].tokens, steps[-1].sizes
    return steps


def merge_clips(tokens: Tensor, target: int, heads: int) -> Tensor:
    """Merge clips (clips, tokens, width) to (clips, target, width); fewer tokens than `target` stay as they are."""
    steps = merge_steps(tokens, target, heads)
    return steps[-1].tokens.to(tokens.dtype) if steps else tokens


def _rows(tokens: Tensor, index: Tensor) -> Tensor:
    """Return the named rows of every clip."""
    return tokens.gather(1, index[..., None].expand(-1, -1, tokens.shape[-1]))

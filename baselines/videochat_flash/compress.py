"""VideoChat-Flash's two ideas (arXiv 2501.00574), as pure functions of tensors.

Merging: the patches of a clip become fewer tokens, most similar first, without parameters. Tokens at even places look
for the most similar token at an odd place; the r best matches are added to theirs. The tokens that remain are in no
order of space or time, and the next merge halves this very order.

Dropout: between stretches of the language model's layers, at stops, some visual tokens are dropped, spread evenly or
by the attention that the last prompt token pays them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from baselines.videochat_flash.config import TokenDropout


class Merge(NamedTuple):
    """One merge of clips: what is left, and how it came about."""

    tokens: Float[Tensor, "clips left width"]
    sizes: Float[Tensor, "clips left"]  # how many tokens went into each
    order: Int[Tensor, "clips sources"]  # even places by falling similarity, counted among the even ones
    destination: Int[Tensor, "clips sources"]  # each even place's best match, counted among the odd ones


def merge_counts(tokens: int, target: int) -> list[int]:
    """Return how many tokens each merge removes: never more than half of them, until `target` are left."""
    counts = []
    while tokens > target:
        counts.append(min(tokens - target, tokens // 2))
        tokens -= counts[-1]
    return counts


def merge_once(
    tokens: Float[Tensor, "clips tokens width"], sizes: Float[Tensor, "clips tokens"], count: int, heads: int
) -> Merge:
    """Add the `count` best matched even tokens to their odd ones, weighted by size.

    Similarity is the cosine between means over `heads` slices of the width. Holds the similarities,
    (clips, tokens / 2, tokens / 2), and a map of their size.

    Args:
        tokens: The tokens of each clip.
        sizes: How many of the clip's first tokens went into each.
        count: How many tokens to remove.
        heads: Into how many slices the width is cut.
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


def merge_steps(tokens: Float[Tensor, "clips tokens width"], target: int, heads: int) -> list[Merge]:
    """Return every merge of clips down to `target` tokens.

    In fp32, or fp64 where the tokens are: sizes up to 3,136 are no half-precision numbers, and similarities that half
    precision rounds to the same number would be merged in another order.
    """
    tokens = tokens if tokens.dtype == torch.float64 else tokens.float()
    sizes = tokens.new_ones(tokens.shape[:2])
    steps = []
    for count in merge_counts(tokens.shape[1], target):
        steps.append(merge_once(tokens, sizes, count, heads))
        tokens, sizes = steps[-1].tokens, steps[-1].sizes
    return steps


def merge_clips(
    tokens: Float[Tensor, "clips tokens width"], target: int, heads: int
) -> Float[Tensor, "clips target width"]:
    """Merge the tokens of each clip to `target` tokens; fewer than that stay as they are."""
    steps = merge_steps(tokens, target, heads)
    return steps[-1].tokens.to(tokens.dtype) if steps else tokens


def _rows(
    tokens: Float[Tensor, "clips tokens width"], index: Int[Tensor, "clips rows"]
) -> Float[Tensor, "clips rows width"]:
    """Return the rows of every clip that `index` names."""
    return tokens.gather(1, index[..., None].expand(-1, -1, tokens.shape[-1]))


def kept_counts(dropout: TokenDropout | None, visual: int) -> list[int]:
    """Return how many visual tokens each stretch of layers sees; always a fraction of the original number."""
    return [visual] if dropout is None else [int(visual * ratio) for ratio in dropout.ratios]


def layer_stretches(dropout: TokenDropout | None, layers: int) -> list[range]:
    """Return the layers between stops."""
    edges = [0, *(dropout.layers if dropout else ()), layers]
    return [range(start, stop) for start, stop in zip(edges, edges[1:], strict=False)]


def by_attention(dropout: TokenDropout, stop: int) -> bool:
    """Return True if stop number `stop`, from 0, keeps what the last prompt token attends to most."""
    uniform_stops = {"attention": 0, "uniform0_attention": 1, "uniform1_attention": 2}
    return dropout.kind != "uniform" and stop >= uniform_stops[dropout.kind]


def uniform_kept(visual: int, keep: int) -> Int[Tensor, " keep"]:
    """Return `keep` evenly spread places of `visual`, truncated to integers by the rule of torch on a CPU."""
    return torch.linspace(0, visual - 1, keep, dtype=torch.long, device="cpu")


def attention_kept(scores: Float[Tensor, " visual"], keep: int) -> Int[Tensor, " keep"]:
    """Return the places of the `keep` highest scores, in playing order."""
    return scores.topk(keep).indices.sort().values


def attention_scores(
    query: Float[Tensor, "heads size"], keys: Float[Tensor, "groups tokens size"], visual: range
) -> Float[Tensor, " visual"]:
    """Return how much the last prompt token attends to each visual token, averaged over heads, fp32.

    Query and keys are rotated. One row of attention; the release builds the whole square.
    """
    grouped = query.view(len(keys), -1, query.shape[-1])  # (groups, heads of a group, size)
    logits = grouped @ keys.transpose(1, 2) * query.shape[-1] ** -0.5
    weights = logits.float().softmax(-1).flatten(0, 1).to(query.dtype)  # (heads, tokens)
    return weights.mean(0)[visual.start : visual.stop].float()

"""Which visual tokens stay at a stop inside the language model."""

from __future__ import annotations

import torch
from torch import Tensor

from baselines.videochat_flash.config import Dropout


def counts(dropout: Dropout | None, visual: int) -> list[int]:
    """Return how many visual tokens each stretch of layers sees; always a share of the original number."""
    return [visual] if dropout is None else [int(visual * ratio) for ratio in dropout.ratios]


def stretches(dropout: Dropout | None, layers: int) -> list[range]:
    """Return the layers between stops."""
    edges = [0, *(dropout.layers if dropout else ()), layers]
    return [range(start, stop) for start, stop in zip(edges, edges[1:], strict=False)]


def by_attention(dropout: Dropout, stop: int) -> bool:
    """Say whether stop number `stop`, from 0, keeps what the last prompt token attends to most."""
    uniform = {"attention": 0, "uniform0_attention": 1, "uniform1_attention": 2}
    return dropout.kind != "uniform" and stop >= uniform[dropout.kind]


def uniform_kept(visual: int, keep: int) -> Tensor:
    """Return `keep` evenly spread places of `visual`, truncated to integers by the rule of torch on a CPU."""
    return torch.linspace(0, visual - 1, keep, dtype=torch.long, device="cpu")


def attention_kept(scores: Tensor, keep: int) -> Tensor:
    """Return the places of the `keep` highest scores, in playing order."""
    return scores.topk(keep).indices.sort().values


def attention_scores(query: Tensor, keys: Tensor, visual: range) -> Tensor:
    """Return how much the last prompt token attends to each visual token, averaged over heads, fp32.

    `query` is (heads, head width), `keys` are (key-value heads, tokens, head width), both rotated. One row of
    attention; the release builds the whole square.
    """
    grouped = query.view(len(keys), -1, query.shape[-1])  # (key-value heads, heads of each, head width)
    logits = grouped @ keys.transpose(1, 2) * query.shape[-1] ** -0.5
    weights = logits.float().softmax(-1).flatten(0, 1).to(query.dtype)  # (heads, tokens)
    return weights.mean(0)[visual.start : visual.stop].float()

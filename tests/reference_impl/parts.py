"""The parts of transformers written plainly, for the slow oracles: loops, matrices, tensors by official name."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int, key_heads: int, causal: bool) -> Tensor:
    """Attend head by head with the whole matrix of weights."""
    dim, parts = q.shape[1] // heads, []
    for head in range(heads):
        group = head // (heads // key_heads)
        own, other = slice(head * dim, (head + 1) * dim), slice(group * dim, (group + 1) * dim)
        scores = q[:, own] @ k[:, other].T / math.sqrt(dim)
        if causal:
            scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -math.inf)
        parts.append(scores.softmax(1) @ v[:, other])
    return torch.cat(parts, 1)


def rotate(x: Tensor, turns: Tensor, dim: int) -> Tensor:
    """Turn (tokens, width) by angles (tokens, dim / 2), head by head."""
    heads = x.view(len(x), -1, dim)
    one, other = heads[..., : dim // 2], heads[..., dim // 2 :]
    cos, sin = turns.cos()[:, None], turns.sin()[:, None]
    return torch.cat([one * cos - other * sin, other * cos + one * sin], -1).flatten(1)


def linear(w: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    """Multiply and add."""
    return x @ w[name + ".weight"].T + w[name + ".bias"]


def norm(w: dict[str, Tensor], name: str, x: Tensor, eps: float) -> Tensor:
    """Normalise by mean and spread."""
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt() * w[name + ".weight"] + w[name + ".bias"]


def rms(w: dict[str, Tensor], name: str, x: Tensor, eps: float = 1e-6) -> Tensor:
    """Normalise by the root mean square."""
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * w[name + ".weight"]


def cosine(one: Tensor, other: Tensor) -> Tensor:
    """Return the cosine."""
    return (one * other).sum(-1) / (one.norm(dim=-1) * other.norm(dim=-1))


def gelu(x: Tensor) -> Tensor:
    """Return the exact GELU."""
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def tanh_gelu(x: Tensor) -> Tensor:
    """Return the GELU by tanh."""
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def quick_gelu(x: Tensor) -> Tensor:
    """Return the GELU by a sigmoid."""
    return x / (1 + torch.exp(-1.702 * x))


def affine(name: str, out: int, into: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a linear layer with bias."""
    return {name + ".weight": (out, into), name + ".bias": (out,)}


def drawn(shapes: dict[str, tuple[int, ...]], draw: torch.Generator) -> dict[str, Tensor]:
    """Draw tensors in single precision, those that norms multiply by around 1."""
    centre = {name: 1.0 if len(shape) == 1 and name.endswith("weight") else 0.0 for name, shape in shapes.items()}
    return {name: centre[name] + 0.2 * torch.randn(shape, generator=draw) for name, shape in shapes.items()}


def save(file: Path, tensors: dict[str, Tensor]) -> None:
    """Write tensors, fractions in single precision."""
    narrow = {n: t.detach().float() if t.is_floating_point() else t for n, t in tensors.items()}
    save_file({name: tensor.contiguous().clone() for name, tensor in narrow.items()}, file)

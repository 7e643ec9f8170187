"""How many tokens a budget buys, and whether a compressor keeps to it.

A whole frame is 64 tokens, so at some lengths no number of whole frames comes near a budget. A comparison at
such a length would mean nothing: `deviation` shows so before anything is asked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from niah.adapters.compressor import EMBEDDING, Choice, Compressor, Settings

TOLERANCE = 0.05  # of the budget


@runtime_checkable
class FrameLimit(Protocol):
    """How many whole frames a compressor shows of a video."""

    def of(self, count: int) -> int:
        """Return the limit for a video of `count` frames."""
        ...

    def settings(self) -> Settings:
        """Return what a record says of the limit."""
        ...


@dataclass(frozen=True)
class FixedFrames:
    """The same number of frames however long the video is; `setting` is its name in a record."""

    limit: int
    setting: str = "frames"

    def of(self, count: int) -> int:
        """Return the limit."""
        return self.limit

    def settings(self) -> Settings:
        """Return the number by its name."""
        return {self.setting: self.limit}


@dataclass(frozen=True)
class TokenBudget:
    """As many whole frames as a budget of tokens for each frame of the video buys."""

    tokens: float
    patches: int  # tokens of a whole frame

    def of(self, count: int) -> int:
        """Return the number of whole frames."""
        return whole_frames(self.tokens, count, self.patches)

    def settings(self) -> Settings:
        """Return the budget."""
        return {"budget": self.tokens}


def whole_frames(budget: float, count: int, patches: int) -> int:
    """Return how many whole frames come nearest to `budget` tokens for each of `count` frames; at least one."""
    return max(1, round(budget * count / patches))


def keyframes_beside_merged(budget: float, count: int, patches: int) -> int:
    """Return K such that K whole frames and a token of each other come nearest to the budget; at least one."""
    return max(1, round((budget - 1) * count / (patches - 1)))


def tokens_of(budget: float, ranks: Int[Tensor, " frames"]) -> Int[Tensor, " frames"]:
    """Return floor((i + 1) B) - floor(i B) for the frames of rank i: whole tokens that come to B a frame."""
    exact = ranks.double()
    return (((exact + 1) * budget).floor() - (exact * budget).floor()).long()


class AllFrames:
    """What compressors have in common that see every frame and keep none whole."""

    budget: float  # tokens a frame

    def choose(self, embeddings: Float[Tensor, "frames dim"], query: Float[Tensor, " width"]) -> Choice:
        """See all frames, keep none whole."""
        return Choice(range(len(embeddings)), ())

    def tokens(self, choice: Choice, patches: int) -> int:
        """Return floor(B N)."""
        return int(tokens_of(self.budget, torch.arange(len(choice.seen))).sum())


def deviation(compressor: Compressor, budget: float, count: int, dim: int, patches: int) -> float:
    """Return by what proportion of the budget a compressor's tokens exceed it or (negative) stay below it.

    The compressor chooses among random embeddings: no number of tokens may depend on what a video shows.

    Args:
        compressor: What is checked.
        budget: Tokens a frame.
        count: Frames of the video.
        dim: Length of a frame's embedding.
        patches: Patches of a frame.
    """
    generator = torch.Generator().manual_seed(count)
    frames = torch.nn.functional.normalize(torch.randn(count, dim, generator=generator), dim=-1)
    choice = compressor.choose(frames if EMBEDDING in compressor.needs else frames[:, :0], frames[0])
    return compressor.tokens(choice, patches) / (budget * count) - 1


def morton(side: int) -> list[int]:
    """Return the patches of a square in Morton order, numbered as read: neighbours stay together."""

    def interleaved(patch: int) -> int:
        x, y = patch % side, patch // side
        bits = range(side.bit_length())
        return sum((x >> bit & 1) << 2 * bit | (y >> bit & 1) << 2 * bit + 1 for bit in bits)

    return sorted(range(side * side), key=interleaved)


@cache
def averaging(runs: int, patches: int) -> Float[Tensor, "runs patches"]:
    """Return the matrix that averages patches in Morton order over equal runs; of 64 patches, equal up to one.

    It is shared by all who ask: not to be written into.
    """
    order = torch.tensor(morton(math.isqrt(patches)))
    weights = torch.zeros(runs, patches)
    for row, members in zip(weights, order.tensor_split(runs), strict=True):
        row[members] = 1 / len(members)
    return weights

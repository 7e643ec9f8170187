"""What the language model is trained on: a compressed video with questions behind it."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from niah.adapters.compressor import TokenChunk


@dataclass(frozen=True, eq=False)
class Example:
    """A compressed video with one or several questions behind it, ready for the language model.

    A compressor inside the language model drops some visual tokens; `positions` and `traced` count those that stay.
    """

    visual: TokenChunk
    texts: list[Float[Tensor, "_words hidden"]]  # a prompt and its answer each; no text sees another
    answers: list[list[int]]
    positions: Int[Tensor, " places"]  # of the visual tokens, then of every text's first word
    traced: Int[Tensor, " traced"]  # visual tokens of the needle at which the tracing loss applies
    options: tuple[int, ...]  # the first token of each option of the first question; empty where it is not asked
    right: int  # the right option of the first question
    cosines: Float[Tensor, "texts staying"] | None = None  # with each question, where that comes late

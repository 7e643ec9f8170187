"""What an adapter may offer besides `answer`: the attention that its question pays to the video.

Layers are yielded one at a time, so that the weights of a model of 28 layers are never all in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from niah.types import Question, Video


@dataclass(frozen=True)
class VisualAttention:
    """The visual tokens of one video in a language model, and the attention that later text tokens pay to them."""

    frames: np.ndarray  # (tokens,) the frame each visual token comes from
    patches: np.ndarray  # (tokens,) its patch in that frame; -1 for a token of the whole frame
    features: np.ndarray  # (tokens, dim) of any norm; only their cosines are used
    layers: Iterator[np.ndarray]  # per layer (heads, text tokens, tokens): attention weights; a row sums to at most 1

    def __post_init__(self) -> None:
        counts = {"frames": len(self.frames), "patches": len(self.patches), "features": len(self.features)}
        if len(set(counts.values())) != 1 or not len(self.frames):
            raise ValueError(f"a visual token has a frame, a patch and features; got {counts}")


@runtime_checkable
class SupportsAttention(Protocol):
    """An adapter that can return the attention weights of its question."""

    def attentions(self, video: Video, question: Question) -> VisualAttention:
        """Read a video and a question as `answer` does. Raises UserError for a case without frames."""
        ...

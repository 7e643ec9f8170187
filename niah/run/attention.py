"""What an adapter may offer besides `answer`: the attention its question pays to the video.

One layer at a time, so that a model of 28 layers never holds more than one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from niah.types import Question, Video


@dataclass(frozen=True)
class VisualAttention:
    """The visual tokens of one video as a language model reads them, and what the tokens behind them look at."""

    frames: np.ndarray  # (tokens,) the frame each visual token comes from
    patches: np.ndarray  # (tokens,) which patch of that frame it is; -1 where it stands for the frame
    features: np.ndarray  # (tokens, dim) what a token shows, for cosines: of any length
    layers: Iterator[np.ndarray]  # for each layer (heads, words, tokens): shares of attention, a row at most 1 together

    def __post_init__(self) -> None:
        counts = {"frames": len(self.frames), "patches": len(self.patches), "features": len(self.features)}
        if len(set(counts.values())) != 1 or not len(self.frames):
            raise ValueError(f"a visual token has a frame, a patch and features; got {counts}")


@runtime_checkable
class SupportsAttention(Protocol):
    """An adapter that can tell what its question looks at."""

    def attentions(self, video: Video, question: Question) -> VisualAttention:
        """Read a video and a question as `answer` does. Raises UserError where there is no video to look at."""
        ...

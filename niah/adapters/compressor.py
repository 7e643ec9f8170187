"""What stands between a frozen encoder and a language model: which frames are shown, and as which tokens.

A compressor knows neither of the two. It gets unit-length frame embeddings, a query, the patches of the frames
it chose, and the model's connectors; so one model can be asked with another compressor, and a compressor that
learns can be an `nn.Module`. Frames stream: what is held of a video is a compressor's own business, and its
docstring says what that is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor


@dataclass(frozen=True)
class Choice:
    """The frames of a video that reach the language model, and those of them that reach it whole; in playing order."""

    seen: Sequence[int]
    kept: Sequence[int]


@dataclass(frozen=True)
class Connectors:
    """The model's ways from the patches of a frame to the language model's embeddings, for one query."""

    features: Callable[[Tensor], Tensor]  # (frames, patches, dim) -> (frames, patches, channels)
    keyframe: Callable[[Tensor], Tensor]  # (tokens, channels) of frames kept whole -> (tokens, hidden)
    merged: Callable[[Tensor], Tensor]  # (tokens, channels) of frames that were merged -> (tokens, hidden)


class Run(NamedTuple):
    """A few tokens in a row."""

    frames: Sequence[int]  # one for each token: the frame it comes from
    embeddings: Tensor  # (tokens, hidden)


@runtime_checkable
class Compressor(Protocol):
    """A rule that turns a video of any length into tokens."""

    guided: bool  # whether `choose` looks at the frames: if not, none is encoded for it

    def settings(self) -> Mapping[str, float | str | None]:
        """Return its name under "compressor", and every number that can move an answer: for the record."""
        ...

    def choose(self, frames: Tensor, query: Tensor) -> Choice:
        """Choose from the unit-length embeddings of all frames, (frames, dim), dim 0 unless `guided`."""
        ...

    def tokens(self, choice: Choice, patches: int) -> int:
        """Return how many tokens a choice becomes where a frame has so many patches."""
        ...

    def compress(
        self,
        choice: Choice,
        query: Tensor,
        chunks: Iterable[tuple[Sequence[int], Tensor]],
        connect: Connectors,
    ) -> Iterator[Run]:
        """Yield the tokens of the frames seen, in playing order.

        `chunks` yields numbers and patches, (frames, patches, dim), of those frames in playing order,
        a chunk of any size at a time; the tokens do not depend on that size.
        """
        ...


def numbered(frames: Sequence[int], chunks: Iterable[Tensor]) -> Iterator[tuple[Sequence[int], Tensor]]:
    """Yield with each chunk of patches the numbers of its frames, in the order of `frames`."""
    start = 0
    for patches in chunks:
        yield frames[start : start + len(patches)], patches
        start += len(patches)

"""What stands between a frozen encoder and a language model: which frames are shown, and as which tokens.

A compressor knows neither of the two. It gets unit-length frame embeddings, a query, the patches of the frames
it chose, and the model's connectors; so one model can be asked with another compressor, and a compressor that
learns can be an `nn.Module`. Frames stream: what is held of a video is a compressor's own business, and its
docstring says what that is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

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


class TokenChunk(NamedTuple):
    """A few tokens in a row."""

    frames: Sequence[int]  # one for each token: the frame it comes from
    embeddings: Tensor  # (tokens, hidden)
    stays: Sequence[bool] | None = None  # of an `InLanguage` compressor: which tokens stay in the cache


Chunks = Iterable[tuple[Sequence[int], Tensor]]  # numbers and patches, (frames, patches, dim), of frames seen


@runtime_checkable
class Compressor(Protocol):
    """A rule that turns a video of any length into tokens."""

    guided: bool  # whether frames or tokens depend on the query: if not, no frame's embedding is made

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
        chunks: Chunks,
        connect: Connectors,
    ) -> Iterator[TokenChunk]:
        """Yield the tokens of the frames seen, in playing order.

        `chunks` yields numbers and patches, (frames, patches, dim), of those frames in playing order,
        a chunk of any size at a time; the tokens do not depend on that size.
        """
        ...


class Sequences(NamedTuple):
    """A batch of videos for the language model, each with one or several texts behind it; one entry a video."""

    visual: Sequence[TokenChunk]  # all tokens of a video in one run
    texts: Sequence[Sequence[Tensor]]  # (words, hidden) each; none sees another
    places: Sequence[Tensor]  # (staying tokens + 1,) rising positions, the last that of every text's first word
    wanted: Sequence[Tensor]  # numbers among the staying tokens, whose states are wanted besides those of the texts


class States(NamedTuple):
    """Last states of a batch, after the final norm; one entry a video."""

    texts: Sequence[Sequence[Tensor]]  # (words, hidden) each
    wanted: Sequence[Tensor]  # (wanted, hidden)


@runtime_checkable
class InLanguage(Compressor, Protocol):
    """A compressor whose second half is the language model: `tokens` counts what stays of what it yields."""

    def read(self, language: Any, runs: Iterable[TokenChunk], capacity: int) -> Any:
        """Return a `transformers` cache with room for `capacity` tokens that holds what stays, at positions from 0."""
        ...

    def states(self, language: Any, batch: Sequences) -> States:
        """Return the states that training looks at, with gradients into all that was read."""
        ...


def numbered(frames: Sequence[int], chunks: Iterable[Tensor]) -> Iterator[tuple[Sequence[int], Tensor]]:
    """Yield with each chunk of patches the numbers of its frames, in the order of `frames`."""
    start = 0
    for patches in chunks:
        yield frames[start : start + len(patches)], patches
        start += len(patches)

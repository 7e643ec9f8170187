"""Between a frozen encoder and a language model: which frames of a video are shown, and as which tokens.

A compressor knows neither of the two. It is given unit-length frame embeddings and a query to choose frames by, then
the features of the frames it chose and the model's two connectors. So one model can be asked with another compressor,
and a compressor that learns can be an `nn.Module`. Frames stream through: what a compressor holds of a video is stated
in its docstring.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

EMBEDDING, PATCHES = "embedding", "patches"  # the features of a frame: one vector to choose by, and its patches
Settings = Mapping[str, float | int | str | None]


@dataclass(frozen=True)
class Choice:
    """The frames of a video that reach the language model, and those of them that reach it whole; in temporal order."""

    seen: Sequence[int]
    kept: Sequence[int]
    patches: Sequence[int] | None = None  # the frames whose patches are needed, where those are not all seen

    @property
    def with_patches(self) -> Sequence[int]:
        """The frames whose patches are needed."""
        return self.seen if self.patches is None else self.patches


class FrameChunk(NamedTuple):
    """Features of a few frames in a row, of those a compressor chose."""

    frames: Sequence[int]  # their numbers
    patches: Float[Tensor, "frames patches dim"]  # as the encoder returns them, to compare with the query
    features: Float[Tensor, "frames patches channels"]  # with what the model appends to them: what becomes tokens


class TokenChunk(NamedTuple):
    """A few tokens in a row."""

    frames: Sequence[int]  # one for each token: the frame it comes from
    embeddings: Float[Tensor, "tokens hidden"]
    stays: Sequence[bool] | None = None  # of an `InLanguage` compressor: which tokens stay in the cache


@dataclass(frozen=True)
class Connectors:
    """A model's two maps from features to the language model's embeddings, token by token."""

    keyframe: Callable[[Tensor], Tensor]  # (tokens, channels) of frames kept whole -> (tokens, hidden)
    merged: Callable[[Tensor], Tensor]  # (tokens, channels) of frames that were merged -> (tokens, hidden)


@runtime_checkable
class Compressor(Protocol):
    """A rule that turns a video of any length into tokens."""

    @property
    def needs(self) -> Sequence[str]:
        """What is encoded of a frame: EMBEDDING if it chooses by them, and PATCHES."""
        ...

    guided: bool  # whether frames or tokens depend on the query

    def settings(self) -> Settings:
        """Return its name under "compressor", and every number that can move an answer: for the record."""
        ...

    def choose(self, embeddings: Float[Tensor, "frames dim"], query: Float[Tensor, " width"]) -> Choice:
        """Choose from the unit-length embeddings of all frames; without EMBEDDING in `needs`, dim is 0."""
        ...

    def tokens(self, choice: Choice, patches: int) -> int:
        """Return how many tokens a choice becomes where a frame has that many patches."""
        ...

    def compress(
        self,
        choice: Choice,
        query: Float[Tensor, " dim"],
        chunks: Iterable[FrameChunk],
        connect: Connectors,
    ) -> Iterator[TokenChunk]:
        """Yield the tokens of the frames seen, in temporal order.

        Args:
            choice: What `choose` returned.
            query: The unit-length embedding of the question.
            chunks: Features of the frames seen, in temporal order; the tokens do not depend on the size of a chunk.
            connect: The model's connectors.
        """
        ...


class Sequences(NamedTuple):
    """A batch of videos for the language model, each followed by one or several texts; one entry a video."""

    visual: Sequence[TokenChunk]  # all tokens of a video in one chunk
    texts: Sequence[Sequence[Float[Tensor, "_words hidden"]]]  # no text sees another
    places: Sequence[Int[Tensor, " _places"]]  # rising positions of the staying tokens, and of every text's first word
    wanted: Sequence[Int[Tensor, " _wanted"]]  # staying tokens, by number, whose states are wanted besides the texts'
    bias: Sequence[Float[Tensor, "_texts heads _places"]] | None = None  # added to a text's scores of staying tokens


class States(NamedTuple):
    """Last states of a batch, after the final norm; one entry a video."""

    texts: Sequence[Sequence[Float[Tensor, "_words hidden"]]]
    wanted: Sequence[Float[Tensor, "_wanted hidden"]]


@runtime_checkable
class InLanguage(Compressor, Protocol):
    """A compressor whose second half is the language model: `tokens` counts what stays of what it yields."""

    def read(self, language: Any, chunks: Iterable[TokenChunk], capacity: int) -> Any:
        """Return a `transformers` cache for `capacity` tokens that holds what stays, at positions from 0."""
        ...

    def states(self, language: Any, batch: Sequences) -> States:
        """Return the states that training looks at, with gradients into all that was read."""
        ...


def frame_chunks(
    frames: Sequence[int],
    patches: Iterable[Float[Tensor, "_frames patches dim"]],
    append: Callable[[Tensor], Tensor] = lambda patches: patches,
) -> Iterator[FrameChunk]:
    """Yield chunks of patches with the numbers of their frames, and with the features that `append` makes of them."""
    start = 0
    for chunk in patches:
        yield FrameChunk(frames[start : start + len(chunk)], chunk, append(chunk))
        start += len(chunk)


def write_tokens(room: Float[Tensor, "tokens hidden"], chunks: Iterable[TokenChunk]) -> None:
    """Write a video's tokens into the memory allocated for them.

    Thousands of small results that stay, between large ones that are freed, would fragment the heap.
    Raises ValueError unless there are as many tokens as were announced.
    """
    written = 0
    for chunk in chunks:
        room[written : written + len(chunk.embeddings)] = chunk.embeddings
        written += len(chunk.embeddings)
    if written != len(room):
        raise ValueError(f"a compressor announced {len(room)} tokens and yielded {written}")

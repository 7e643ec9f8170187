"""ViLaMP as the paper describes it, in one function: encode, select keyframes, merge, prefill, score.

The small model (`vilamp.adapter`) and a released checkpoint (`vilamp.release.adapter`) go through the same function;
each brings its own arithmetic as `Steps`. The paper's ideas are pure functions: `vilamp.keyframes` and `vilamp.merge`.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import Cache

from niah.adapters.compressor import Choice, Settings, TokenChunk
from niah.adapters.meter import Meter
from niah.adapters.shown import shown_square
from niah.types import OptionLikelihood, Question, Reply, Video
from vilamp.features import FrameFeatures


class Prompt(NamedTuple):
    """What the language model reads of a case."""

    embeddings: Float[Tensor, "tokens hidden"]  # the video's tokens and the words, or the words behind `cache`
    count: int  # pyright: ignore[reportIncompatibleMethodOverride]  # tokens of the video and words together
    cache: Cache | None = None  # the video, where a compressor works in the language model
    cosines: Float[Tensor, " video"] | None = None  # of its tokens with the question, where that comes late


class ModelAnswer(NamedTuple):
    """What a model says: a text, and the score of each option where options are scored."""

    text: str
    scores: tuple[float, ...] | None = None
    finish_reason: str | None = None  # of a text that was generated
    likelihoods: tuple[OptionLikelihood, ...] | None = None  # what the scores are made of


@runtime_checkable
class Steps(Protocol):
    """What a model does at each step of `answer_video`."""

    features: FrameFeatures
    last_stage: str  # what the seconds of `reply` are called in a record

    @property
    def frame_side(self) -> int:
        """Height and width in pixels of the frames that become tokens."""
        ...

    @property
    def needs(self) -> Sequence[str]:
        """The features to encode of every frame that is looked at."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the model's weights are."""
        ...

    def encode_query(self, question: Question) -> Float[Tensor, " dim"]:
        """Return the embedding of the bare question."""
        ...

    def select(self, embeddings: Float[Tensor, "frames dim"], query: Float[Tensor, " width"]) -> Choice:
        """Choose the frames that are seen, and the keyframes among them (Algorithm 1)."""
        ...

    def merge(
        self,
        choice: Choice,
        query: Float[Tensor, " dim"],
        embeddings: Float[Tensor, "frames width"],
        patches: Iterable[Float[Tensor, "_frames patches channels"]],
    ) -> Iterator[TokenChunk]:
        """Yield the tokens of keyframes and merged frames, in temporal order (Eq. 5-11)."""
        ...

    def prompt(self, question: Question, choice: Choice, tokens: Iterator[TokenChunk]) -> Prompt:
        """Put the video's tokens and the question's words in order."""
        ...

    def prefill(self, prompt: Prompt) -> tuple[Cache, Float[Tensor, " vocabulary"]]:
        """Read the prompt; return the cache, and the next token's logits or log-probabilities."""
        ...

    def reply(
        self, question: Question, prompt: Prompt, cache: Cache, first: Float[Tensor, " vocabulary"]
    ) -> ModelAnswer:
        """Return the answer that follows the prompt in the cache."""
        ...

    def settings(self) -> Settings:
        """Return everything that can move an answer, for the record."""
        ...


@torch.inference_mode()
def answer_video(steps: Steps, video: Video, question: Question) -> Reply:
    """Answer a question about a video, and measure what that costs."""
    meter = Meter(steps.device, video)
    features = steps.features.of(video)
    query = steps.encode_query(question)
    embeddings = features.embeddings(steps.needs)  # (frames, dim)
    meter.stage("encode")

    choice = steps.select(embeddings, query)
    meter.stage("select")

    patches = features.patches(choice.with_patches)  # a chunk of frames at a time
    tokens = steps.merge(choice, query, embeddings, patches)
    prompt = steps.prompt(question, choice, tokens)
    del embeddings, patches, tokens  # the language model's cache takes their place
    trim_heap()
    meter.stage("merge")

    cache, first = steps.prefill(prompt)
    first = first.cpu()
    meter.first_token()
    meter.stage("prefill")

    answer = steps.reply(question, prompt, cache, first)
    meter.stage(steps.last_stage)
    return Reply(
        text=answer.text,
        option_scores=answer.scores,
        mode="generated" if answer.scores is None else "likelihood",
        frames_used=tuple(choice.seen),
        frames_kept=tuple(choice.kept),
        language_tokens=prompt.count,
        reused_frames=features.reused,
        settings=dict(steps.settings()),
        finish_reason=answer.finish_reason,
        option_likelihoods=answer.likelihoods,
        **shown_square(len(choice.seen), steps.frame_side),
        **meter.costs(),
    )


def trim_heap() -> None:
    """Return freed memory to the system where the C library keeps it; glibc does, in the gaps of its heap.

    Otherwise a stage's peak would lie in what the stage before left behind, or on top of it, as it happens to fit.
    """
    if _is_glibc():
        ctypes.CDLL(None).malloc_trim(0)


@cache
def _is_glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"

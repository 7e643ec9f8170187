"""The prompt as the language model gets it, and what its question looks at while it is read."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from baselines.llama_vid import prompt
from baselines.llama_vid.features import FrameFeatures
from baselines.llama_vid.model import LlamaVid
from niah.adapters.watch import attended
from niah.attention import Attended
from niah.score import put
from niah.types import Question, UserError, Video


@dataclass(frozen=True, eq=False)
class Asked:
    """A video and a question, embedded."""

    embeds: Float[Tensor, "tokens hidden"]
    first: int  # number of the first visual token
    shown: list[int]  # frames of the video
    reused: int


class Asker:
    """Puts questions in the release's words."""

    def __init__(self, features: FrameFeatures, tokenizer: Any, words: prompt.QueryTokenizer, path: str) -> None:
        self.features, self.tokenizer, self.words, self.path = features, tokenizer, words, path

    @torch.inference_mode()
    def embed(self, video: Video, question: Question) -> Asked:
        """Return the whole prompt; a blind one has no visual token."""
        model, shown = self.features.model, prompt.one_per_second(len(video), video.fps)
        query = self.words([question.text], model.device)
        tokens, reused = self.features.tokens(video, shown, query, class_row=self.path == "short")
        text = prompt.PATHS[self.path](put(question)) if shown else prompt.blind_prompt(put(question))
        ids = prompt.piece_ids(self.tokenizer, text, model.config.language.vocabulary)
        before, after = (model.embed(torch.tensor(piece, dtype=torch.long)) for piece in ids)
        return Asked(torch.cat((before, tokens, after)), len(before), shown, reused)


def attentions(model: LlamaVid, asked: Asked) -> Attended:
    """Return what the words behind the video look at; a token's features are what the language model reads.

    Context token and pooled content stand for the whole frame; only tokens of a grid, or of all patches, have places.
    Raises UserError without a video.
    """
    if not asked.shown:
        raise UserError("attention is told of a video's tokens: ask about a video, not a blind case")
    each, last = model.tokens_per_frame, asked.first + model.tokens_per_frame * len(asked.shown)
    frames = [frame for frame in asked.shown for _ in range(each)]
    told = attended(model.language, asked.embeds, asked.first, frames, asked.embeds[asked.first : last])

    def layers() -> Iterator[np.ndarray]:
        model.rotary.expect(len(asked.embeds))  # now: another answer may have been given since
        yield from told.layers

    of_frame = np.arange(each) - 1  # the context token comes first
    places = np.tile(of_frame if each > 2 else np.full(each, -1), len(asked.shown))
    return dataclasses.replace(told, places=places, layers=layers())

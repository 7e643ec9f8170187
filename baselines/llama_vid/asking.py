"""A video and a question as the language model gets them, in the release's words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from baselines.llama_vid import prompt
from baselines.llama_vid.features import FrameFeatures
from niah.prompt import format_prompt
from niah.types import Question, Video


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
        text = (
            prompt.PATHS[self.path](format_prompt(question)) if shown else prompt.blind_prompt(format_prompt(question))
        )
        ids = prompt.piece_ids(self.tokenizer, text, model.config.language.vocabulary)
        before, after = (model.embed(torch.tensor(piece, dtype=torch.long)) for piece in ids)
        return Asked(torch.cat((before, tokens, after)), len(before), shown, reused)

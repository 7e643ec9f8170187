"""From a question to ids: the language model's tokenizer out of the folder, CLIP's out of `open_clip`.

A CLIP of another vocabulary than `open_clip`'s tokenizer has (tiny checkpoints of tests) reads the
language model's ids modulo its own, with its largest id at the end. What the release's scripts ask, word for word,
is in `niah.integrations.benchmarks.prompts`.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from niah.adapters.checkpoint import read_tokenizer
from niah.types import UserError
from vilamp.release.model import VIDEO
from vilamp.release.tower_sizes import ClipSizes

OPEN_CLIP_VOCABULARY = 49408
SYSTEM = "You are a helpful assistant."
PLACE = "<image>"  # where the video goes


class ReleaseText:
    """Both tokenizers of one checkpoint."""

    def __init__(self, folder: Path, clip: ClipSizes) -> None:
        self.tokenizer: Any = read_tokenizer(folder)
        self.clip = clip

    @property
    def rows(self) -> int:
        """How many rows of embeddings the ids need."""
        return max(self.tokenizer.get_vocab().values()) + 1

    @property
    def stop_ids(self) -> set[int]:
        """The ids that end a reply."""
        ends = {self.tokenizer.eos_token_id, self.tokenizer.convert_tokens_to_ids("<|im_end|>")}
        return {token for token in ends if token is not None}

    def prompt(self, user_text: str, video: bool) -> list[int]:
        """Return the ids of a chat prompt, -200 where the video goes; each side of it is tokenised by itself."""
        if not video:
            return self._ids(chat(user_text, video=False))
        before, _, after = chat(user_text).partition(PLACE)  # the first: the user's text may hold the word itself
        return [*self._ids(before), VIDEO, *self._ids(after)]

    def query(self, question: str) -> Int[Tensor, "1 tokens"]:
        """Return CLIP's ids of the bare question, cut to its positions, end-of-text included.

        Raises UserError for a question without a word.
        """
        if not question.strip():
            raise UserError("the question is empty: there is nothing to ask or to select frames by; write its text")
        if self.clip.vocabulary == OPEN_CLIP_VOCABULARY:
            import open_clip  # here: parity and the bench run where it is not installed

            tokenizer = open_clip.SimpleTokenizer(context_length=self.clip.positions)
            # its own cleaning also straightens quotes and reads HTML, which the release's tokenizer does not
            tokenizer.clean_fn = as_released  # type: ignore[assignment]
            return tokenizer([question])
        end = self.clip.vocabulary - 1
        ids = [token % end for token in self._ids(question)][: self.clip.positions - 1]
        return torch.tensor([[*ids, end]])

    def decode(self, ids: list[int]) -> str:
        """Return the text of a reply."""
        return self.tokenizer.decode(ids, skip_special_tokens=True)

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False).input_ids


def as_released(text: str) -> str:
    """Return a text as the release's CLIP tokenizer prepares it: composed letters, single spaces, lower case."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFC", text)).lower()


def chat(user_text: str, video: bool = True) -> str:
    """Return the whole ChatML prompt around the user's text, with the video's place unless there is none."""
    place = f"{PLACE}\n" if video else ""
    return (
        f"<|im_start|>system\n{SYSTEM}<|im_end|>\n"
        f"<|im_start|>user\n{place}{user_text}<|im_end|>\n"
        "<|im_start|>assistant\n"
    )

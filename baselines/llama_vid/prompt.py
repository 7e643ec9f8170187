"""What the language model and the Q-Former are told, and which frames are shown.

The release marks where tokens of the video go by `<image>`: once on the short path, once
for each token on the long one. Text is split there and every piece tokenised by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import BertProcessing

from baselines.llama_vid.compressor import Query
from niah.types import UserError

MARK = "<image>"
SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
STOP = "</s>"
QUERY_TOKENS = 256  # of the Q-Former's question, specials included
SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


class Prompt(NamedTuple):
    """The text before the video's tokens and the text after them."""

    before: str
    after: str

    def marked(self, marks: int) -> str:
        """Return the release's one string, with the video's place marked."""
        return self.before + MARK * marks + self.after


def short_prompt(question: str) -> Prompt:
    """Return the chat around a video and a question (`vicuna_v1`)."""
    return Prompt(f"{SYSTEM} USER: ", f"\n{question} ASSISTANT:")


def long_prompt(question: str) -> Prompt:
    """Return the movie script's chat: a fixed sentence before and after the frames."""
    movie = "Below is a movie. Memorize the content and answer my question after watching this movie."
    return Prompt(f"{SYSTEM} USER: {movie}", f"Now the movie end.\n{question} ASSISTANT:")


def blind_prompt(question: str) -> Prompt:
    """Return the chat without a video: no mark, and no line break after one."""
    return Prompt(f"{SYSTEM} USER: {question} ASSISTANT:", "")


PATHS = {"short": short_prompt, "long": long_prompt}


def piece_ids(tokenizer: Any, prompt: Prompt, vocabulary: int) -> tuple[list[int], list[int]]:
    """Return the ids before and after the video; a start token only before.

    Raises UserError for a tokenizer that names words the language model does not know.
    """
    before, after = (list(tokenizer(piece).input_ids) if piece else [] for piece in prompt)
    if before and after and before[0] == tokenizer.bos_token_id == after[0]:
        after = after[1:]
    largest = max(before + after)
    if largest >= vocabulary:
        raise UserError(
            f"the tokenizer gives id {largest}, the language model knows {vocabulary}: it belongs to another checkpoint"
        )
    return before, after


def one_per_second(frames: int, fps: float) -> list[int]:
    """Return the frames the release shows: every round(fps)-th, as many as there are.

    Halves round to even. Below half a frame a second the release fails on a stride of 0; here every frame is shown.
    """
    return list(range(0, frames, max(1, round(fps))))


class QueryTokenizer:
    """Turns questions into BERT's lower-case word pieces, at most 256 of each: its end, if it is longer."""

    def __init__(self, vocabulary: Path) -> None:
        if not vocabulary.is_file():
            raise UserError(f"the Q-Former's question needs BERT's {vocabulary.name} in {vocabulary.parent.name}/")
        words = vocabulary.read_text(encoding="utf-8").splitlines()
        lacking = [word for word in SPECIALS if word not in words]
        if lacking:
            raise UserError(f"BERT's {vocabulary.name} lacks {', '.join(lacking)}: copy the file again")
        ids = {word: number for number, word in enumerate(words)}
        self._padding = ids["[PAD]"]
        self._tokenizer = Tokenizer(WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
        self._tokenizer.normalizer = BertNormalizer(lowercase=True)
        self._tokenizer.pre_tokenizer = BertPreTokenizer()
        self._tokenizer.post_processor = BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
        self._tokenizer.enable_truncation(QUERY_TOKENS, direction="left")

    def __call__(self, questions: Sequence[str], device: str | torch.device = "cpu") -> Query:
        """Return one row each, shorter ones padded on the right."""
        rows = [self._tokenizer.encode(question).ids for question in questions]
        length = max(map(len, rows))
        ids = [row + [self._padding] * (length - len(row)) for row in rows]
        mask = [[1] * len(row) + [0] * (length - len(row)) for row in rows]
        return Query(torch.tensor(ids, device=device), torch.tensor(mask, device=device))

"""Words in, ids out: one small vocabulary for CLIP's text tower and the language model.

A word of the vocabulary is one token, anything else falls back to its UTF-8
bytes, so that every question can be asked. Text is lower-cased, which keeps the
vocabulary small.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from niah.types import Question

PIECES = re.compile(r" ?[a-z]+| ?\d|.", re.DOTALL)
BYTES = 256
PAD, START = BYTES, BYTES + 1
FIRST_WORD = BYTES + 2


@dataclass(frozen=True)
class Vocabulary:
    """Bytes 0-255, pad, start, the words in order, and end-of-text as the largest id (CLIP pools there)."""

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(set(self.words)) != len(self.words):
            raise ValueError("a vocabulary holds each word once")

    @classmethod
    def read(cls, path: Path) -> Vocabulary:
        """Read one word a line."""
        return cls(tuple(path.read_text(encoding="utf-8").split()))

    def __len__(self) -> int:
        return FIRST_WORD + len(self.words) + 1

    @property
    def end(self) -> int:
        """The end-of-text id."""
        return len(self) - 1

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: FIRST_WORD + number for number, word in enumerate(self.words)}

    def encode(self, text: str) -> list[int]:
        """Return ids of `text`, without start or end. A word means the same with or without a space before it."""
        ids: list[int] = []
        for piece in PIECES.findall(text.lower().strip()):
            word = piece.strip(" ")
            if word in self._ids:
                ids.append(self._ids[word])
            elif piece != " ":  # a word is a token of its own, so only bytes need their spaces
                ids.extend(piece.encode("utf-8"))
        return ids

    def encode_query(self, text: str, length: int) -> list[int]:
        """Return at most `length` ids for CLIP: start, text cut to fit, end-of-text."""
        return [START, *self.encode(text)[: length - 2], self.end]


def cloze(question: Question) -> str:
    """Return the text whose continuation is an option's words: no letters, no list of options."""
    return question.template.replace("{question}", question.text) + " answer:"

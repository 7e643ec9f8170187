"""The release's prompts: what stands before a video and after it.

Every part is turned into ids on its own, as the release does, so that the prefix (14 tokens
with its own tokenizer) is the same whatever is asked, and the cache behind it can be shared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from niah.prompt import format_prompt
from niah.types import LETTERS, Question, UserError

ASSISTANT = "You are a helpful assistant."
WATCHER = (
    "Carefully watch this video and pay attention to every detail. Based on your observations, select the best option "
    "that accurately addresses the question."
)
TURN = "<|im_end|>"
STYLES = ("chat", "niah", "vnbench")


@dataclass(frozen=True)
class Prompt:
    """Token ids around a video."""

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]


def words(question: Question, style: str, video: bool) -> tuple[str, str]:
    """Return the text before the video and the text after it; without a video the line break after it is left out.

    "chat" is the release's conversation, "niah" its needle test's, which starts the reply with an opening
    parenthesis, and "vnbench" its VNBench script's. Raises UserError for another style.
    """
    if style == "vnbench":
        options = "".join(f"({letter}) {text}\n" for letter, text in zip(LETTERS, question.options, strict=False))
        asked = f"Question: {question.text}\nOptions:\n{options}"
    else:
        asked = format_prompt(question)
    return around(style, asked, video)


def around(style: str, asked: str, video: bool = True) -> tuple[str, str]:
    """Return what stands before the video, and after it with a question in it. Raises UserError for another style."""
    if style not in STYLES:
        raise UserError(f"a prompt is one of {', '.join(STYLES)}, got {style!r}")
    system = WATCHER if style == "vnbench" else ASSISTANT
    before = f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n"
    if style == "niah":
        return before, f"Question: {asked}\nAnswer: <|im_end|>\n<|im_start|>assistant\nBest option:("
    opening = "\n" if video else ""
    return before, f"{opening}{asked}<|im_end|>\n<|im_start|>assistant\n"


def stop_ids(tokenizer: Any, of_config: frozenset[int]) -> frozenset[int]:
    """Return the ids that end a reply: the checkpoint's, and the end of a turn, should its config name another."""
    turn = tokenizer.get_vocab().get(TURN)
    return of_config if turn is None else of_config | {turn}


def encode(tokenizer: Any, question: Question, style: str, video: bool, vocabulary: int) -> Prompt:
    """Return the ids of both parts. Raises UserError for a tokenizer that does not belong to the language model."""
    parts = [tuple(tokenizer.encode(text, add_special_tokens=False)) for text in words(question, style, video)]
    largest = max(map(max, filter(None, parts)), default=0)
    if largest >= vocabulary:
        raise UserError(
            f"the tokenizer gives id {largest}, the language model knows {vocabulary}: it belongs to another checkpoint"
        )
    return Prompt(*parts)

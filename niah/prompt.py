"""Format the prompt of a question: the suite's sentence, the lettered options, the instruction."""

from __future__ import annotations

from niah.types import LETTERS, Question

INSTRUCTION = "Answer with the letter of the correct option only."


def format_prompt(question: Question) -> str:
    """Return the whole prompt: the suite's sentence around the question, lettered options, what to answer with.

    A question that brings a prompt of its own is put by that, word for word.
    """
    if question.prompt is not None:
        return question.prompt
    # Not str.format: a question or a template may hold braces of its own.
    lines = [question.template.replace("{question}", question.text)]
    lines += [f"{letter}. {option}" for letter, option in zip(LETTERS, question.options)]
    return "\n".join([*lines, INSTRUCTION])

"""Format the prompt of a question: the suite's template, the lettered options, the instruction."""

from __future__ import annotations

from niah.types import LETTERS, Question

INSTRUCTION = "Answer with the letter of the correct option only."


def format_prompt(question: Question) -> str:
    """Return the complete prompt: the question in the suite's template, the lettered options, the instruction.

    A question with a prescribed prompt returns that prompt unchanged.
    """
    if question.prompt is not None:
        return question.prompt
    # Not str.format: a question or a template may contain other braces.
    lines = [question.template.replace("{question}", question.text)]
    lines += [f"{letter}. {option}" for letter, option in zip(LETTERS, question.options)]
    return "\n".join([*lines, INSTRUCTION])

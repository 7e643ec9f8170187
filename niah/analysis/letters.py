"""Accuracy by right letter, beside how often the model gave each letter: a model that prefers a letter is visible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from niah.analysis.load import RunData
from niah.analysis.paragraphs import paragraphs
from niah.analysis.table import score_cases


@dataclass(frozen=True)
class LetterRow:
    """The `full` cases with an answer in which one letter is right, and how many replies name it in any case."""

    letter: str
    n: int
    correct: int
    replies: int


def letter_rows(run: RunData) -> list[LetterRow]:
    """Return a row for each letter that is right in a case or named in a reply."""
    answers = [one for one in score_cases(run, "full") if one.answered and one.case.options]
    letters = sorted({one.case.answer for one in answers} | {one.letter for one in answers if one.letter})
    return [
        LetterRow(
            letter=letter,
            n=sum(one.case.answer == letter for one in answers),
            correct=sum(one.case.answer == letter and one.correct for one in answers),
            replies=sum(one.letter == letter for one in answers),
        )
        for letter in letters
    ]


def letter_summary(runs: Sequence[RunData]) -> str:
    """Return a paragraph for each run that answered `full` cases."""
    return paragraphs(runs, "accuracy by right letter, and share of replies", _lines)


def _lines(run: RunData) -> list[str]:
    """Return a line for each letter."""
    rows = letter_rows(run)
    total = sum(row.n for row in rows)
    return [_line(row, total) for row in rows]


def _line(row: LetterRow, total: int) -> str:
    """Return one row as text; `total` counts all replies."""
    accuracy = f"{row.correct / row.n:.1%}" if row.n else "-"
    return f"{row.letter:<4}{accuracy:>7} ({row.n})  replied {row.replies / total:.1%}"

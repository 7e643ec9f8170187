"""One question of a benchmark's table, and helpers that read its columns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from niah.suite.answers import listed
from niah.types import LETTERS, UserError

LETTERED = re.compile(r"\s*\(?([A-J])[.):]\s*(\S.*?)\s*", re.DOTALL)  # one option, which may have several lines

INSTRUCTION = re.compile(r"(please|answer|respond|reply|select|choose|give|only|output|the best)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Item:
    """A question about one video, its options without their letters, and the groups it is counted in.

    Raises ValueError for an answer that is not an option, and for too few or too many options; the caller adds
    which row it is.
    """

    name: str
    video: str  # relative to the folder of videos; its suffix may be missing
    question: str
    options: tuple[str, ...]
    answer: str  # a letter
    groups: tuple[str, ...] = ()
    printed: tuple[str, ...] = field(default=())  # the options as the release's prompt prints them

    def __post_init__(self) -> None:
        if self.answer not in LETTERS[: len(self.options)]:
            raise ValueError(f"{self.name}: the answer {self.answer!r} is not one of {len(self.options)} options")
        if not 2 <= len(self.options) <= len(LETTERS):
            raise ValueError(f"{self.name}: a question needs 2 to {len(LETTERS)} options, got {len(self.options)}")

    def document(self) -> dict[str, Any]:
        """Return the document that lm-eval logs."""
        named = {name: getattr(self, name) for name in ("video", "question", "answer")}
        return {"case": self.name, **named, "options": list(self.options), "groups": list(self.groups)}


def text(row: Mapping[str, Any], column: str, where: str) -> str:
    """Return a column that must hold text. Raises UserError."""
    value = row.get(column)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip() or "\0" in value:  # neither a file name nor text contains NUL
        raise UserError(f"{where}: column {column!r} must hold text, got {value!r}; the columns are {sorted(row)}")
    return value.strip()


def texts(row: Mapping[str, Any], column: str, where: str) -> tuple[str, ...]:
    """Return a column that must hold a list of texts or integers, in a csv file as text. Raises UserError."""
    value = listed(row.get(column))
    if not isinstance(value, Sequence) or isinstance(value, str) or not all(type(one) in (str, int) for one in value):
        raise UserError(f"{where}: column {column!r} must hold a list of texts, got {value!r}")
    return tuple(map(str, value))


def unlettered(options: Sequence[str]) -> tuple[str, ...]:
    """Return options without their letters if every option has its own: "A. a cup" becomes "a cup"."""
    found = [LETTERED.fullmatch(option) for option in options]
    pairs = zip(found, LETTERS, strict=False)
    if len(found) <= len(LETTERS) and all(match and match[1] == letter for match, letter in pairs):
        return tuple(match[2] for match in found if match)
    return tuple(options)


def lettered(options: Sequence[str], between: str = ". ") -> tuple[str, ...]:
    """Return options with their letters."""
    return tuple(f"{letter}{between}{option}" for letter, option in zip(LETTERS, options, strict=False))


def split_question(question: str) -> tuple[str, tuple[str, ...]]:
    """Split a text that ends in lettered lines into question and options; without such lines there are no options.

    A line without a letter continues the option above it, up to an empty line; below the last one it may also be an
    instruction, which is dropped.
    """
    before: list[str] = []
    options: list[tuple[str, list[str]]] = []
    ended = False
    for line in question.splitlines():
        found = LETTERED.fullmatch(line)
        if found:
            options.append((found[1], [found[2]]))
        elif not options:
            before.append(line)
        elif line.strip() and not ended:
            options[-1][1].append(line.strip())
        ended = not found and (ended or not line.strip())
    if options:
        last = options[-1][1]
        last[1:] = takewhile(lambda line: not INSTRUCTION.match(line), last[1:])
    letters = "".join(letter for letter, _ in options)
    if len(options) < 2 or letters != LETTERS[: len(options)]:
        return question.strip(), ()
    return "\n".join(before).strip(), tuple("\n".join(lines) for _, lines in options)

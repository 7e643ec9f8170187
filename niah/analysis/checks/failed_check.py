"""A validity check that failed: one sentence that a reader of a figure must know, and what it is about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LEVELS = ("warning", "note")  # a warning is something to act on; a note more needles would settle, or is to be known


@dataclass(frozen=True)
class FailedCheck:
    """A validity check that failed.

    `kind` is its name for programs, `text` a sentence for people, which names the model if it is about one. `models`
    are the labels of the runs concerned, `cases` the ids of the cases concerned; empty if all are. `level` is one of
    `LEVELS`.
    """

    kind: str
    text: str
    level: str
    models: tuple[str, ...]
    cases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise ValueError(f"{self.kind}: unknown level {self.level!r}; known: {LEVELS}")


def by_level(failed: Iterable[FailedCheck]) -> list[FailedCheck]:
    """Sort warnings before notes; the order is otherwise kept."""
    return sorted(failed, key=lambda check: LEVELS.index(check.level))


def as_text(failed: Sequence[FailedCheck]) -> str:
    """Return a line for each failed check."""
    prefixes = {"warning": "WARNING", "note": "note"}
    return "\n".join(f"{prefixes[check.level]}: {check.text}" for check in failed)

"""A validity check that failed: one sentence that a reader of a figure must know, and what it is about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SEVERITIES = ("serious", "caution", "note")  # serious: the figure may not show what it seems to show


@dataclass(frozen=True)
class FailedCheck:
    """A validity check that failed.

    `kind` is its name for programs, `text` a sentence for people, which names the model if it is about one. `models`
    are the labels of the runs concerned, `cases` the ids of the cases concerned; empty if all are.
    """

    kind: str
    text: str
    severity: str
    models: tuple[str, ...]
    cases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise ValueError(f"{self.kind}: unknown severity {self.severity!r}; known: {SEVERITIES}")


def by_severity(failed: Iterable[FailedCheck]) -> list[FailedCheck]:
    """Sort the serious ones first; the order is otherwise kept."""
    return sorted(failed, key=lambda check: SEVERITIES.index(check.severity))


def as_text(failed: Sequence[FailedCheck]) -> str:
    """Return a line for each failed check."""
    prefixes = {"serious": "WARNING", "caution": "warning", "note": "note"}
    return "\n".join(f"{prefixes[check.severity]}: {check.text}" for check in failed)

"""A doubt: one sentence that a reader of a figure must know, and what it is about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SEVERITIES = ("serious", "caution", "note")  # serious: the figure may not say what it seems to say


@dataclass(frozen=True)
class FailedCheck:
    """Something that casts doubt on runs.

    `kind` is one word or two for machines, `text` a sentence for people that names the model where it is about
    one. `models` are the labels of the runs concerned, `cases` the ids of the cases; empty where all are concerned.
    """

    kind: str
    text: str
    severity: str
    models: tuple[str, ...]
    cases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise ValueError(f"{self.kind}: unknown severity {self.severity!r}; known: {SEVERITIES}")


def by_severity(found: Iterable[FailedCheck]) -> list[FailedCheck]:
    """Return the serious ones first, otherwise as they were found."""
    return sorted(found, key=lambda doubt: SEVERITIES.index(doubt.severity))


def as_text(found: Sequence[FailedCheck]) -> str:
    """Return a line for each doubt; nothing where there is none."""
    heads = {"serious": "WARNING", "caution": "warning", "note": "note"}
    return "\n".join(f"{heads[doubt.severity]}: {doubt.text}" for doubt in found)

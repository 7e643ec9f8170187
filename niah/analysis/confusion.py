"""Errors about look-alikes: how many of them are the answer to the same question about the other clip in the video.

A model that reads both clips and does not know which is meant gives the partner's answer. One that guesses among the
wrong options gives it in 1 of 3 errors, if there are four options. Only `full` cases in which the partner's answer is
an option are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from niah.analysis.load import RunData
from niah.analysis.paragraphs import paragraphs
from niah.analysis.scored import ScoredCase
from niah.analysis.stats.observations import Observations
from niah.analysis.stats.proportions import clustered_interval
from niah.analysis.table import score_cases


@dataclass(frozen=True)
class ConfusionRow:
    """The answers of one question type to cases whose partner's answer is an option."""

    type: str
    n: int
    right: int
    confused: int
    unanswered: int
    chance: float  # of an error to be the partner's answer, if any wrong option is as likely
    low: float | None  # of the confused share of errors, clustered by pair
    high: float | None

    @property
    def errors(self) -> int:
        """Return how many answers name a wrong option."""
        return self.n - self.right - self.unanswered


def confusion_rows(run: RunData) -> list[ConfusionRow]:
    """Return a row for each question type with such cases."""
    scored = [one for one in score_cases(run, "full") if one.answered and one.case.confused]
    types = sorted({one.case.type for one in scored})
    return [_row(kind, [one for one in scored if one.case.type == kind]) for kind in types]


def confusion_summary(runs: Sequence[RunData]) -> str:
    """Return a paragraph for each run that asks about look-alikes."""
    about = "errors that are the other clip's answer"
    return paragraphs(runs, about, lambda run: [*map(_line, confusion_rows(run))])


def _row(kind: str, scored: Sequence[ScoredCase]) -> ConfusionRow:
    """Count the answers of one type."""
    errors = [one for one in scored if one.letter is not None and not one.correct]
    confused = Observations.of(
        (one.case.needle_source, one.case.haystack, (one.letter == one.case.confused,)) for one in errors
    )
    low, high = clustered_interval(confused)
    return ConfusionRow(
        type=kind,
        n=len(scored),
        right=sum(one.correct for one in scored),
        confused=sum(one.letter == one.case.confused for one in errors),
        unanswered=sum(one.unanswered for one in scored),
        chance=sum(1 / (len(one.case.options) - 1) for one in scored) / len(scored),
        low=low,
        high=high,
    )


def _line(row: ConfusionRow) -> str:
    """Return one row as text."""
    share = f"{row.confused / row.errors:.1%}" if row.errors else "-"
    interval = "" if row.low is None or row.high is None else f" [{row.low:.1%}, {row.high:.1%}]"
    return (
        f"{row.type:<24} {row.confused} of {row.errors} errors ({share}{interval}; chance {row.chance:.1%}); right "
        f"{row.right}, unanswered {row.unanswered} of {row.n}"
    )

"""Twins of `first`: two videos that differ in the order of their clips only. Who knows the order is right in both.

A constant reply is right in one of two twins, never in both. Guesses that do not depend on one another are right in
both of a quarter.
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
class TwinRow:
    """The twins of one distance of which both are answered."""

    distance: str
    n: int
    both: int
    one: int
    low: float | None  # of the share of twins in which both are right, clustered by pair
    high: float | None


def twin_rows(run: RunData) -> list[TwinRow]:
    """Return a row for each distance of the `full` cases of `first`, and for all."""
    twins: dict[str, list[ScoredCase]] = {}
    for one in score_cases(run, "full"):
        if one.case.kind == "first" and one.answered:
            twins.setdefault(one.case.id.rpartition(".")[0], []).append(one)
    complete = [pair for pair in twins.values() if len(pair) == 2]
    distances = [label for label in run.layout.depth_labels() if any(_label(run, pair) == label for pair in complete)]
    groups = [("all", complete), *((label, [p for p in complete if _label(run, p) == label]) for label in distances)]
    return [_row(label, group) for label, group in groups if group]


def twin_summary(runs: Sequence[RunData]) -> str:
    """Return a paragraph for each run that asks which of two clips comes first."""
    return paragraphs(runs, "both orders of the same two clips, by distance", _lines)


def _lines(run: RunData) -> list[str]:
    """Return a line for each distance, and what guessing gives; none where no twins were asked."""
    rows = twin_rows(run)
    return [*map(_line, rows), "one letter for all: 0.0%; independent guesses: 25.0%"] if rows else []


def _label(run: RunData, pair: Sequence[ScoredCase]) -> str | None:
    """Return the distance of two twins."""
    return run.layout.depth_label(pair[0].case)


def _row(label: str, pairs: Sequence[Sequence[ScoredCase]]) -> TwinRow:
    """Count the twins of one distance."""
    right = [one.correct + other.correct for one, other in pairs]
    both = Observations.of(
        (pair[0].case.needle_source, pair[0].case.haystack, (count == 2,))
        for pair, count in zip(pairs, right, strict=True)
    )
    return TwinRow(label, len(pairs), right.count(2), right.count(1), *clustered_interval(both))


def _line(row: TwinRow) -> str:
    """Return one row as text."""
    interval = "" if row.low is None or row.high is None else f" [{row.low:.1%}, {row.high:.1%}]"
    return f"{row.distance:<8}both right {row.both / row.n:.1%}{interval}, one {row.one / row.n:.1%}; n {row.n}"

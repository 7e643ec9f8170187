"""Accuracy by how many frames of the needle a model used, by question type.

A model that uses fewer frames than the video has may miss the needle altogether. Accuracy without a single frame of
it is a control that comes for free; accuracy with many says what the model makes of what it sees. Only `full` cases
whose model reports the frames it used are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from niah.analysis.layout import ALL
from niah.analysis.load import RunData
from niah.analysis.paragraphs import paragraphs
from niah.analysis.scored import ScoredCase
from niah.analysis.stats.proportions import clustered_interval
from niah.analysis.table import observations, score_cases

GROUPS = ("0", "1", "2-3", "4 and more")  # needle frames used


@dataclass(frozen=True)
class ExposureRow:
    """The `full` cases of one type in which the model used so many frames of the needle."""

    type: str
    frames: str  # a label of GROUPS
    n: int
    correct: int
    low: float | None  # clustered by needle source
    high: float | None

    @property
    def accuracy(self) -> float:
        """Return the share of correct answers."""
        return self.correct / self.n


def exposure_group(scored: ScoredCase) -> int | None:
    """Return the number of a case's group in GROUPS; None unless the model answered and reported its frames."""
    record = scored.record
    case = scored.case
    if not scored.answered or record is None or case.condition != "full" or not record.frames_used:
        return None
    if not case.target_placements:  # nothing of it can be used: no copy is shown
        return None
    frames = record.needle_frames_used
    return frames if frames < 2 else 2 if frames < 4 else 3


def exposure_rows(run: RunData) -> list[ExposureRow]:
    """Return a row for each question type, and for all, and each group that holds a case."""
    cells: dict[tuple[str, int], list[ScoredCase]] = {}
    for scored in score_cases(run, "full"):
        group = exposure_group(scored)
        if group is not None:
            for kind in (ALL, scored.case.type):
                cells.setdefault((kind, group), []).append(scored)
    types = sorted({kind for kind, _ in cells} - {ALL})
    rows = []
    for kind in (ALL, *(types if len(types) > 1 else ())):
        for group, label in enumerate(GROUPS):
            cell = cells.get((kind, group), [])
            if cell:
                low, high = clustered_interval(observations(cell))
                rows.append(ExposureRow(kind, label, len(cell), sum(one.correct for one in cell), low, high))
    return rows


def exposure_summary(runs: Sequence[RunData]) -> str:
    """Return a paragraph for each run whose model uses more frames of some needles than of others."""
    return paragraphs(runs, "accuracy by needle frames used", _lines)


def _lines(run: RunData) -> list[str]:
    """Return a line for each group; none where all cases are of one."""
    rows = exposure_rows(run)
    return [*map(_line, rows)] if len({row.frames for row in rows}) > 1 else []


def _line(row: ExposureRow) -> str:
    """Return one row as text."""
    interval = "" if row.low is None or row.high is None else f"  [{row.low:.1%}, {row.high:.1%}]"
    return f"{row.type:<14}{row.frames:<12}{row.accuracy:>7.1%}{interval:<18}{row.n:>6}"

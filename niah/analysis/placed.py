"""Answers of `when` that are intervals: how well they overlap the interval in which the clip is shown.

The overlap is intersection over union (IoU), and 0 for an unanswered question. R@s is the share of answers whose
overlap is at least s; R@.5 is the accuracy of tables. What guessing gives is exact: an interval as long as the clip
that starts anywhere in the video, and the whole video.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from niah.analysis.layout import ALL, format_length
from niah.analysis.load import RunData
from niah.analysis.paragraphs import paragraphs
from niah.analysis.scored import ScoredCase
from niah.analysis.stats.observations import Observations
from niah.analysis.stats.regression import mean
from niah.analysis.table import score_cases
from niah.scoring.interval import overlap
from niah.types import Case

SHARES = (0.3, 0.5, 0.7)


@dataclass(frozen=True)
class PlacedRow:
    """The `full` answers at one length, or at all: overlaps, and those of guesses."""

    length: str
    n: int
    recall: tuple[float, ...]  # at SHARES
    mean_overlap: float
    low: float | None  # of the mean overlap, clustered by needle source
    high: float | None
    found: float  # share of answers that overlap the clip at all
    unanswered: int
    guessed: float  # mean overlap of an interval as long as the clip that starts anywhere
    whole: float  # mean overlap of the whole video


def placed_rows(run: RunData) -> list[PlacedRow]:
    """Return a row for all lengths, and for each if there are several; none where no interval is asked."""
    scored = [one for one in score_cases(run, "full") if one.case.asks_interval and one.answered]
    labels = run.layout.length_labels()[run.layout.grouping]
    of_length = {label: [one for one in scored if run.layout.length_label(one.case, run.layout.grouping) == label]
                 for label in labels}  # fmt: skip
    groups = [(ALL, scored), *(of_length.items() if len(labels) > 1 else ())]
    return [_row(label, group) for label, group in groups if group]


def placed_summary(runs: Sequence[RunData]) -> str:
    """Return a paragraph for each run that asks for intervals."""
    about = "overlap (IoU) of the answer with the clip, by length"
    return paragraphs(runs, about, lambda run: [*map(_line, placed_rows(run))])


def expected_overlap(case: Case) -> float:
    """Return the mean overlap of an interval as long as the clip that starts at any frame at which it fits."""
    start, stop, _ = _frames(case)
    size = stop - start
    shifts = (abs(other - start) for other in range(case.length - size + 1))
    return fmean(max(0, size - shift) / (size + min(shift, size)) for shift in shifts)


def _row(label: str, scored: Sequence[ScoredCase]) -> PlacedRow:
    """Count the answers of one length."""
    overlaps = [one.overlap for one in scored]
    estimate = mean(Observations.of((one.case.needle_source, one.case.haystack, (one.overlap,)) for one in scored))
    whole = [overlap((0.0, case.length / case.fps), case.shown_seconds) for case in (one.case for one in scored)]
    return PlacedRow(
        length=label,
        n=len(scored),
        recall=tuple(fmean(found >= share for found in overlaps) for share in SHARES),
        mean_overlap=fmean(overlaps),
        low=None if estimate is None else max(0.0, estimate.low),
        high=None if estimate is None else min(1.0, estimate.high),
        found=fmean(found > 0 for found in overlaps),
        unanswered=sum(one.unanswered for one in scored),
        guessed=fmean(expected_overlap(one.case) for one in scored),
        whole=fmean(whole),
    )


def _frames(case: Case) -> tuple[int, int, int]:
    """Return start and stop of the clip, and the length of the video."""
    placed = case.target_placements[0]
    return placed.start, placed.stop, case.length


def _line(row: PlacedRow) -> str:
    """Return one row as text."""
    interval = "" if row.low is None or row.high is None else f" [{row.low:.3f}, {row.high:.3f}]"
    recall = ", ".join(f"R@{share:g} {found:.1%}" for share, found in zip(SHARES, row.recall, strict=True))
    guesses = f"of the clip's length anywhere {row.guessed:.4f}, the whole video {row.whole:.4f}"
    return (
        f"{format_length(row.length):<8}{recall}, mean {row.mean_overlap:.3f}{interval} ({guesses}), "
        f"found {row.found:.1%}, unanswered {row.unanswered}; n {row.n}"
    )

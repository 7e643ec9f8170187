"""How well the frames that a model kept cover the clips asked about: precision, recall and F1.

Precision is the share of the kept frames that show a clip asked about, recall (frame recall) the share of such frames
that were kept, as LV-Haystack (arXiv 2504.02259) has them, except that a clip is an interval here: a frame beside it
does not count. `clips` is the share of the clips of which any frame was kept. Each is a mean over `full` cases.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from niah.analysis.load import RunData
from niah.analysis.scored import ScoredCase, met_by_chance, reads_no_question
from niah.analysis.stats.regression import Observation, mean
from niah.analysis.table import score_cases


@dataclass(frozen=True)
class KeptFrames:
    """Means over `n` answers whose model reported the frames it kept, and what as many random frames would give."""

    n: int
    precision: float
    recall: float
    f1: float
    clips: float
    chance_precision: float
    chance_recall: float
    low: float | None  # of precision, clustered by needle source; None with one source
    high: float | None
    anywhere: float | None  # share of cases in which the same frames would show a clip that lies anywhere; None if the
    # model reads the question, and so keeps other frames for another clip


def kept_frames(run: RunData) -> KeptFrames | None:
    """Return how well kept frames cover the clips asked about; None if no answer reports any."""
    answered = [one for one in score_cases(run, "full") if one.answered]
    found = [(one.case, counts) for one in answered if (counts := _counts(one)) is not None]
    if not found:
        return None
    means = (fmean(values) for values in zip(*(counts for _, counts in found), strict=True))
    precision = mean([Observation(case.needle_source, case.haystack, counts[:1]) for case, counts in found])
    low, high = (None, None) if precision is None else (max(0.0, precision.low), min(1.0, precision.high))
    unread = [met_by_chance(one) for one in answered if one.hit is not None and reads_no_question(one)]
    return KeptFrames(len(found), *means, low=low, high=high, anywhere=fmean(unread) if unread else None)


def kept_frames_summary(runs: Sequence[RunData]) -> str:
    """Return a line for each run whose model reports the frames it keeps."""
    lines = []
    for run in runs:
        found = kept_frames(run)
        if found is not None:
            interval = "" if found.low is None else f" [{found.low:.1%}, {found.high:.1%}]"
            anywhere = "" if found.anywhere is None else f" ({found.anywhere:.1%} if they lay anywhere)"
            lines.append(
                f"{run.model} on suite {run.suite}, full: kept frames: precision {found.precision:.1%}{interval} "
                f"(random frames {found.chance_precision:.1%}), recall {found.recall:.1%} ({found.chance_recall:.1%}), "
                f"F1 {found.f1:.3f}; clips with a kept frame {found.clips:.1%}{anywhere}; n {found.n}"
            )
    return "\n".join(lines)


def _counts(one: ScoredCase) -> tuple[float, ...] | None:
    """Return precision, recall, F1, the share of clips met, and chance precision and recall of one answer."""
    placements = one.case.target_placements
    kept = sorted(set(one.record.frames_kept)) if one.record is not None else []
    if not kept or not placements:
        return None
    clip = sum(placed.stop - placed.start for placed in placements)
    shown = one.case.needle_frames(kept)
    met = sum(bisect_left(kept, placed.start) < bisect_left(kept, placed.stop) for placed in placements)
    precision, recall = shown / len(kept), shown / clip
    f1 = 2 * shown / (len(kept) + clip)
    return precision, recall, f1, met / len(placements), clip / one.case.length, len(kept) / one.case.length

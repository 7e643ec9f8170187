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

import numpy as np

from niah.analysis.load import RunData
from niah.analysis.scored import ScoredCase
from niah.analysis.stats.korn_graubard import korn_graubard
from niah.analysis.table import score_cases
from niah.types import in_order


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


def kept_frames(answers: Sequence[ScoredCase]) -> KeptFrames | None:
    """Return how well kept frames cover the clips asked about in `full` answers; None if none reports any."""
    found = [(one.case, counts) for one in answers if (counts := _counts(one)) is not None]
    if not found:
        return None
    means = (fmean(values) for values in zip(*(counts for _, counts in found), strict=True))
    _, cluster = np.unique([case.needle_source for case, _ in found], return_inverse=True)
    weight = fmean(counts[-1] * case.length for case, counts in found)  # of each case: frames kept in a mean one
    low = high = None
    if cluster.any():
        precisions = [counts[0] for _, counts in found]
        low, high = korn_graubard(weight * np.bincount(cluster, precisions), weight * np.bincount(cluster))
    return KeptFrames(len(found), *means, low=low, high=high)


def kept_frames_summary(runs: Sequence[RunData]) -> str:
    """Return a line for each run whose model reports the frames it keeps."""
    lines = []
    for run in runs:
        found = kept_frames([one for one in score_cases(run, "full") if one.answered])
        if found is not None:
            interval = "" if found.low is None else f" [{found.low:.1%}, {found.high:.1%}]"
            lines.append(
                f"{run.model} on suite {run.suite}, full: kept frames: precision {found.precision:.1%}{interval} "
                f"(random frames {found.chance_precision:.1%}), recall {found.recall:.1%} ({found.chance_recall:.1%}), "
                f"F1 {found.f1:.3f}; clips with a kept frame {found.clips:.1%}; n {found.n}"
            )
    return "\n".join(lines)


def _counts(one: ScoredCase) -> tuple[float, ...] | None:
    """Return precision, recall, F1, the share of clips met, and chance precision and recall of one answer."""
    placements = one.case.target_placements
    kept = in_order(one.record.frames_kept) if one.record is not None else ()
    if not kept or not placements:
        return None
    clip = sum([placed.stop - placed.start for placed in placements])
    shown = one.case.needle_frames(kept)
    met = sum(bisect_left(kept, placed.start) < bisect_left(kept, placed.stop) for placed in placements)
    precision, recall = shown / len(kept), shown / clip
    f1 = 2 * shown / (len(kept) + clip)
    return precision, recall, f1, met / len(placements), clip / one.case.length, len(kept) / one.case.length

"""Find two cuts with one scene on both sides of them, without looking at the question, and guess.

niah run --model seams          accuracy near .25; what matters is whether a needle is among the kept frames

A clip that is spliced into the middle of a scene is framed by two cuts, and the same scene resumes after it (A-B-A).
If this baseline keeps needle frames more often than chance would, the seams give needles away, and a model can find
them without reading the question. Clips that stand between two scenes leave no such pair.
"""

from __future__ import annotations

import numpy as np

from baselines.novelty import QuestionBlind
from niah.settings import positive_int

LONGEST = 130  # frames between two cuts that belong together
SUDDEN = 5  # times the median change from frame to frame: a cut


def cuts(descriptors: np.ndarray) -> np.ndarray:
    """Return the frames that differ suddenly from the frame before, ascending, of (frames, dim)."""
    changes = abs(np.diff(descriptors, axis=0)).sum(axis=1)  # (frames - 1,)
    return np.flatnonzero(changes > SUDDEN * np.median(changes)) + 1 if len(changes) else np.array([], int)


def pairs(descriptors: np.ndarray) -> list[tuple[int, int]]:
    """Return pairs of cuts at most 130 frames apart, those first with the most similar frames outside."""
    found = cuts(descriptors)
    ranked = []
    for number, first in enumerate(found):
        for last in found[number + 1 :]:
            if last - first > LONGEST:
                break
            ranked.append((float(abs(descriptors[last] - descriptors[first - 1]).sum()), int(first), int(last)))
    return [(first, last) for _, first, last in sorted(ranked)]


def between_seams(descriptors: np.ndarray, limit: int) -> list[int]:
    """Return, in playing order, the first `limit` distinct frames that lie between the best pairs of cuts."""
    kept: dict[int, None] = {}
    for first, last in pairs(descriptors):
        kept.update(dict.fromkeys(range(first, last)))
        if len(kept) >= limit:
            break
    return sorted(list(kept)[:limit])


def load(frames: int = 32) -> QuestionBlind:
    """Return an adapter that keeps `frames` frames."""
    return QuestionBlind(between_seams, positive_int("frames", frames))

"""Observations for tests of the statistics, from counts and from pairs."""

from __future__ import annotations

from niah.analysis.stats.bootstrap import Observation


def answers(counts, haystack="h"):
    """Observations of (correct, 1) from {source: (correct, answered)}."""
    return [
        Observation(source, haystack, (float(number < right), 1.0))
        for source, (right, answered) in counts.items()
        for number in range(answered)
    ]


def pair(source, haystack, first, second):
    """One case: whether each of two models answered it correctly."""
    return Observation(source, haystack, (first, second))

"""Observations for tests of the statistics, from counts and from pairs."""

from __future__ import annotations

from niah.analysis.stats.regression import Observation


def answers(counts, haystack="h"):
    """Observations of (correct,) from {source: (correct, answered)}."""
    return [
        Observation(source, haystack, (float(number < right),))
        for source, (right, answered) in counts.items()
        for number in range(answered)
    ]


def pair(source, haystack, first, second):
    """One case: whether each of two models answered it correctly."""
    return Observation(source, haystack, (first, second))

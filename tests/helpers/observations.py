"""Observations for tests of the statistics, from counts and from pairs."""

from __future__ import annotations

from niah.analysis.stats.observations import Observations


def answers(counts, haystack="h"):
    """Observations of (correct,) from {source: (correct, answered)}."""
    return Observations.of(
        (source, haystack, (number < right,))
        for source, (right, answered) in counts.items()
        for number in range(answered)
    )


def pair(source, haystack, first, second):
    """A row of observations: whether each of two models answered a case correctly."""
    return source, haystack, (first, second)

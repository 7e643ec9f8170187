"""What a run's suite can show: slopes of accuracy, what the intervals hold for, the smallest detectable difference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from niah.analysis.exposure import exposure_group
from niah.analysis.load import RunData
from niah.analysis.scored import ScoredCase
from niah.analysis.stats.components import variance_components
from niah.analysis.stats.detectable import smallest_difference
from niah.analysis.stats.observations import Observations
from niah.analysis.stats.regression import MIN_HAYSTACKS, Estimate, mean
from niah.analysis.stats.trend import slope, slope_within
from niah.analysis.table import observations, score_cases


def power_summary(runs: Sequence[RunData]) -> str:
    """Return a paragraph for each run that answered `full` cases."""
    return "\n\n".join(paragraph for paragraph in map(_paragraph, runs) if paragraph)


def _paragraph(run: RunData) -> str:
    """Return the paragraph of one run; empty if no `full` case was answered."""
    scored = score_cases(run, "full")
    answers = [one for one in scored if one.answered]
    if not answers:
        return ""
    head = f"{run.model} on suite {run.suite}, full"
    accuracy = mean(observations(answers))
    if accuracy is None:
        return f"{head}: one needle source, so nothing here generalises to other needles"
    detectable = smallest_difference(accuracy.standard_error * 2**0.5, accuracy.clusters)  # of two independent models
    lines = [
        *_slope(run, answers, "length", "points per 1,000 frames"),
        *_slope(run, answers, "depth", "points from depth 0 to 1"),
        f"clustered intervals: {_clusters(accuracy, answers)}",
        *_components(answers),
        f"smallest detectable difference (80 % power): {100 * detectable:.0f} points, between two models whose "
        "accuracy varies as much between needles as this one's",
    ]
    if len(answers) < len(scored):
        lines.append(f"all of this is about the {len(answers)} of {len(scored)} cases that have an answer")
    return "\n  ".join([head, *lines])


def _slope(run: RunData, answers: Sequence[ScoredCase], axis: str, unit: str) -> list[str]:
    """Return how accuracy changes along one axis, raw and among cases with equally many needle frames used."""
    place = run.layout.nominal_depth if axis == "depth" else lambda case: case.length / 1000
    known = [(one, x) for one in answers if (x := place(one.case)) is not None]
    points = Observations.of((one.case.needle_source, one.case.haystack, (x, one.correct)) for one, x in known)
    lines = _slope_line(f"slope over {axis}", slope(points), unit)
    if not lines or axis != "length":
        return lines
    exposed = Observations.of(
        (one.case.needle_source, one.case.haystack, (x, one.correct, group))
        for one, x in known
        if (group := exposure_group(one)) is not None  # the model reports the frames it used
    )
    if len(np.unique(exposed.values[:, -1])) > 1:
        lines += _slope_line("slope over length, given needle frames used", slope_within(exposed), unit)
    return lines


def _slope_line(name: str, found: Estimate | None, unit: str) -> list[str]:
    """Return one slope, if it could be estimated."""
    if found is None:
        return []
    return [f"{name}: {100 * found.value:+.1f} {unit} [{100 * found.low:.1f}, {100 * found.high:.1f}]"]


def _clusters(accuracy: Estimate, answers: Sequence[ScoredCase]) -> str:
    """Return what answers are clustered by, and what the intervals therefore hold for."""
    sources = len({one.case.needle_source for one in answers})
    if accuracy.haystacks_clustered:
        return f"by {sources} needle sources and {accuracy.haystacks} haystacks"
    which = "this one haystack" if accuracy.haystacks == 1 else f"these {accuracy.haystacks} haystacks"
    return f"by {sources} needle sources; they hold for {which} (fewer than {MIN_HAYSTACKS})"


def _components(answers: Sequence[ScoredCase]) -> list[str]:
    """Return how much accuracy varies between needles and between haystacks, where needles lie in several."""
    found = variance_components(observations(answers))
    if found is None:
        return []
    return [
        f"accuracy varies between {found.needles} needles by {100 * found.needle**0.5:.1f} points (standard deviation) "
        f"and between {found.haystacks} haystacks by {100 * found.haystack**0.5:.1f}"
    ]

"""What a run's suite can show: slopes of accuracy, what the intervals hold for, the smallest detectable difference."""

from __future__ import annotations

from collections.abc import Sequence

from niah.analysis.load import RunData
from niah.analysis.stats.bootstrap import MIN_HAYSTACKS, Estimate, Observation, cluster_bootstrap, proportion
from niah.analysis.stats.detectable import smallest_difference
from niah.analysis.stats.trend import slope
from niah.analysis.table import ScoredCase, observations, score_cases


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
    accuracy = cluster_bootstrap(observations(answers), proportion, f"{run.model}/{run.suite}/reach")  # a seed
    if accuracy is None:
        return f"{head}: one needle source, so nothing here generalises to other needles"
    detectable = smallest_difference(accuracy.standard_error * 2**0.5, accuracy.clusters)  # of two independent models
    lines = [
        *_slope(run, answers, "length", "points per 1,000 frames"),
        *_slope(run, answers, "depth", "points from depth 0 to 1"),
        f"clustered intervals: {_resampled(accuracy, answers)}",
        f"smallest detectable difference (80 % power): {100 * detectable:.0f} points, between two models whose "
        "accuracy varies as much between needles as this one's",
    ]
    if len(answers) < len(scored):
        lines.append(f"all of this is about the {len(answers)} of {len(scored)} cases that have an answer")
    return "\n  ".join([head, *lines])


def _slope(run: RunData, answers: Sequence[ScoredCase], axis: str, unit: str) -> list[str]:
    """Return how accuracy changes along one axis, if that can be estimated."""
    points = []
    for one in answers:
        x = one.case.length / 1000 if axis == "length" else run.layout.nominal_depth(one.case)
        if x is not None:
            points.append(Observation(one.case.needle_source, one.case.haystack, (x, float(one.correct))))
    found = slope(points, f"{run.model}/{run.suite}/slope over {axis}")
    if found is None:
        return []
    return [f"slope over {axis}: {100 * found.value:+.1f} {unit} [{100 * found.low:.1f}, {100 * found.high:.1f}]"]


def _resampled(accuracy: Estimate, answers: Sequence[ScoredCase]) -> str:
    """Return what was resampled, and what the intervals therefore hold for."""
    sources = len({one.case.needle_source for one in answers})
    if accuracy.haystacks_resampled:
        return f"{sources} needle sources and {accuracy.haystacks} haystacks were resampled"
    which = "this one haystack" if accuracy.haystacks == 1 else f"these {accuracy.haystacks} haystacks"
    return f"{sources} needle sources were resampled; they hold for {which} (fewer than {MIN_HAYSTACKS})"

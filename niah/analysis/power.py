"""What a table says beyond its cells: how accuracy falls, whom its intervals speak for, what it could not show."""

from __future__ import annotations

from collections.abc import Sequence

from niah.analysis.load import RunData
from niah.analysis.stats.bootstrap import MIN_HAYSTACKS, Estimate, Observation, cluster_bootstrap, proportion
from niah.analysis.stats.detectable import smallest_difference
from niah.analysis.stats.trend import slope
from niah.analysis.table import ScoredCase, observations, score_case


def power_summary(runs: Sequence[RunData]) -> str:
    """Return a paragraph for each run that answered `full` cases; nothing where none did."""
    return "\n\n".join(paragraph for paragraph in map(_paragraph, runs) if paragraph)


def _paragraph(run: RunData) -> str:
    """Return slopes, what intervals by source are about, and the smallest difference the run's suite can show."""
    scored = [score_case(case, run.records.get(case.id)) for case in run.cases if case.condition == "full"]
    answers = [one for one in scored if one.status == "ok"]
    if not answers:
        return ""
    head = f"{run.model} on suite {run.suite}, full"
    whole = cluster_bootstrap(observations(answers), proportion, f"{run.model}/{run.suite}/reach")
    if whole is None:
        return f"{head}: one needle source, so nothing here speaks for other needles"
    lines = [
        *_slope(run, answers, "length", "points per 1,000 frames"),
        *_slope(run, answers, "depth", "points from depth 0 to 1"),
        f"intervals by source: {_drawn(whole, answers)}",
        "smallest difference that this suite shows four times in five, between two models as uneven over needles as "
        f"this one: {100 * smallest_difference(whole.error * 2**0.5, whole.clusters):.0f} points",
    ]
    if len(answers) < len(scored):
        lines.append(f"all of this is about the {len(answers)} of {len(scored)} cases that have an answer")
    return "\n  ".join([head, *lines])


def _slope(run: RunData, answers: Sequence[ScoredCase], axis: str, unit: str) -> list[str]:
    """Return how accuracy changes along one axis, where it can be told."""
    points = []
    for one in answers:
        x = one.case.length / 1000 if axis == "length" else run.layout.nominal_depth(one.case)
        if x is not None:
            points.append(Observation(one.case.needle_source, one.case.haystack, (x, float(one.correct))))
    found = slope(points, f"{run.model}/{run.suite}/slope over {axis}")
    if found is None:
        return []
    return [f"slope over {axis}: {100 * found.value:+.1f} {unit} [{100 * found.low:.1f}, {100 * found.high:.1f}]"]


def _drawn(whole: Estimate, answers: Sequence[ScoredCase]) -> str:
    """Return what was resampled, and whom the intervals therefore speak for."""
    sources = len({one.case.needle_source for one in answers})
    if whole.generalises:
        return f"{sources} videos of needles and {whole.haystacks} haystacks were resampled"
    which = "this one haystack" if whole.haystacks == 1 else f"these {whole.haystacks} haystacks"
    return f"{sources} videos of needles were resampled; for {which} (fewer than {MIN_HAYSTACKS})"

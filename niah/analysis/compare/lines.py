"""The comparisons of two runs: one that was meant beforehand, and the further ones, corrected for being many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from niah.analysis.compare.match import Match, pairs
from niah.analysis.groups import shown
from niah.analysis.stats.paired import Difference, difference
from niah.analysis.stats.resample import Estimate, Observation
from niah.analysis.stats.trend import slope_difference
from niah.analysis.table import Outcome
from niah.types import CONDITIONS

Both = list[tuple[Outcome, Outcome]]


@dataclass(frozen=True)
class Line:
    """One further comparison: of shares, or of slopes in shares per `unit`."""

    what: str
    found: Difference | Estimate
    unit: str = ""


def primary(match: Match) -> tuple[str, Difference]:
    """Return the condition compared above all, and how: `full` wherever both answered such a case."""
    answered = match.answered()
    condition = next(known for known in CONDITIONS if any(one.case.condition == known for one, _ in answered))
    part = [pair for pair in answered if pair[0].case.condition == condition]
    return condition, difference(pairs(part), _name(match, condition))


def further(match: Match) -> list[Line]:
    """Return the other comparisons: by type, length and depth of the first condition, its slopes, the controls."""
    answered = match.answered()
    first, _ = primary(match)
    part = [pair for pair in answered if pair[0].case.condition == first]
    lines = [Line(what, difference(pairs(both), _name(match, what))) for what, both in _parts(match, first, part)]
    lines += _slopes(match, part)
    for condition in CONDITIONS[CONDITIONS.index(first) + 1 :]:
        both = [pair for pair in answered if pair[0].case.condition == condition]
        if both:
            lines.append(Line(condition, difference(pairs(both), _name(match, condition))))
    return lines


def _parts(match: Match, condition: str, part: Both) -> Iterator[tuple[str, Both]]:
    """Yield the parts that a condition's cases fall into, where they fall into more than one."""
    layout = match.first.layout
    by = next(iter(layout.columns()))
    keys = {
        "": lambda one: one.case.type,
        "length ": lambda one: shown(layout.column(one.case, by) or ""),
        "depth ": lambda one: layout.row(one.case) or "",
    }
    for prefix, key in keys.items():
        groups: dict[str, Both] = {}
        for pair in sorted(part, key=lambda pair: (pair[0].case.length, pair[0].case.depth or 0.0)):
            groups.setdefault(key(pair[0]), []).append(pair)
        if len(groups) > 1:
            yield from ((f"{condition}, {prefix}{label}", both) for label, both in groups.items() if label)


def _slopes(match: Match, part: Both) -> Iterator[Line]:
    """Yield how much less one model's accuracy falls than the other's, over length and over depth."""
    axes = {
        ("length", "per 1,000 frames"): lambda case: case.length / 1000,
        ("depth", "from depth 0 to 1"): match.first.layout.depth,
    }
    for (axis, unit), x in axes.items():
        points = [
            Observation(one.case.needle_source, one.case.haystack, (x(one.case), one.right, other.right))
            for one, other in part
            if x(one.case) is not None and one.case.haystack
        ]
        found = slope_difference(points, _name(match, f"slope over {axis}"))
        if found is not None:
            yield Line(f"slope over {axis}", found, unit)


def _name(match: Match, what: str) -> str:
    """Return what resampling is seeded with."""
    return "/".join(("compare", match.first.model, match.second.model, match.first.suite, what))

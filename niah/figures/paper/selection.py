"""Which points each study shows: those of runs alike in all but what it varies, whether or not they have an answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from niah.analysis.layout import ALL
from niah.figures.paper.points import StudyPoint
from niah.types import UserError


def over_keyframes(points: Sequence[StudyPoint]) -> list[StudyPoint]:
    """Return the points of Figure 6: runs alike but for K, by type, over all lengths and at each."""
    chosen = [point for point in points if point.keyframes is not None]
    commonest = _commonest([(point.compressor, point.temperature, point.threshold) for point in chosen])
    own = [point for point in chosen if (point.compressor, point.temperature, point.threshold) == commonest]
    if len({point.keyframes for point in own}) < 2:
        ks = sorted({point.keyframes or 0 for point in chosen})
        raise UserError(f"accuracy over K needs runs of two K at least, alike in all else, got K in {ks}")
    return sorted(_once(own, _constants), key=lambda point: (_length(point), point.type, point.keyframes))


def over_constants(points: Sequence[StudyPoint]) -> list[StudyPoint]:
    """Return the points of Table 6: runs alike but for alpha and tau, by type, over all lengths."""
    chosen = [p for p in points if p.temperature is not None and p.threshold is not None and p.length == ALL]
    commonest = _commonest([(point.compressor, point.keyframes) for point in chosen])
    own = [point for point in chosen if (point.compressor, point.keyframes) == commonest]
    if len({(point.temperature, point.threshold) for point in own}) < 2:
        raise UserError("accuracy over alpha and tau needs runs whose records tell both, two settings at least")
    once = _once(own, _constants)
    return sorted(once, key=lambda point: (point.type, -(point.temperature or 0), point.threshold or 0))


def by_compressor(points: Sequence[StudyPoint]) -> list[StudyPoint]:
    """Return the points of Table 2: every run, by type, over all lengths."""
    return [point for point in points if point.length == ALL]


def hits(points: Sequence[StudyPoint]) -> list[StudyPoint]:
    """Return the points of Table 3: how often one of the k frames a run kept shows the needle."""
    own = [point for point in points if point.kept and point.type == ALL and point.keyframes is not None]
    if not own:
        raise UserError("Hit@k needs runs of a model that tells which frames it kept, and full cases; got none")
    once = _once(own, lambda point: (*line_of(point), point.keyframes))
    return sorted(once, key=lambda p: (p.suite, _length(p), p.compressor or "", p.keyframes, p.threshold or 0))


def line_of(point: StudyPoint) -> tuple[str, str, str, float | None, float | None]:
    """Return what the points of one line of Table 3 share: suite, length, compressor, alpha and tau."""
    return point.suite, point.length, point.compressor or point.model, point.temperature, point.threshold


def left_out(points: Sequence[StudyPoint], chosen: Sequence[StudyPoint]) -> list[str]:
    """Return the names of the runs whose setting none of the chosen points has."""
    settings = {_setting(point) for point in chosen}
    return list(dict.fromkeys(point.model for point in points if _setting(point) not in settings))


def _once(points: Sequence[StudyPoint], place: Callable[[StudyPoint], tuple]) -> list[StudyPoint]:
    """Return one point a place in a figure: a sweep may come by the checkpoint's own constants twice.

    Raises UserError where two runs have one place and other numbers: which of them to draw is not ours to say.
    """
    found: dict[tuple, StudyPoint] = {}
    for point in points:
        other = found.setdefault(place(point), point)
        if dataclasses.replace(other, model=point.model) != point:
            raise UserError(
                f"{other.model} and {point.model} have the same constants and other numbers; name one run a setting"
            )
    return list(found.values())


def _constants(point: StudyPoint) -> tuple:
    return *_setting(point), point.type, point.length


def _setting(point: StudyPoint) -> tuple:
    return point.compressor, point.keyframes, point.temperature, point.threshold


def _commonest(values: Sequence) -> object:
    return max(dict.fromkeys(values), key=values.count, default=None)


def _length(point: StudyPoint) -> int:
    return -1 if point.length == ALL else int(point.length)

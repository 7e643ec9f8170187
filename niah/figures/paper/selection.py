"""Select the points that each study shows: those of runs that differ only in what the study varies.

Points without an answer are kept, so that they can be marked.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from niah.analysis.layout import ALL
from niah.figures.paper.points import StudyPoint
from niah.types import UserError


def over_keyframes(points: Sequence[StudyPoint]) -> list[StudyPoint]:
    """Return the points of Figure 6: runs that differ only in K, by type, over all lengths and at each."""
    with_k = [point for point in points if point.keyframes is not None]
    shared = _most_common([(point.compressor, point.temperature, point.threshold) for point in with_k])
    selected = [point for point in with_k if (point.compressor, point.temperature, point.threshold) == shared]
    if len({point.keyframes for point in selected}) < 2:
        ks = sorted({point.keyframes or 0 for point in with_k})
        raise UserError(f"accuracy over K needs runs with at least two values of K and else equal, got K in {ks}")
    return sorted(_one_per_place(selected, _constants), key=lambda point: (_length(point), point.type, point.keyframes))


def over_constants(points: Sequence[StudyPoint]) -> list[StudyPoint]:
    """Return the points of Table 6: runs that differ only in alpha and tau, by type, over all lengths."""
    with_both = [p for p in points if p.temperature is not None and p.threshold is not None and p.length == ALL]
    shared = _most_common([(point.compressor, point.keyframes) for point in with_both])
    selected = [point for point in with_both if (point.compressor, point.keyframes) == shared]
    if len({(point.temperature, point.threshold) for point in selected}) < 2:
        raise UserError("accuracy over alpha and tau needs at least two settings, in runs whose records report both")
    return sorted(
        _one_per_place(selected, _constants),
        key=lambda point: (point.type, -(point.temperature or 0), point.threshold or 0),
    )


def by_compressor(points: Sequence[StudyPoint]) -> list[StudyPoint]:
    """Return the points of Table 2: every run, by type, over all lengths."""
    return [point for point in points if point.length == ALL]


def hits(points: Sequence[StudyPoint]) -> list[StudyPoint]:
    """Return the points of Table 3: how often one of the k frames a run kept shows the needle."""
    selected = [point for point in points if point.kept and point.type == ALL and point.keyframes is not None]
    if not selected:
        raise UserError("Hit@k needs full cases of a model that reports which frames it kept; got none")
    distinct = _one_per_place(selected, lambda point: (*line_of(point), point.keyframes))
    return sorted(distinct, key=lambda p: (p.suite, _length(p), p.compressor or "", p.keyframes, p.threshold or 0))


def line_of(point: StudyPoint) -> tuple[str, str, str, float | None, float | None]:
    """Return what the points of one line of Table 3 have in common: suite, length, compressor, alpha and tau."""
    return point.suite, point.length, point.compressor or point.model, point.temperature, point.threshold


def left_out(points: Sequence[StudyPoint], selected: Sequence[StudyPoint]) -> list[str]:
    """Return the names of the runs whose settings none of the selected points has."""
    settings = {_setting(point) for point in selected}
    return list(dict.fromkeys(point.model for point in points if _setting(point) not in settings))


def _one_per_place(points: Sequence[StudyPoint], place: Callable[[StudyPoint], tuple]) -> list[StudyPoint]:
    """Return one point for each place in a figure: a sweep may reach the checkpoint's own constants twice.

    Raises UserError where two runs have the same place and different numbers: it is not known which to draw.
    """
    found: dict[tuple, StudyPoint] = {}
    for point in points:
        other = found.setdefault(place(point), point)
        if dataclasses.replace(other, model=point.model) != point:
            raise UserError(
                f"{other.model} and {point.model} have the same constants but different numbers; "
                "name one run per setting"
            )
    return list(found.values())


def _constants(point: StudyPoint) -> tuple:
    return *_setting(point), point.type, point.length


def _setting(point: StudyPoint) -> tuple:
    return point.compressor, point.keyframes, point.temperature, point.threshold


def _most_common(values: Sequence) -> object:
    return max(dict.fromkeys(values), key=values.count, default=None)


def _length(point: StudyPoint) -> int:
    return -1 if point.length == ALL else int(point.length)

"""`when`: in which part of the video is the clip shown? It is asked about the very videos of `single`.

The options are equal parts of the video in clock time. Their edges are turned: moved together by an offset that is
drawn, among those at which no edge cuts the clip, from the case's name. So the clip lies in one part, anywhere within
it, and the options do not say where. The part that contains the end of the video goes on at its beginning.

With `when: interval` there are no options: the answer is the interval itself, right if it overlaps that of the clip by
half (intersection over union).

A model that reads the clip but cannot say when it was shown has found it and not placed it.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

from niah.clock import format_clock
from niah.suite.blocks import CaseSlot, rotate_options
from niah.suite.case_maker import CaseMaker
from niah.suite.config import MIN_PARTS
from niah.suite.folder import Skip
from niah.suite.kinds.pairs import describe
from niah.suite.library import cut_timeline
from niah.types import LETTERS, Case, Placement

QUESTION = "The video lasts {duration}. When is it shown: {cue}?"
INTERVAL = " Answer with its start and its end only, in minutes and seconds, like this: 1:05 - 1:20."
LEAST_TICKS = 10  # of a part; a tick is the precision of a clock: 1 second, in short videos 0.1 or 0.01

Parts = tuple[tuple[tuple[Fraction, Fraction], ...], ...]  # of each part, its spans in seconds: one, or two at the ends


def make_cases(
    makers: Mapping[str, CaseMaker], asked: Sequence[tuple[CaseSlot, Case]], controls: Sequence[Case]
) -> Iterator[Case]:
    """Yield the cases of this kind.

    Args:
        makers: Of each needle.
        asked: The `full` cases of `single` with their slots.
        controls: The other cases of `single`.
    """
    parts = {name: max(maker.suite.depth_rows, MIN_PARTS) for name, maker in makers.items()}
    for slot, case in asked:
        yield from _ask(makers[case.needle], case, parts[case.needle], slot.turn)
    for number, case in enumerate(case for case in controls if case.condition == "swapped"):
        yield from _ask(makers[case.needle], case, parts[case.needle], number)
    for number, maker in enumerate(makers.values()):
        yield from _needle_only(maker, parts[maker.name], number)


def turned_parts(name: str, count: int, seconds: Fraction, clip: tuple[Fraction, Fraction]) -> tuple[Parts, int] | None:
    """Return `count` equal parts of a video, and which of them contains the clip; None if the clip fits into none.

    Args:
        name: Seeds the offset.
        count: The number of parts.
        seconds: How long the video lasts.
        clip: When the clip starts and stops, in seconds.
    """
    second = 10 ** precision(count, seconds)  # ticks of a second
    ticks = -(-seconds * second // 1)
    start, stop = math.floor(clip[0] * second), math.ceil(clip[1] * second)  # an edge is a whole number
    offsets = [
        offset
        for offset in range(ticks // count)
        if not any(start < edge < stop for edge in _edges(offset, count, ticks) if edge)
    ]
    if not offsets:
        return None
    edges = [Fraction(edge, second) for edge in _edges(random.Random(name).choice(offsets), count, ticks)]
    return _parts_at(edges, seconds, clip)


def precision(count: int, seconds: Fraction) -> int:
    """Return the decimals of the seconds at which parts begin: none, unless parts are shorter than 10 seconds."""
    return next((decimals for decimals in (0, 1) if seconds * 10**decimals >= count * LEAST_TICKS), 2)


def _edges(offset: int, count: int, ticks: int) -> list[int]:
    """Return the ticks at which parts begin, ascending."""
    return sorted((offset + number * ticks // count) % ticks for number in range(count))


def _parts_at(edges: Sequence[Fraction], seconds: Fraction, clip: tuple[Fraction, Fraction]) -> tuple[Parts, int]:
    """Return the parts that begin at these seconds, in order, and which of them contains the clip."""
    inner = [((start, stop),) for start, stop in zip(edges, edges[1:], strict=False)]
    last = ((edges[-1], seconds), *([(Fraction(0), edges[0])] if edges[0] else []))
    parts = (*inner, last)
    (index,) = [n for n, part in enumerate(parts) if any(a <= clip[0] and clip[1] <= b for a, b in part)]
    return parts, index


def _ask(maker: CaseMaker, case: Case, count: int, turn: int) -> Iterator[Case]:
    """Yield the case that asks when the clip of a case is shown; nothing, with an entry in `skips`, if it fits nowhere.

    Args:
        maker: Of the needle asked about.
        case: The case of `single` with the same video.
        count: The number of parts.
        turn: Index of the correct letter, modulo the number of options.
    """
    name = case.id.replace(f"{maker.name}.", f"{maker.name}.when.", 1)
    (placed,) = case.needles
    rate = Fraction(str(case.fps))
    seconds, clip = case.length / rate, (placed.start / rate, placed.stop / rate)
    found = turned_parts(f"{maker.suite.name}/{name}/edges", count, seconds, clip)
    if found is None:
        maker.skips.append(Skip(name, f"the clip is longer than one of {count} parts of the video"))
    else:
        yield _asked(maker, dataclasses.replace(case, id=name), *found, turn)


def _needle_only(maker: CaseMaker, count: int, number: int) -> Iterator[Case]:
    """Yield the case whose video is as short as it can be: the clip fills one of the parts, so nothing is searched."""
    haystack, frames = maker.haystacks[0], len(maker.clip.span)
    before = number % count * frames
    name = f"{maker.name}.when.needle_only"
    footage = cut_timeline(haystack.timeline, 0, (count - 1) * frames)
    timeline = (
        *cut_timeline(footage, 0, before), maker.clip.span, *cut_timeline(footage, before, (count - 1) * frames),
    )  # fmt: skip
    if sum(len(span) for span in timeline) < count * frames:
        maker.skips.append(Skip(name, f"its haystack is shorter than {count - 1} times the clip"))
        return
    placement = Placement(maker.name, before, before + frames)
    # Without a haystack's name: like a clip alone it belongs to no length.
    case = maker.case("needle_only", name, "", timeline, (placement,), number)
    rate = Fraction(str(case.fps))
    edges = [part * frames / rate for part in range(count)]
    parts, index = _parts_at(edges, case.length / rate, (placement.start / rate, placement.stop / rate))
    yield _asked(maker, case, parts, index, number + number // count)


def _asked(maker: CaseMaker, case: Case, parts: Parts, index: int, turn: int) -> Case:
    """Return the case that offers these parts, with part `index` at letter `turn`."""
    seconds = case.length / Fraction(str(case.fps))
    decimals = precision(len(parts), seconds)
    question = QUESTION.format(duration=format_clock(seconds, decimals), cue=describe(maker.clip.needle))
    if maker.suite.when == "interval":
        return dataclasses.replace(case, kind="when", question=question + INTERVAL, options=(), answer="")
    texts = [
        ", or ".join(f"{format_clock(start, decimals)} to {format_clock(stop, decimals)}" for start, stop in part)
        for part in parts
    ]
    options, correct = rotate_options(texts, index, turn)
    return dataclasses.replace(case, kind="when", question=question, options=options, answer=LETTERS[correct])

"""`times`: how many times is a clip shown, from not at all to `copies` times?

The video is divided into as many equal parts as there are copies, and one lies anywhere in each. No question about one
frame answers this one, and a sampler that misses a copy counts too few.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Mapping, Sequence

from niah.suite.blocks import rotate_options
from niah.suite.case_maker import CaseMaker, swapped_for
from niah.suite.folder import Skip
from niah.suite.kinds.pairs import describe
from niah.suite.library import Haystack, NeedleClip, cut_timeline
from niah.suite.positions import nearest
from niah.types import LETTERS, Case, Placement, Span

QUESTION = (
    "A short clip may have been inserted into this video, once or several times: {cue}. How many times is it shown?"
)
BETWEEN = 10  # frames of haystack between copies without a haystack


def make_cases(makers: Mapping[str, CaseMaker]) -> Iterator[Case]:
    """Yield the cases of this kind: each needle at every length, in every number of copies."""
    clips = [maker.clip for maker in makers.values()]
    for number, maker in enumerate(makers.values()):
        suite = maker.suite
        for at, length in enumerate(suite.lengths):
            for copies in range(suite.most_copies + 1):
                haystack = maker.haystacks[(number + at + copies) % len(maker.haystacks)]
                name = f"{maker.name}.times.full.{length}.{copies}"
                case = _hidden(maker, "full", name, haystack, length, [maker.clip] * copies)
                if case is not None:
                    yield _asked(maker, case, copies, number + at + copies)
        for copies in range(1, suite.most_copies + 1):
            yield _asked(maker, _alone(maker, copies), copies, number + copies)
        if "swapped" in suite.conditions:
            yield from _another(maker, number, clips)


def draw_copies(seed: str, frames: int, copies: int, room: int, cuts: Sequence[int]) -> list[int] | None:
    """Return the frames of haystack before each copy; None if a part of the haystack is shorter than the clip.

    Args:
        seed: Of the draws.
        frames: Of the clip.
        copies: How many there are.
        room: The frames of haystack.
        cuts: Frames of the haystack at which scenes begin, ascending.
    """
    places = []
    for copy in range(copies):
        first, last = copy * room // copies, (copy + 1) * room // copies - frames
        if last < first:
            return None
        drawn = random.Random(f"{seed}/{copy}").randint(first, last)
        inside = [cut for cut in cuts if first <= cut <= last]
        places.append(nearest(drawn, inside) if inside else drawn)
    return places


def _hidden(
    maker: CaseMaker, condition: str, name: str, haystack: Haystack, length: int, clips: Sequence[NeedleClip]
) -> Case | None:
    """Return the case with these clips, which are copies of one; None, with an entry in `skips`, if they do not fit.

    Args:
        maker: Of the needle asked about.
        condition: The case's condition.
        name: The case's name.
        haystack: The haystack.
        length: The number of frames of the video.
        clips: The copies.
    """
    frames = len(clips[0].span) if clips else 0

    def draw(room: int, cuts: Sequence[int]) -> list[int] | None:
        return draw_copies(f"{maker.suite.name}/{name}", frames, len(clips), room, cuts)

    return maker.insert(condition, name, haystack, length, clips, draw, 0)


def _alone(maker: CaseMaker, copies: int) -> Case:
    """Return the case of some copies with a few frames of haystack between them."""
    clip, haystack = maker.clip.span, maker.haystacks[0]
    timeline: list[Span] = [clip]
    starts = [0]
    for copy in range(1, copies):
        timeline += cut_timeline(haystack.timeline, BETWEEN * (copy - 1), BETWEEN * copy)
        starts.append(sum(len(span) for span in timeline))
        timeline.append(clip)
    placements = tuple(Placement(maker.name, start, start + len(clip)) for start in starts)
    # Without a haystack's name: like a clip alone it belongs to no length.
    name = f"{maker.name}.times.needle_only.{copies}"
    return maker.case("needle_only", name, "", tuple(timeline), placements, 0)


def _another(maker: CaseMaker, number: int, clips: Sequence[NeedleClip]) -> Iterator[Case]:
    """Yield the case in which another clip is shown, one to `copies` times: the right answer is 0."""
    suite = maker.suite
    length = suite.lengths[number % len(suite.lengths)]
    haystack = maker.haystacks[number // len(suite.lengths) % len(maker.haystacks)]
    others = [clip for clip in clips if describe(clip.needle) != describe(maker.clip.needle)]
    other = swapped_for(suite, maker.clip, haystack, others, length)
    name = f"{maker.name}.times.swapped.{length}"
    if other is None:
        maker.skips.append(Skip(name, "no other needle of another source and target may be hidden in its haystack"))
        return
    case = _hidden(maker, "swapped", name, haystack, length, [other] * (1 + number % suite.most_copies))
    if case is not None:
        yield _asked(maker, case, 0, number)


def _asked(maker: CaseMaker, case: Case, copies: int, turn: int) -> Case:
    """Return a case with its question, whose answer is a number of copies, at letter `turn`."""
    options, correct = rotate_options([str(number) for number in range(maker.suite.most_copies + 1)], copies, turn)
    shown_once = tuple(dict.fromkeys(case.timeline))  # copies of a clip repeat its frames on purpose
    return dataclasses.replace(
        case,
        kind="times",
        question=QUESTION.format(cue=describe(maker.clip.needle)),
        template="{question}",
        options=options,
        answer=LETTERS[correct],
        repeats=maker.library.repeats(shown_once),
    )

"""`first`: two clips are in the video, one some way after the other. Which comes first?

Every video has a twin with the two clips exchanged, so a constant reply is right in exactly one of the two. The
distance is that of their depths. It is small on purpose: who sees one clip alone knows its depth, and an ideal reader
of one clip is right in 1/2 + 1/2 min(1, g / (1 - g)) of cases at distance g (.51 at .02, .56 at .1, .71 at .3, and
always from .5 on). Larger distances measure depth, not order, and are refused. `swapped` measures what one clip is
worth.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Mapping, Sequence

from niah.suite.case_maker import CaseMaker, swapped_for
from niah.suite.folder import Skip
from niah.suite.kinds.pairs import NeedlePair, describe, no_pairs, pair_up
from niah.suite.library import Haystack, NeedleClip
from niah.suite.positions import nearest
from niah.types import LETTERS, Case, Needle, Placement, UserError

QUESTION = "Two short clips were inserted into this video. Clip 1 is {first}. Clip 2 is {second}. Which comes first?"
OPTIONS = ("Clip 1", "Clip 2")
TWINS = ("ab", "ba")
SLACK = 0.25  # of a distance, by which scene cuts may lie nearer or farther


def make_cases(makers: Mapping[str, CaseMaker]) -> Iterator[Case]:
    """Yield the cases of this kind. Raises UserError if no two needles can be a pair."""
    pairs = pair_up(makers, fit)
    if not pairs:
        raise UserError(no_pairs("first", "with other cues (or questions, without a cue)", makers))
    clips = [maker.clip for maker in makers.values()]
    for number, pair in enumerate(pairs):
        suite = pair.makers[0].suite
        for at, length in enumerate(suite.lengths):
            haystack = pair.haystacks[(number + at) % len(pair.haystacks)]
            for distance in suite.all_distances:
                yield from _twins(pair, "full", haystack, length, distance, None)
        yield from _alone(pair)
        if "swapped" in suite.conditions:
            yield from _one_replaced(pair, number, clips)


def fit(one: NeedleClip, other: NeedleClip) -> bool:
    """Return True if two clips can be told apart by what the question calls them."""
    return describe(one.needle) != describe(other.needle)


def draw_places(seed: str, room: int, distance: float, cuts: Sequence[int]) -> list[int]:
    """Return the frames of haystack before the first and before the second clip.

    The first is drawn uniformly. Both are moved to scene cuts, if there are two about this far from one another.

    Args:
        seed: Of the draw.
        room: The frames of haystack.
        distance: Of the two clips, as a share of them.
        cuts: Frames of the haystack at which scenes begin, ascending.
    """
    gap = max(1, round(distance * room))
    drawn = random.Random(seed).randint(0, room - gap)
    inner = [cut for cut in cuts if 0 < cut < room]
    found = {}
    for cut in inner:
        later = [other for other in inner if abs(other - cut - gap) <= SLACK * gap]
        if later:
            found[cut] = nearest(cut + gap, later)
    if not found:
        return [drawn, drawn + gap]
    start = nearest(drawn, sorted(found))
    return [start, found[start]]


def _twins(
    pair: NeedlePair, condition: str, haystack: Haystack, length: int, distance: float, third: NeedleClip | None
) -> Iterator[Case]:
    """Yield a case and its twin, in which the clips are exchanged.

    Args:
        pair: The two needles.
        condition: `full`, or `swapped` if a third clip takes the place of the second one.
        haystack: The haystack.
        length: The number of frames of the video.
        distance: Of the two clips.
        third: The clip that is shown instead of the second one.
    """
    one, other = pair.makers
    stem = f"{one.name}.first.{condition}.{length}.{distance:g}"
    for twin in TWINS:
        clips = [one.clip, third or other.clip]
        if twin == "ba":
            clips.reverse()

        def draw(room: int, cuts: Sequence[int]) -> list[int]:
            return draw_places(f"{one.suite.name}/{stem}", room, distance, cuts)

        case = one.insert(condition, f"{stem}.{twin}", haystack, length, clips, draw, 0)
        if case is not None:
            yield _asked(pair, case, twin)


def _alone(pair: NeedlePair) -> Iterator[Case]:
    """Yield both clips without a haystack, in both orders."""
    one, other = pair.makers
    for twin in TWINS:
        clips = (one.clip, other.clip) if twin == "ab" else (other.clip, one.clip)
        stop = len(clips[0].span)
        placements = (
            Placement(clips[0].needle.name, 0, stop),
            Placement(clips[1].needle.name, stop, stop + len(clips[1].span)),
        )
        spans = tuple(clip.span for clip in clips)
        case = one.case("needle_only", f"{one.name}.first.needle_only.{twin}", "", spans, placements, 0)
        yield _asked(pair, case, twin)


def _one_replaced(pair: NeedlePair, number: int, clips: Sequence[NeedleClip]) -> Iterator[Case]:
    """Yield the twins in which a third clip is shown instead of the second one; lengths and distances take turns."""
    one, other = pair.makers
    suite = one.suite
    length = suite.lengths[number % len(suite.lengths)]
    distance = suite.all_distances[number // len(suite.lengths) % len(suite.all_distances)]
    haystack = pair.haystacks[number % len(pair.haystacks)]
    others = [clip for clip in clips if clip.identity != one.clip.identity and fit(clip, one.clip)]
    others = [clip for clip in others if fit(clip, other.clip)]
    third = swapped_for(suite, other.clip, haystack, others, length)
    if third is None:
        one.skips.append(Skip(f"{one.name}.first.swapped", "no third needle of another source and target is there"))
    else:
        yield from _twins(pair, "swapped", haystack, length, distance, third)


def _asked(pair: NeedlePair, case: Case, twin: str) -> Case:
    """Return a case with its question; the first needle of the pair is called clip 1."""
    one, other = (maker.clip.needle for maker in pair.makers)
    return dataclasses.replace(
        case,
        kind="first",
        asked=(one.name, other.name),
        needle_source=pair.source,
        question=QUESTION.format(first=describe(one), second=describe(other)),
        template="{question}",
        options=OPTIONS,
        answer=LETTERS[TWINS.index(twin)],
        type=_type(one, other),
    )


def _type(one: Needle, other: Needle) -> str:
    """Return the type of both needles, whichever is named first."""
    return ", ".join(sorted({one.type, other.type}))

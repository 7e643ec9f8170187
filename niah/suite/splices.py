"""What stands in a haystack beside the needle: decoys, and sham splices where a needle cuts a scene in two.

Both count as haystack. Each is drawn from a generator seeded with the names of what it is about.
"""

from __future__ import annotations

import bisect
import random
from collections.abc import Sequence

from niah.suite.library import Haystack, cut_timeline
from niah.suite.positions import nearest
from niah.types import Span

Insert = tuple[int, tuple[Span, ...]]  # the frame of a haystack before which it stands, and what it shows


def decoy_inserts(seed: str, home: Haystack, opening: int, decoys: Sequence[Span]) -> list[Insert]:
    """Return each decoy at the scene cut of an opening that is nearest to a frame drawn uniformly."""
    scenes = [at for at in home.cuts if 0 < at < opening]
    drawn = [random.Random(f"{seed}/decoy-{number}").randrange(opening) for number in range(len(decoys))]
    return [(nearest(at, scenes) if scenes else at, (decoy,)) for at, decoy in zip(drawn, decoys, strict=True)]


def sham_insert(
    seed: str, home: Haystack, opening: int, decoys: Sequence[Insert], start: int, frames: int
) -> Insert | None:
    """Return a sham splice: a span of a haystack that cuts another scene of it in two, as a needle does.

    It shows footage behind the opening, so that no frame is shown twice, and stands anywhere in the opening but at a
    cut: in another scene than its footage, where there is one. None where the footage has no room for it.

    Args:
        seed: Name of the case.
        home: The haystack.
        opening: How many of its frames the case shows, beside the sham splice.
        decoys: What else is inserted into the opening.
        start: The needle's first frame in the opening with all that is inserted: the splice keeps clear of it.
        frames: How long the splice is: as long as the needle.
    """
    total = sum(len(span) for span in home.timeline)
    if total - opening < frames:
        return None
    draw = random.Random(f"{seed}/sham")
    first = draw.randrange(opening, total - frames + 1)
    taken = {*home.cuts, *(at for at, _ in decoys)}
    places = [
        at
        for at in range(1, opening)
        if at not in taken and not 0 <= start - at - sum(_size(decoy) for decoy in decoys if decoy[0] < at) <= frames
    ]
    scene = bisect.bisect(home.cuts, first)
    elsewhere = [at for at in places if bisect.bisect(home.cuts, at) != scene] or places
    return (draw.choice(elsewhere), cut_timeline(home.timeline, first, first + frames)) if elsewhere else None


def lay_inserts(home: Haystack, opening: int, inserts: Sequence[Insert]) -> tuple[tuple[Span, ...], list[int]]:
    """Return the opening of a haystack with what is inserted into it, and the frames at which scenes begin."""
    scenes = [at for at in home.cuts if 0 < at < opening]
    timeline: list[Span] = []
    cuts: list[int] = []
    begun = before = 0  # frames of the haystack, and of what is inserted, so far
    for at, spans in sorted(inserts, key=_order):
        timeline += [*cut_timeline(home.timeline, begun, at), *spans]
        cuts += [*(scene + before for scene in scenes if begun <= scene <= at), at + before]
        before += sum(len(span) for span in spans)
        cuts.append(at + before)
        begun = at
    cuts += [scene + before for scene in scenes if begun < scene]
    return (*timeline, *cut_timeline(home.timeline, begun, opening)), sorted(set(cuts))


def _size(insert: Insert) -> int:
    """Return how many frames are inserted."""
    return sum(len(span) for span in insert[1])


def _order(insert: Insert) -> tuple[int, str, int]:
    """Return what inserts are ordered by: where they stand, then their names."""
    at, spans = insert
    return at, spans[0].source, spans[0].start

"""What is inserted into a haystack besides the needle: decoys, and sham splices if a needle cuts a scene in two.

Both count as haystack. Each is drawn from a generator seeded with the names of what it concerns.
"""

from __future__ import annotations

import bisect
import random
from collections.abc import Sequence

from niah.suite.library import Haystack, cut_timeline
from niah.suite.positions import nearest
from niah.types import Span

Insert = tuple[int, tuple[Span, ...]]  # the frame of the haystack before which it is inserted, and its spans


def decoy_inserts(seed: str, haystack: Haystack, opening: int, decoys: Sequence[Span]) -> list[Insert]:
    """Return each decoy with the scene cut of the opening nearest to a frame drawn uniformly."""
    scenes = [at for at in haystack.cuts if 0 < at < opening]
    drawn = [random.Random(f"{seed}/decoy-{number}").randrange(opening) for number in range(len(decoys))]
    return [(nearest(at, scenes) if scenes else at, (decoy,)) for at, decoy in zip(drawn, decoys, strict=True)]


def sham_insert(
    seed: str, haystack: Haystack, opening: int, decoys: Sequence[Insert], start: int, frames: int
) -> Insert | None:
    """Return a sham splice: a span of the haystack that cuts another scene in two, as a needle does.

    It shows footage from after the opening, so that no frame is shown twice. It is inserted anywhere in the opening
    except at a cut, if possible in another scene than its own. Returns None if the footage has no room for it.

    Args:
        seed: Name of the case.
        haystack: The haystack.
        opening: The number of its frames that the case shows, besides the sham splice.
        decoys: The other inserts.
        start: The needle's first frame, counted with all inserts; the splice does not touch it.
        frames: The length of the splice, which is the needle's.
    """
    total = sum(len(span) for span in haystack.timeline)
    if total - opening < frames:
        return None
    draw = random.Random(f"{seed}/sham")
    first = draw.randrange(opening, total - frames + 1)
    taken = {*haystack.cuts, *(at for at, _ in decoys)}
    places = [
        at
        for at in range(1, opening)
        if at not in taken and not 0 <= start - at - sum(_size(decoy) for decoy in decoys if decoy[0] < at) <= frames
    ]
    scene = bisect.bisect(haystack.cuts, first)
    elsewhere = [at for at in places if bisect.bisect(haystack.cuts, at) != scene] or places
    return (draw.choice(elsewhere), cut_timeline(haystack.timeline, first, first + frames)) if elsewhere else None


def lay_inserts(haystack: Haystack, opening: int, inserts: Sequence[Insert]) -> tuple[tuple[Span, ...], list[int]]:
    """Return the opening of a haystack with its inserts, and the frames at which scenes begin."""
    scenes = [at for at in haystack.cuts if 0 < at < opening]
    timeline: list[Span] = []
    cuts: list[int] = []
    begun = 0  # frames of the haystack so far
    before = 0  # inserted frames so far
    for at, spans in sorted(inserts, key=_order):
        timeline += [*cut_timeline(haystack.timeline, begun, at), *spans]
        cuts += [*(scene + before for scene in scenes if begun <= scene <= at), at + before]
        before += sum(len(span) for span in spans)
        cuts.append(at + before)
        begun = at
    cuts += [scene + before for scene in scenes if begun < scene]
    return (*timeline, *cut_timeline(haystack.timeline, begun, opening)), sorted(set(cuts))


def _size(insert: Insert) -> int:
    """Return the number of frames of an insert."""
    return sum(len(span) for span in insert[1])


def _order(insert: Insert) -> tuple[int, str, int]:
    """Return the sort key of an insert: its position, then its first span."""
    at, spans = insert
    return at, spans[0].source, spans[0].start

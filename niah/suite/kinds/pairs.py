"""Match needles into disjoint pairs: both clips of a pair are inserted into one video.

Built-in footage plans partners. Others are matched at random, seeded with the suite's name: of many tries the one with
most pairs counts, and of equally many the one in which most partners can be confused. Answers are clustered by pair.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from niah.suite.case_maker import CaseMaker
from niah.suite.library import Haystack, NeedleClip
from niah.types import LETTERS, Needle

TRIES = 50


@dataclass(frozen=True)
class NeedlePair:
    """Two needles, and the haystacks that may hide both."""

    makers: tuple[CaseMaker, CaseMaker]
    haystacks: tuple[Haystack, ...]

    @property
    def source(self) -> str:
        """What the answers to questions about this pair are clustered by."""
        return "+".join(sorted(source_of(maker.clip) for maker in self.makers))


def pair_up(makers: Mapping[str, CaseMaker], fit: Callable[[NeedleClip, NeedleClip], bool]) -> list[NeedlePair]:
    """Return disjoint pairs of needles that fit and share a haystack; no source is part of two pairs.

    Args:
        makers: Of each needle, by name.
        fit: Whether two clips can be a pair.
    """
    possible: dict[str, set[str]] = {name: set() for name in makers}
    for name, maker in makers.items():
        for other, another in makers.items():
            if name < other and _may_share(maker, another) and fit(maker.clip, another.clip):
                possible[name].add(other)
                possible[other].add(name)
    planned = [(name, maker.clip.partner) for name, maker in makers.items() if maker.clip.partner in possible[name]]
    chosen = [(one, other) for one, other in planned if one < other]
    taken = {name for pair in chosen for name in pair}
    rest = [name for name in makers if name not in taken]
    if any(possible[name] - taken for name in rest):
        tries = [_match(makers, rest, possible, chosen, number) for number in range(TRIES)]
        chosen += max(tries, key=lambda pairs: (len(pairs), sum(_confusable(makers, *pair) for pair in pairs)))
    return [NeedlePair((makers[one], makers[other]), _shared(makers[one], makers[other])) for one, other in chosen]


def describe(needle: Needle) -> str:
    """Return a phrase that says which clip is meant: its cue, else the question that it answers."""
    return needle.cue or f"the clip that answers “{needle.question}”"


def no_pairs(kind: str, wanted: str, makers: Mapping[str, CaseMaker]) -> str:
    """Return the message of a suite whose needles form no pair: what is wanted of two needles, and what there is."""
    clips = [maker.clip for maker in makers.values()]
    suite = next(iter(makers.values())).suite.name if makers else ""
    types = {clip.needle.type for clip in clips}
    return (
        f"suite {suite!r}: {kind} needs two needles of two source videos {wanted}; no two of {len(clips)} needles "
        f"({len(types)} types, {len({source_of(clip) for clip in clips})} source videos) are such a pair: add needles, "
        f"or remove {kind} from kinds"
    )


def source_of(clip: NeedleClip) -> str:
    """Return what answers about a clip are clustered by."""
    return clip.cluster or clip.identity


def answer_text(needle: Needle) -> str:
    """Return the text of a needle's correct option."""
    return needle.options[LETTERS.index(needle.answer)]


def _may_share(one: CaseMaker, other: CaseMaker) -> bool:
    """Return True if two clips are of different sources and some haystack may hide both."""
    a, b = one.clip, other.clip
    same = source_of(a) == source_of(b) or a.identity == b.identity or (a.video and a.video == b.video)
    return not same and bool(_shared(one, other))


def _shared(one: CaseMaker, other: CaseMaker) -> tuple[Haystack, ...]:
    """Return the haystacks that may hide both clips: those of the first, then those of the second."""
    either = {haystack.name: haystack for haystack in (*one.haystacks, *other.haystacks)}
    return tuple(found for found in either.values() if found.may_hide(one.clip) and found.may_hide(other.clip))


def _match(
    makers: Mapping[str, CaseMaker],
    names: Sequence[str],
    possible: Mapping[str, set[str]],
    chosen: Sequence[tuple[str, str]],
    number: int,
) -> list[tuple[str, str]]:
    """Return the pairs of one try.

    Args:
        makers: Of each needle, by name.
        names: The needles to match.
        possible: The possible partners of each needle.
        chosen: The pairs there already are, whose sources are used up.
        number: Of the try; it seeds the order.
    """
    suite = next(iter(makers.values())).suite.name
    draw = random.Random(f"{suite}/pairs/{number}")
    order = sorted(names, key=lambda name: (len(possible[name]), draw.random()))  # the choosiest first
    used = {source_of(makers[name].clip) for pair in chosen for name in pair}
    free = [name for name in order if source_of(makers[name].clip) not in used]
    pairs: list[tuple[str, str]] = []
    for name in free:
        if source_of(makers[name].clip) in used:
            continue
        partners = [one for one in free if one in possible[name] and source_of(makers[one].clip) not in used]
        if partners:
            partner = max(partners, key=lambda one: (_confusable(makers, name, one), draw.random()))
            pairs.append((name, partner))
            used |= {source_of(makers[one].clip) for one in (name, partner)}
    return pairs


def _confusable(makers: Mapping[str, CaseMaker], one: str, other: str) -> bool:
    """Return True if the answer of each needle is an option of the other's question."""
    a, b = makers[one].clip.needle, makers[other].clip.needle
    return answer_text(a) in b.options and answer_text(b) in a.options

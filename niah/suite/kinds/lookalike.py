"""`lookalike`: the question of one clip, while another clip of the same type with another answer is in the video, too.

The two forms differ in what tells the clips apart. With **another target** the question names it ("the red circle"):
the name is a key that only one clip matches. With **the same target** both clips match the question, and only a cue
that is added to it says which is meant ("... has the digit 7 beside it"). Own needles form such a pair if they have one
question and different cues.

The partner lies in another depth bin, drawn from the case's name. A model that reads both clips and takes the wrong one
gives the partner's answer, which is an option of the question where that could be planned (`Case.confused`).
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Mapping, Sequence

from niah.suite.blocks import CaseSlot
from niah.suite.case_maker import CaseMaker
from niah.suite.config import QUESTION_TEMPLATE
from niah.suite.folder import Skip
from niah.suite.kinds.pairs import NeedlePair, answer_text, no_pairs, pair_up
from niah.suite.library import NeedleClip
from niah.types import LETTERS, Case, Placement, UserError

TEMPLATE = "Short clips were inserted into this video. {question}"
SAME_TARGET = ", same target"  # added to the type of the question


def make_cases(makers: Mapping[str, CaseMaker], asked: Sequence[tuple[CaseSlot, Case]]) -> Iterator[Case]:
    """Yield the cases of this kind; `asked` are the `full` cases of `single` with their slots.

    Raises UserError if no two needles can be a pair.
    """
    pairs = pair_up(makers, fit)
    if not pairs:
        wanted = "and of one type, with other answers, and with other questions or one question and a cue each"
        raise UserError(no_pairs("lookalike", wanted, makers))
    matched = {maker.name for pair in pairs for maker in pair.makers}
    for name, maker in makers.items():
        if name not in matched:
            maker.skips.append(Skip(f"{name}.lookalike", "no other needle of its type fits it and is left"))
    for number, pair in enumerate(pairs):
        for turn, (maker, other) in enumerate((pair.makers, pair.makers[::-1])):
            found = [
                _full(pair, maker, other.clip, slot, case.length) for slot, case in asked if slot.needle == maker.name
            ]
            found += _controls(pair, maker, other.clip, 2 * number + turn)
            yield from (_asked(pair, maker, other.clip, case) for case in found if case is not None)


def fit(one: NeedleClip, other: NeedleClip) -> bool:
    """Return True if two clips are look-alikes: of one type, with other answers, and told apart by target or cue."""
    a, b = one.needle, other.needle
    if a.type != b.type or answer_text(a).casefold() == answer_text(b).casefold():
        return False
    if a.question == b.question:
        return bool(a.cue and b.cue and a.cue != b.cue)
    return not one.target or one.target != other.target


def _full(pair: NeedlePair, maker: CaseMaker, other: NeedleClip, slot: CaseSlot, length: int) -> Case | None:
    """Return the case that asks about one clip in a depth bin, with the other one in another bin.

    Args:
        pair: The two needles.
        maker: Of the needle asked about.
        other: The partner's clip.
        slot: The cell, the haystack and the correct letter.
        length: The number of frames of the video.
    """
    bins = maker.suite.depth_rows
    name = f"{maker.name}.lookalike.full.{length}.{slot.bin}"
    seed = f"{maker.suite.name}/{name}"
    elsewhere = random.Random(f"{seed}/partner").choice([number for number in range(bins) if number != slot.bin])

    def draw(room: int, cuts: Sequence[int]) -> list[int] | None:
        own = maker.start_in(f"{seed}/start", slot.bin, bins, room, cuts)
        theirs = maker.start_in(f"{seed}/partner-start", elsewhere, bins, room, cuts)
        return None if own is None or theirs is None else [own, theirs]

    haystack = pair.haystacks[slot.haystack % len(pair.haystacks)]
    return maker.insert("full", name, haystack, length, (maker.clip, other), draw, slot.turn)


def _controls(pair: NeedlePair, maker: CaseMaker, other: NeedleClip, number: int) -> Iterator[Case | None]:
    """Yield the controls: both clips without a haystack, the partner alone in one, and the question alone.

    `number` is the index of the needle asked about, over all pairs.
    """
    suite = maker.suite
    clips = (maker.clip, other) if number // 2 % 2 == number % 2 else (other, maker.clip)
    stop = len(clips[0].span)
    placements = (
        Placement(clips[0].needle.name, 0, stop),
        Placement(clips[1].needle.name, stop, stop + len(clips[1].span)),
    )
    spans = tuple(clip.span for clip in clips)
    yield maker.case("needle_only", f"{maker.name}.lookalike.needle_only", "", spans, placements, number)
    for turn in range(len(maker.clip.needle.options)):
        yield maker.case("blind", f"{maker.name}.lookalike.blind.{turn}", "", (), (), turn)
    length = suite.lengths[number % len(suite.lengths)]
    haystack = pair.haystacks[number // len(suite.lengths) % len(pair.haystacks)]
    bins = suite.depth_rows
    name = f"{maker.name}.lookalike.swapped.{length}"
    yield maker.hide("swapped", other, haystack, length, number % bins, bins, name, number)


def _asked(pair: NeedlePair, maker: CaseMaker, other: NeedleClip, case: Case) -> Case:
    """Return a case with its question about one of two clips, and the letter of the partner's answer."""
    needle = maker.clip.needle
    theirs = answer_text(other.needle)
    same = needle.question == other.needle.question
    template = maker.suite.question_template
    return dataclasses.replace(
        case,
        kind="lookalike",
        needle_source=pair.source,
        question=f"{needle.question} This is about {needle.cue}." if same else needle.question,
        template=TEMPLATE if template == QUESTION_TEMPLATE else template,
        confused=LETTERS[case.options.index(theirs)] if theirs in case.options else "",
        type=case.type + SAME_TARGET * same,
    )

"""Version 2 of the rules that turn needles and haystacks into cases; nothing is decoded.

A needle starts anywhere in its depth bin, at a scene cut of its haystack (`niah.suite.positions`). `niah.suite.blocks`
decides which needle is asked in which cells and which letter is correct there, `niah.suite.splices` what else is
spliced in. Every choice comes from a generator seeded with the names of what it concerns, so no case depends on
another. A case of any length starts with the same frames of its haystack, so that features can be reused.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from niah.suite.blocks import CaseSlot, slots
from niah.suite.case_maker import CaseMaker
from niah.suite.config import Suite
from niah.suite.design import DEPTH_BINS, LONGEST, deal, lengths_in, paper_cells
from niah.suite.folder import Skip
from niah.suite.kinds import first, lookalike, times, when
from niah.suite.library import Haystack, Library, NeedleClip
from niah.types import SINGLE, Case, UserError

HAYSTACKS_PER_NEEDLE = 2  # or fewer, if fewer are eligible


def longest_length(suite: Suite) -> int:
    """Return how many frames a haystack must have."""
    return LONGEST if suite.design == "paper" else max(suite.lengths)


def refuse_long_needle(frames: int, where: str, name: str, suite: Suite) -> None:
    """Raise UserError if a needle leaves no footage to hide it in at the shortest length.

    Args:
        frames: The length of the needle.
        where: The line or the footage that the needle comes from; it starts the message.
        name: The needle's name.
        suite: The settings.
    """
    shortest = min(suite.lengths)
    needed = DEPTH_BINS if suite.design == "paper" else 1  # frames of footage
    if frames > shortest - needed:
        raise UserError(
            f"{where}: needle {name!r} has {frames:,} frames at rate {suite.sampling.rate}, and the shortest length, "
            f"needle included, is {shortest:,} frames: shorten the clip, lower the sampling rate, or raise lengths"
        )


def make_cases(
    suite: Suite, haystacks: Sequence[Haystack], clips: Sequence[NeedleClip], library: Library
) -> tuple[list[Case], list[Skip]]:
    """Return the cases of a suite, and the needles and cells that have no eligible footage or start."""
    skips: list[Skip] = []
    makers: dict[str, CaseMaker] = {}
    for clip in clips:
        eligible = _choose_haystacks(suite, clip, haystacks)
        if eligible:
            makers[clip.needle.name] = CaseMaker(suite, clip, eligible, library)
        else:
            skips.append(Skip(clip.needle.name, "every haystack contains footage of the needle's own source"))
    placed = [maker.clip for maker in makers.values()]
    asked = [] if suite.design == "paper" else list(_grid(suite, makers))
    full = list(_paper(suite, makers)) if suite.design == "paper" else [case for _, case in asked]
    controls = [case for number, maker in enumerate(makers.values()) for case in maker.controls(number, placed)]
    cases = [*full, *controls] if SINGLE in suite.asked_kinds else []
    if "when" in suite.asked_kinds:
        cases += when.make_cases(makers, asked, controls)
    if "lookalike" in suite.asked_kinds:
        cases += lookalike.make_cases(makers, asked)
    if "first" in suite.asked_kinds:
        cases += first.make_cases(makers)
    if "times" in suite.asked_kinds:
        cases += times.make_cases(makers)
    skips += [skip for maker in makers.values() for skip in maker.skips]
    _refuse_empty_kinds(suite, cases, skips)
    return [case for case in cases if case.condition in suite.conditions], skips


def _refuse_empty_kinds(suite: Suite, cases: Sequence[Case], skips: Sequence[Skip]) -> None:
    """Raise UserError for a kind that is asked for and has no `full` case, with the reason of one that was left out."""
    if suite.kinds is None:
        return
    hidden = {case.kind for case in cases if case.condition == "full"}
    for kind in suite.kinds:
        if kind not in hidden:
            why = next((f" ({skip.what}: {skip.why})" for skip in skips if f".{kind}." in skip.what), "")
            raise UserError(
                f"suite {suite.name!r}: no case of kind {kind} fits{why}: raise lengths, or remove {kind} from kinds"
            )


def _choose_haystacks(suite: Suite, clip: NeedleClip, haystacks: Sequence[Haystack]) -> list[Haystack]:
    """Return the haystacks that a needle is hidden in: two, if as many contain no footage of its source."""
    eligible = [haystack for haystack in haystacks if haystack.may_hide(clip)]
    random.Random(f"{suite.name}/{clip.needle.name}/haystack").shuffle(eligible)
    return eligible[:HAYSTACKS_PER_NEEDLE]


def _by_type(makers: dict[str, CaseMaker]) -> dict[str, list[str]]:
    """Return the names of the needles of each type."""
    names: dict[str, list[str]] = {}
    for name, maker in makers.items():
        names.setdefault(maker.clip.needle.type, []).append(name)
    return names


def _grid(suite: Suite, makers: dict[str, CaseMaker]) -> Iterator[tuple[CaseSlot, Case]]:
    """Yield the `full` cases of the grid: each needle at every length, in some or all of the depth bins."""
    rows = suite.depth_rows
    for slot in slots(_by_type(makers), len(suite.lengths), rows, suite.bins_per_length or rows):
        maker = makers[slot.needle]
        case = maker.full(slot, suite.lengths[slot.length])
        if case is not None:
            yield slot, case


def _paper(suite: Suite, makers: dict[str, CaseMaker]) -> Iterator[Case]:
    """Yield the `full` cases of the paper design, cell by cell; lengths and starts lie anywhere in their bins."""
    if not makers:
        return
    by_type = _by_type(makers)
    dealt = deal(by_type, suite.cases, f"{suite.name}/deal")
    for cell in paper_cells(suite.cases):
        for number in range(cell.first, cell.first + cell.count):
            maker = makers[dealt[number]]
            turn = number // len(by_type)  # of its type, as types take turns: letters and haystacks rotate within each
            name = f"{maker.name}.full.{number:04}"
            length = random.Random(f"{suite.name}/{name}/length").choice(lengths_in(cell.length_bin))
            options = len(maker.clip.needle.options)
            haystack = maker.haystacks[(turn + turn // options) % len(maker.haystacks)]  # every letter meets every one
            case = maker.hide("full", maker.clip, haystack, length, cell.depth_bin, DEPTH_BINS, name, turn)
            if case is not None:
                yield case

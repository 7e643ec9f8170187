"""Version 1 of the rules that turn needles and haystacks into cases: fixed depths, starts inside scenes. Frozen.

It is kept so that suites and runs of version 1 stay readable and can be repeated. Its fixed depths alias with uniform
sampling, and its needles cut scenes in two. Nothing is decoded, and no case depends on another.

Every choice comes from a generator seeded with the names of what it concerns. A case of any
length starts with the same frames of its haystack, so that a source is decoded once for all
lengths and features can be reused.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from niah.suite.case_maker import build_case, swapped_for
from niah.suite.config import Suite
from niah.suite.design import (
    DEPTH_BINS,
    PAPER_LENGTHS,
    Cell,
    deal,
    lengths_in,
    needle_start,
    paper_cells,
)
from niah.suite.folder import Skip
from niah.suite.library import Haystack, Library, NeedleClip, cut_timeline
from niah.suite.positions import starts_in_bin
from niah.types import Case, Placement, Span, UserError


def make_cases(
    suite: Suite, haystacks: Sequence[Haystack], clips: Sequence[NeedleClip], library: Library
) -> tuple[list[Case], list[Skip]]:
    """Return the cases of a suite, and the needles and controls that have no eligible footage."""
    skips: list[Skip] = []
    homes: dict[str, Haystack] = {}  # by needle name
    for clip in clips:
        eligible = [haystack for haystack in haystacks if haystack.may_hide(clip)]
        if eligible:
            homes[clip.needle.name] = random.Random(f"{suite.name}/{clip.needle.name}/haystack").choice(eligible)
        else:
            skips.append(Skip(clip.needle.name, "every haystack contains footage of the needle's own source"))
    placed = [clip for clip in clips if clip.needle.name in homes]
    cases: list[Case] = []
    if suite.design == "paper":
        cases += _paper(suite, placed, homes, library)
    for clip in placed:
        maker = _CaseMaker(suite, clip, homes[clip.needle.name], placed, library)
        if suite.design == "grid":
            cases += maker.grid()
        cases += maker.controls()
        skips += maker.skips
    _refuse_same_start(cases)
    return [case for case in cases if case.condition in suite.conditions], skips


@dataclass
class _CaseMaker:
    """Makes the cases that ask one needle's question."""

    suite: Suite
    clip: NeedleClip
    haystack: Haystack
    clips: Sequence[NeedleClip]
    library: Library

    def __post_init__(self) -> None:
        self.name = self.clip.needle.name
        self.skips: list[Skip] = []

    def grid(self) -> Iterator[Case]:
        """Yield a `full` case for each length and depth."""
        for length in self.suite.lengths:
            for depth in self.suite.depths:
                start = needle_start(depth, length, len(self.clip.span))
                yield self.hide("full", self.clip, length, start, f"{self.name}.full.{length}.{start}")

    def controls(self) -> Iterator[Case]:
        """Yield the cases that show how well the clip, the footage or the question can be answered on its own."""
        frames = len(self.clip.span)
        alone = (Placement(self.name, 0, frames),)
        yield self._case("needle_only", f"{self.name}.needle_only", "", (self.clip.span,), alone)
        yield self._case("blind", f"{self.name}.blind", "", (), ())
        lengths = PAPER_LENGTHS if self.suite.design == "paper" else self.suite.lengths
        for length in lengths:
            footage = cut_timeline(self.haystack.timeline, 0, length)
            yield self._case("no_needle", f"{self.name}.no_needle.{length}", self.haystack.name, footage, ())
            if "swapped" in self.suite.conditions:
                yield from self._swapped(length)

    def _swapped(self, length: int) -> Iterator[Case]:
        """Yield the case with another needle's clip; nothing, with an entry in `skips`, if there is none."""
        other = swapped_for(self.suite, self.clip, self.haystack, self.clips, length)
        if other is None:
            reason = "no other needle of another source and target may be hidden in its haystack"
            self.skips.append(Skip(f"{self.name}.swapped.{length}", reason))
            return
        depth = random.Random(f"{self.suite.name}/{self.name}/{length}/swapped").choice(self.suite.depths)
        start = needle_start(depth, length, len(other.span))
        yield self.hide("swapped", other, length, start, f"{self.name}.swapped.{length}")

    def hide(self, condition: str, clip: NeedleClip, length: int, start: int, name: str) -> Case:
        """Return the case in which `clip` starts at frame `start` of `length`."""
        frames = len(clip.span)
        footage = self.haystack.timeline
        timeline = (*cut_timeline(footage, 0, start), clip.span, *cut_timeline(footage, start, length - frames))
        placement = Placement(clip.needle.name, start, start + frames)
        return self._case(condition, name, self.haystack.name, timeline, (placement,))

    def _case(
        self, condition: str, name: str, haystack: str, timeline: tuple[Span, ...], needles: tuple[Placement, ...]
    ) -> Case:
        """Return a case that asks this needle's question about `timeline`."""
        return build_case(self.suite, self.library, self.clip, condition, name, haystack, timeline, needles)


def _paper(suite: Suite, clips: Sequence[NeedleClip], homes: dict[str, Haystack], library: Library) -> Iterator[Case]:
    """Yield the `full` cases of the paper design, cell by cell."""
    if not clips:
        return
    makers = {clip.needle.name: _CaseMaker(suite, clip, homes[clip.needle.name], clips, library) for clip in clips}
    by_type: dict[str, list[str]] = {}
    for clip in clips:
        by_type.setdefault(clip.needle.type, []).append(clip.needle.name)
    dealt = deal(by_type, suite.cases, f"{suite.name}/deal")
    for cell in paper_cells(suite.cases):
        for number in range(cell.first, cell.first + cell.count):
            yield _paper_case(makers[dealt[number]], cell, number)


def _paper_case(maker: _CaseMaker, cell: Cell, number: int) -> Case:
    """Return case `number` of the paper design; its length and start are drawn uniformly from its cell."""
    draw = random.Random(f"{maker.suite.name}/{maker.name}/{number}/full")
    length = draw.choice(lengths_in(cell.length_bin))
    start = draw.choice(starts_in_bin(cell.depth_bin, DEPTH_BINS, length - len(maker.clip.span)))
    return maker.hide("full", maker.clip, length, start, f"{maker.name}.full.{number:04}")


def _refuse_same_start(cases: Sequence[Case]) -> None:
    """Raise UserError if two cases have the same id: in short videos two depths can round to one start."""
    seen: set[str] = set()
    for case in cases:
        if case.id in seen:
            raise UserError(
                f"two depths put the needle of {case.id!r} at the same frame: use fewer depths or longer lengths"
            )
        seen.add(case.id)

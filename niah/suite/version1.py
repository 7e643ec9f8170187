"""Version 1 of the rules that turn needles and haystacks into cases: fixed depths, starts inside scenes. Frozen.

Kept so that suites and runs of version 1 stay readable and repeatable; its fixed depths alias with uniform sampling
and its needles cut scenes in two. Nothing is decoded, and no case depends on its neighbours.

Every choice is drawn from a generator seeded with the names of what it is about. Every
length takes the opening of the same haystack, so that a source is decoded once for all
of them and features can be reused from length to length.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from niah.suite.cases import swapped_for
from niah.suite.config import Suite
from niah.suite.design import (
    PAPER_LENGTHS,
    Cell,
    deal,
    lengths_in,
    needle_start,
    paper_cells,
    starts_in,
)
from niah.suite.folder import Skip
from niah.suite.library import Haystack, Library, NeedleClip, cut_timeline
from niah.types import Case, Placement, Span, UserError


def make_cases(
    suite: Suite, haystacks: Sequence[Haystack], clips: Sequence[NeedleClip], library: Library
) -> tuple[list[Case], list[Skip]]:
    """Return the cases of a suite and the needles (or controls) for which there was nothing eligible."""
    skips: list[Skip] = []
    homes: dict[str, Haystack] = {}  # by needle name
    for clip in clips:
        eligible = [haystack for haystack in haystacks if haystack.may_hide(clip)]
        if eligible:
            homes[clip.needle.name] = random.Random(f"{suite.name}/{clip.needle.name}/haystack").choice(eligible)
        else:
            skips.append(Skip(clip.needle.name, "every haystack holds footage of the needle's own source"))
    placed = [clip for clip in clips if clip.needle.name in homes]
    cases: list[Case] = []
    if suite.design == "paper":
        cases += _paper(suite, placed, homes, library)
    for clip in placed:
        maker = _Maker(suite, clip, homes[clip.needle.name], placed, library)
        cases += maker.grid() if suite.design == "grid" else []
        cases += maker.controls()
        skips += maker.skips
    _check(cases)
    return [case for case in cases if case.condition in suite.conditions], skips


@dataclass
class _Maker:
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
                yield self.hidden("full", self.clip, length, start, f"{self.name}.full.{length}.{start}")

    def controls(self) -> Iterator[Case]:
        """Yield the cases that tell what the clip, the footage and the question alone are worth."""
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
        """Yield the case with another needle's clip, or note that there is none."""
        other = swapped_for(self.suite, self.clip, self.haystack, self.clips, length)
        if other is None:
            why = "no other needle of another source and target may be hidden in its haystack"
            self.skips.append(Skip(f"{self.name}.swapped.{length}", why))
            return
        depth = random.Random(f"{self.suite.name}/{self.name}/{length}/swapped").choice(self.suite.depths)
        start = needle_start(depth, length, len(other.span))
        yield self.hidden("swapped", other, length, start, f"{self.name}.swapped.{length}")

    def hidden(self, condition: str, clip: NeedleClip, length: int, start: int, name: str) -> Case:
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
        needle, suite = self.clip.needle, self.suite
        native = suite.sampling.rate == "native"
        fps = self.library.fps(timeline or (self.clip.span,)) if native else float(Fraction(suite.sampling.rate))
        return Case(
            id=name,
            suite=suite.name,
            version=suite.version,
            condition=condition,
            needle=needle.name,
            needle_source=self.clip.identity,
            haystack=haystack,
            length=sum(len(span) for span in timeline),
            needles=needles,
            timeline=timeline,
            fps=fps,
            question=needle.question,
            options=needle.options,
            answer=needle.answer,
            type=needle.type,
            repeats=self.library.repeats(timeline),
            template=suite.question_template,
        )


def _paper(suite: Suite, clips: Sequence[NeedleClip], homes: dict[str, Haystack], library: Library) -> Iterator[Case]:
    """Yield the `full` cases of the paper design, cell by cell."""
    if not clips:
        return
    makers = {clip.needle.name: _Maker(suite, clip, homes[clip.needle.name], clips, library) for clip in clips}
    by_type: dict[str, list[str]] = {}
    for clip in clips:
        by_type.setdefault(clip.needle.type, []).append(clip.needle.name)
    dealt = deal(by_type, suite.cases, f"{suite.name}/deal")
    for cell in paper_cells(suite.cases):
        for number in range(cell.first, cell.first + cell.count):
            yield _paper_case(makers[dealt[number]], cell, number)


def _paper_case(maker: _Maker, cell: Cell, number: int) -> Case:
    """Return case `number` of the paper design: a length and a start drawn uniformly within its cell."""
    draw = random.Random(f"{maker.suite.name}/{maker.name}/{number}/full")
    length = draw.choice(lengths_in(cell.length_bin))
    start = draw.choice(starts_in(cell.depth_bin, length, len(maker.clip.span)))
    return maker.hidden("full", maker.clip, length, start, f"{maker.name}.full.{number:04}")


def _check(cases: Sequence[Case]) -> None:
    """Refuse two cases of one name: in short videos two depths can round to one start."""
    seen: set[str] = set()
    for case in cases:
        if case.id in seen:
            raise UserError(
                f"two depths put the needle of {case.id!r} at one frame: use fewer depths or longer lengths"
            )
        seen.add(case.id)

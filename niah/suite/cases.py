"""Needles and haystacks into cases (version 2); nothing is decoded, and no case depends on its neighbours.

A needle starts anywhere in its depth bin, at a scene cut of its haystack (`niah.suite.positions`). Which needle is
asked in which cells, and which letter is right there, is `niah.suite.blocks`. Every choice is drawn from a generator
seeded with the names of what it is about. Every length takes the opening of the same haystack, so that features can
be reused.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from niah.suite.blocks import CaseSlot, rotate_options, slots
from niah.suite.config import Suite
from niah.suite.design import DEPTH_BINS, LONGEST, PAPER_LENGTHS, deal, lengths_in, paper_cells
from niah.suite.folder import Skip
from niah.suite.library import Haystack, Library, NeedleClip, cut_timeline
from niah.suite.positions import draw_start
from niah.suite.splices import Insert, decoy_inserts, lay_inserts, sham_insert
from niah.types import LETTERS, Case, Placement, Span, UserError

HOMES = 2  # haystacks a needle is hidden in, where there are as many


def longest_length(suite: Suite) -> int:
    """Return how many frames a haystack must hold."""
    return LONGEST if suite.design == "paper" else max(suite.lengths)


def refuse_long_needle(frames: int, where: str, name: str, suite: Suite) -> None:
    """Refuse a needle that leaves no footage to hide it in at the shortest length."""
    shortest = min(suite.lengths)
    room = DEPTH_BINS if suite.design == "paper" else 1
    if frames > shortest - room:
        raise UserError(
            f"{where}: needle {name!r} holds {frames:,} frames at rate {suite.sampling.rate}, and the shortest length, "
            f"needle included, is {shortest:,} frames: shorten the clip, lower the sampling rate, or raise lengths"
        )


def make_cases(
    suite: Suite, haystacks: Sequence[Haystack], clips: Sequence[NeedleClip], library: Library
) -> tuple[list[Case], list[Skip]]:
    """Return the cases of a suite, and the needles and cells for which there was nothing eligible."""
    skips: list[Skip] = []
    makers: dict[str, _CaseMaker] = {}
    for clip in clips:
        homes = _homes(suite, clip, haystacks)
        if homes:
            makers[clip.needle.name] = _CaseMaker(suite, clip, homes, library)
        else:
            skips.append(Skip(clip.needle.name, "every haystack holds footage of the needle's own source"))
    placed = [maker.clip for maker in makers.values()]
    cases = list(_paper(suite, makers) if suite.design == "paper" else _grid(suite, makers))
    for number, maker in enumerate(makers.values()):
        cases += maker.controls(number, placed)
    skips += [skip for maker in makers.values() for skip in maker.skips]
    return [case for case in cases if case.condition in suite.conditions], skips


def swapped_for(
    suite: Suite, clip: NeedleClip, haystack: Haystack, clips: Sequence[NeedleClip], length: int
) -> NeedleClip | None:
    """Return the needle whose clip stands in for `clip`'s: of another source and another target, or None.

    Each candidate draws a number by name and the highest wins, so that a needle
    added to the suite changes no choice it does not win.
    """
    candidates = [
        other
        for other in clips
        if other.identity != clip.identity
        and (not clip.video or other.video != clip.video)
        and (not clip.target or other.target != clip.target)
        and haystack.may_hide(other)
    ]
    if suite.version > 1:  # better another answer of the same type: then the letter says whose clip was read
        partners = [other for other in candidates if _is_partner(clip, other)]
        candidates = partners or candidates
    seed = f"{suite.name}/{clip.needle.name}/{length}/swapped"
    return max(candidates, key=lambda other: random.Random(f"{seed}/{other.needle.name}").random(), default=None)


def _is_partner(clip: NeedleClip, other: NeedleClip) -> bool:
    """Return True if another needle is of the same type and has another answer."""
    own, partner = clip.needle, other.needle
    answers = [needle.options[LETTERS.index(needle.answer)] for needle in (own, partner)]
    return own.type == partner.type and answers[0] != answers[1]


def _homes(suite: Suite, clip: NeedleClip, haystacks: Sequence[Haystack]) -> list[Haystack]:
    """Return the haystacks a needle is hidden in: two, where two do not hold footage of its source."""
    eligible = [haystack for haystack in haystacks if haystack.may_hide(clip)]
    random.Random(f"{suite.name}/{clip.needle.name}/haystack").shuffle(eligible)
    return eligible[:HOMES]


def _by_type(makers: dict[str, _CaseMaker]) -> dict[str, list[str]]:
    """Return the names of the needles of each type."""
    names: dict[str, list[str]] = {}
    for name, maker in makers.items():
        names.setdefault(maker.clip.needle.type, []).append(name)
    return names


def _grid(suite: Suite, makers: dict[str, _CaseMaker]) -> Iterator[Case]:
    """Yield the `full` cases of the grid: each needle at every length, in some or all of the depth bins."""
    bins = len(suite.depths) or suite.bins
    for slot in slots(_by_type(makers), len(suite.lengths), bins, suite.bins_per_length or bins):
        maker = makers[slot.needle]
        case = maker.full(slot, suite.lengths[slot.length])
        if case is not None:
            yield case


def _paper(suite: Suite, makers: dict[str, _CaseMaker]) -> Iterator[Case]:
    """Yield the `full` cases of the paper design, cell by cell: lengths and starts anywhere in their bins."""
    if not makers:
        return
    dealt = deal(_by_type(makers), suite.cases, f"{suite.name}/deal")
    for cell in paper_cells(suite.cases):
        for number in range(cell.first, cell.first + cell.count):
            maker = makers[dealt[number]]
            name = f"{maker.name}.full.{number:04}"
            length = random.Random(f"{suite.name}/{name}/length").choice(lengths_in(cell.length_bin))
            home = maker.homes[number % len(maker.homes)]
            case = maker.hidden("full", maker.clip, home, length, cell.depth_bin, DEPTH_BINS, name, number)
            if case is not None:
                yield case


@dataclass
class _CaseMaker:
    """Makes the cases that ask one needle's question."""

    suite: Suite
    clip: NeedleClip
    homes: Sequence[Haystack]
    library: Library
    skips: list[Skip] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Return the needle's name."""
        return self.clip.needle.name

    def full(self, slot: CaseSlot, length: int) -> Case | None:
        """Return the case of a slot, or None, noted, where its bin holds no start."""
        home = self.homes[slot.home % len(self.homes)]
        bins = len(self.suite.depths) or self.suite.bins
        name = f"{self.name}.full.{length}.{slot.bin}"
        return self.hidden("full", self.clip, home, length, slot.bin, bins, name, slot.turn)

    def controls(self, number: int, clips: Sequence[NeedleClip]) -> Iterator[Case]:
        """Yield the cases that tell what the clip, the footage and the question alone are worth.

        `number` counts the suite's needles: `no_needle` and `swapped` are asked at one length a needle, lengths in
        turn.
        """
        frames = len(self.clip.span)
        alone = (Placement(self.name, 0, frames),)
        yield self._case("needle_only", f"{self.name}.needle_only", "", (self.clip.span,), alone, number)
        for turn in range(len(self.clip.needle.options)):
            yield self._case("blind", f"{self.name}.blind.{turn}", "", (), (), turn)
        lengths = PAPER_LENGTHS if self.suite.design == "paper" else self.suite.lengths
        length = lengths[number % len(lengths)]
        home = self.homes[number // len(lengths) % len(self.homes)]
        footage, _ = self._haystack(home, length)
        yield self._case("no_needle", f"{self.name}.no_needle.{length}", home.name, footage, (), number)
        if "swapped" in self.suite.conditions:
            yield from self._swapped(number, home, length, clips)

    def _swapped(self, number: int, home: Haystack, length: int, clips: Sequence[NeedleClip]) -> Iterator[Case]:
        """Yield the case with another needle's clip, or note that there is none."""
        other = swapped_for(self.suite, self.clip, home, clips, length)
        name = f"{self.name}.swapped.{length}"
        if other is None:
            self.skips.append(Skip(name, "no other needle of another source and target may be hidden in its haystack"))
            return
        bins = len(self.suite.depths) or self.suite.bins
        case = self.hidden("swapped", other, home, length, number % bins, bins, name, number)
        if case is not None:
            yield case

    def hidden(
        self, condition: str, clip: NeedleClip, home: Haystack, length: int, bin: int, bins: int, name: str, turn: int
    ) -> Case | None:
        """Return the case in which `clip` starts in a depth bin of `length` frames, or None, noted, without a start.

        Args:
            condition: `full`, or `swapped` where `clip` is another needle's.
            clip: What is hidden.
            home: The haystack it is hidden in.
            length: Frames of the whole video.
            bin: The depth bin, from 0; with fixed `depths:` the number of the depth.
            bins: How many bins there are.
            name: The case's name, which seeds the start.
            turn: Which letter is right, modulo the number of options.
        """
        frames = len(clip.span)
        footage, cuts = self._haystack(home, length - frames)
        if self.suite.depths:
            start: int | None = round(self.suite.depths[bin] * (length - frames))
        else:
            start = draw_start(f"{self.suite.name}/{name}/start", bin, bins, length - frames, cuts)
        if start is None:
            self.skips.append(Skip(name, f"depth bin {bin + 1} of {bins} holds no frame at length {length}"))
            return None
        if not self.suite.depths and 0 < start < length - frames and start not in cuts:
            footage = self._with_sham(name, home, length - frames, start, frames) or footage
        timeline = (*cut_timeline(footage, 0, start), clip.span, *cut_timeline(footage, start, length - frames))
        placement = Placement(clip.needle.name, start, start + frames)
        return self._case(condition, name, home.name, timeline, (placement,), turn)

    def _haystack(self, home: Haystack, frames: int) -> tuple[tuple[Span, ...], list[int]]:
        """Return the opening of a haystack with this needle's decoys in it, and the frames at which scenes begin."""
        opening, decoys = self._decoys(home, frames)
        return lay_inserts(home, opening, decoys)

    def _with_sham(self, name: str, home: Haystack, room: int, start: int, frames: int) -> tuple[Span, ...] | None:
        """Return `room` frames of a haystack with decoys and a sham splice of `frames` frames, clear of frame `start`.

        A needle that cuts a scene in two shows itself: the same scene resumes behind it. Now another does so too.
        None where the splice does not fit in.
        """
        if room <= 2 * frames + sum(len(decoy) for decoy in self.clip.decoys):
            return None
        opening, decoys = self._decoys(home, room - frames)
        sham = sham_insert(f"{self.suite.name}/{name}", home, opening, decoys, start, frames)
        return lay_inserts(home, opening, [*decoys, sham])[0] if sham else None

    def _decoys(self, home: Haystack, frames: int) -> tuple[int, list[Insert]]:
        """Return how many frames of a haystack are left beside this needle's decoys, and where these stand."""
        decoys = self.clip.decoys
        opening = frames - sum(len(decoy) for decoy in decoys)
        if opening < 1:
            raise UserError(
                f"suite {self.suite.name!r}: {len(decoys)} decoys of needle {self.name!r} leave no footage in {frames} "
                "frames: use fewer decoys or longer lengths"
            )
        return opening, decoy_inserts(f"{self.suite.name}/{self.name}/{frames}", home, opening, decoys)

    def _case(
        self,
        condition: str,
        name: str,
        haystack: str,
        timeline: tuple[Span, ...],
        needles: tuple[Placement, ...],
        turn: int,
    ) -> Case:
        """Return a case that asks this needle's question about `timeline`, its options turned."""
        needle = self.clip.needle
        native = self.suite.sampling.rate == "native"
        rate = self.suite.sampling.rate
        options, place = rotate_options(needle.options, LETTERS.index(needle.answer), turn)
        return Case(
            id=name,
            suite=self.suite.name,
            version=self.suite.version,
            condition=condition,
            needle=needle.name,
            needle_source=self.clip.identity,
            haystack=haystack,
            length=sum(len(span) for span in timeline),
            needles=needles,
            timeline=timeline,
            fps=self.library.fps(timeline or (self.clip.span,)) if native else float(Fraction(rate)),
            question=needle.question,
            options=options,
            answer=LETTERS[place],
            type=needle.type,
            repeats=self.library.repeats(timeline),
            template=self.suite.question_template,
        )

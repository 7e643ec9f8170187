"""Version 2 of the rules that turn needles and haystacks into cases; nothing is decoded.

A needle starts anywhere in its depth bin, at a scene cut of its haystack (`niah.suite.positions`). `niah.suite.blocks`
decides which needle is asked in which cells and which letter is correct there, `niah.suite.splices` what else is
spliced in. Every choice comes from a generator seeded with the names of what it concerns, so no case depends on
another. A case of any length starts with the same frames of its haystack, so that features can be reused.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from niah.suite.blocks import CaseSlot, rotate_options, slots
from niah.suite.config import Suite
from niah.suite.design import DEPTH_BINS, LONGEST, PAPER_LENGTHS, deal, lengths_in, needle_start, paper_cells
from niah.suite.folder import Skip
from niah.suite.library import Haystack, Library, NeedleClip, cut_timeline
from niah.suite.positions import draw_start
from niah.suite.splices import Insert, decoy_inserts, lay_inserts, sham_insert
from niah.types import LETTERS, Case, Needle, Placement, Span, UserError

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
    makers: dict[str, _CaseMaker] = {}
    for clip in clips:
        eligible = _choose_haystacks(suite, clip, haystacks)
        if eligible:
            makers[clip.needle.name] = _CaseMaker(suite, clip, eligible, library)
        else:
            skips.append(Skip(clip.needle.name, "every haystack contains footage of the needle's own source"))
    placed = [maker.clip for maker in makers.values()]
    cases = list(_paper(suite, makers) if suite.design == "paper" else _grid(suite, makers))
    for number, maker in enumerate(makers.values()):
        cases += maker.controls(number, placed)
    skips += [skip for maker in makers.values() for skip in maker.skips]
    return [case for case in cases if case.condition in suite.conditions], skips


def swapped_for(
    suite: Suite, clip: NeedleClip, haystack: Haystack, clips: Sequence[NeedleClip], length: int
) -> NeedleClip | None:
    """Return the needle whose clip replaces `clip` in `swapped`: of another source and another target, or None.

    Each candidate gets a random number seeded with its name, and the highest wins. A needle added
    to the suite therefore changes only the choices that it wins.
    """
    candidates = [
        other
        for other in clips
        if other.identity != clip.identity
        and (not clip.video or other.video != clip.video)
        and (not clip.target or other.target != clip.target)
        and haystack.may_hide(other)
    ]
    if suite.version > 1:  # preferably another answer of the same type: the letter then shows which clip was read
        partners = [other for other in candidates if _is_partner(clip, other)]
        candidates = partners or candidates
    seed = f"{suite.name}/{clip.needle.name}/{length}/swapped"
    return max(candidates, key=lambda other: random.Random(f"{seed}/{other.needle.name}").random(), default=None)


def _is_partner(clip: NeedleClip, other: NeedleClip) -> bool:
    """Return True if another needle is of the same type and has another answer."""
    return clip.needle.type == other.needle.type and _answer_text(clip.needle) != _answer_text(other.needle)


def _answer_text(needle: Needle) -> str:
    """Return the text of a needle's correct option."""
    return needle.options[LETTERS.index(needle.answer)]


def _choose_haystacks(suite: Suite, clip: NeedleClip, haystacks: Sequence[Haystack]) -> list[Haystack]:
    """Return the haystacks that a needle is hidden in: two, if as many contain no footage of its source."""
    eligible = [haystack for haystack in haystacks if haystack.may_hide(clip)]
    random.Random(f"{suite.name}/{clip.needle.name}/haystack").shuffle(eligible)
    return eligible[:HAYSTACKS_PER_NEEDLE]


def _by_type(makers: dict[str, _CaseMaker]) -> dict[str, list[str]]:
    """Return the names of the needles of each type."""
    names: dict[str, list[str]] = {}
    for name, maker in makers.items():
        names.setdefault(maker.clip.needle.type, []).append(name)
    return names


def _grid(suite: Suite, makers: dict[str, _CaseMaker]) -> Iterator[Case]:
    """Yield the `full` cases of the grid: each needle at every length, in some or all of the depth bins."""
    rows = suite.depth_rows
    for slot in slots(_by_type(makers), len(suite.lengths), rows, suite.bins_per_length or rows):
        maker = makers[slot.needle]
        case = maker.full(slot, suite.lengths[slot.length])
        if case is not None:
            yield case


def _paper(suite: Suite, makers: dict[str, _CaseMaker]) -> Iterator[Case]:
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


@dataclass
class _CaseMaker:
    """Makes the cases that ask one needle's question."""

    suite: Suite
    clip: NeedleClip
    haystacks: Sequence[Haystack]
    library: Library
    skips: list[Skip] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The needle's name."""
        return self.clip.needle.name

    def full(self, slot: CaseSlot, length: int) -> Case | None:
        """Return the case of a slot; None, with an entry in `skips`, if its depth bin has no start."""
        haystack = self.haystacks[slot.haystack % len(self.haystacks)]
        name = f"{self.name}.full.{length}.{slot.bin}"
        return self.hide("full", self.clip, haystack, length, slot.bin, self.suite.depth_rows, name, slot.turn)

    def controls(self, number: int, clips: Sequence[NeedleClip]) -> Iterator[Case]:
        """Yield the cases that show how well the clip, the footage or the question can be answered on its own.

        `number` is the index of the needle in the suite. `no_needle` and `swapped` are asked at one length per needle;
        the lengths take turns.
        """
        frames = len(self.clip.span)
        alone = (Placement(self.name, 0, frames),)
        yield self._case("needle_only", f"{self.name}.needle_only", "", (self.clip.span,), alone, number)
        for turn in range(len(self.clip.needle.options)):
            yield self._case("blind", f"{self.name}.blind.{turn}", "", (), (), turn)
        lengths = PAPER_LENGTHS if self.suite.design == "paper" else self.suite.lengths
        length = lengths[number % len(lengths)]
        haystack = self.haystacks[number // len(lengths) % len(self.haystacks)]
        footage, _ = self._with_decoys(haystack, length)
        yield self._case("no_needle", f"{self.name}.no_needle.{length}", haystack.name, footage, (), number)
        if "swapped" in self.suite.conditions:
            yield from self._swapped(number, haystack, length, clips)

    def _swapped(self, number: int, haystack: Haystack, length: int, clips: Sequence[NeedleClip]) -> Iterator[Case]:
        """Yield the case with another needle's clip; nothing, with an entry in `skips`, if there is none."""
        other = swapped_for(self.suite, self.clip, haystack, clips, length)
        name = f"{self.name}.swapped.{length}"
        if other is None:
            self.skips.append(Skip(name, "no other needle of another source and target may be hidden in its haystack"))
            return
        bins = self.suite.depth_rows
        case = self.hide("swapped", other, haystack, length, number % bins, bins, name, number)
        if case is not None:
            yield case

    def hide(
        self,
        condition: str,
        clip: NeedleClip,
        haystack: Haystack,
        length: int,
        bin: int,
        bins: int,
        name: str,
        turn: int,
    ) -> Case | None:
        """Return the case with `clip` in a depth bin; None, with an entry in `skips`, if the bin has no start.

        Args:
            condition: `full`, or `swapped` if `clip` is another needle's.
            clip: The clip to hide.
            haystack: The haystack to hide it in.
            length: The number of frames of the video.
            bin: Index of the depth bin; with fixed `depths:`, of the depth.
            bins: The number of bins.
            name: The case's name, which seeds the start.
            turn: Index of the correct letter, modulo the number of options.
        """
        frames = len(clip.span)
        footage, cuts = self._with_decoys(haystack, length - frames)
        if self.suite.depths:
            start: int | None = needle_start(self.suite.depths[bin], length, frames)
        else:
            start = draw_start(f"{self.suite.name}/{name}/start", bin, bins, length - frames, cuts)
        if start is None:
            self.skips.append(Skip(name, f"depth bin {bin + 1} of {bins} has no start at length {length}"))
            return None
        if not self.suite.depths and 0 < start < length - frames and start not in cuts:
            footage = self._with_sham(name, haystack, length - frames, start, frames) or footage
        timeline = (*cut_timeline(footage, 0, start), clip.span, *cut_timeline(footage, start, length - frames))
        placement = Placement(clip.needle.name, start, start + frames)
        return self._case(condition, name, haystack.name, timeline, (placement,), turn)

    def _with_decoys(self, haystack: Haystack, frames: int) -> tuple[tuple[Span, ...], list[int]]:
        """Return the opening of a haystack with this needle's decoys in it, and the frames at which scenes begin."""
        opening, decoys = self._draw_decoys(haystack, frames)
        return lay_inserts(haystack, opening, decoys)

    def _with_sham(self, name: str, haystack: Haystack, room: int, start: int, frames: int) -> tuple[Span, ...] | None:
        """Return `room` frames of a haystack with decoys and a sham splice of `frames` frames, clear of frame `start`.

        A needle that cuts a scene in two stands out, because the same scene continues after it. A sham splice cuts
        another scene in the same way. Returns None if there is no room for it.
        """
        if room - frames <= sum(len(decoy) for decoy in self.clip.decoys):
            return None
        opening, decoys = self._draw_decoys(haystack, room - frames)
        sham = sham_insert(f"{self.suite.name}/{name}", haystack, opening, decoys, start, frames)
        if sham is None:
            return None
        return lay_inserts(haystack, opening, [*decoys, sham])[0]

    def _draw_decoys(self, haystack: Haystack, frames: int) -> tuple[int, list[Insert]]:
        """Return how many frames of the haystack are shown besides this needle's decoys, and the decoys' positions."""
        decoys = self.clip.decoys
        opening = frames - sum(len(decoy) for decoy in decoys)
        if opening < 1:
            raise UserError(
                f"suite {self.suite.name!r}: {len(decoys)} decoys of needle {self.name!r} leave no footage in {frames} "
                "frames: use fewer decoys or longer lengths"
            )
        return opening, decoy_inserts(f"{self.suite.name}/{self.name}/{frames}", haystack, opening, decoys)

    def _case(
        self,
        condition: str,
        name: str,
        haystack: str,
        timeline: tuple[Span, ...],
        needles: tuple[Placement, ...],
        turn: int,
    ) -> Case:
        """Return a case that asks this needle's question, with the correct option at letter `turn`."""
        needle = self.clip.needle
        options, index = rotate_options(needle.options, LETTERS.index(needle.answer), turn)
        case = build_case(self.suite, self.library, self.clip, condition, name, haystack, timeline, needles)
        return dataclasses.replace(case, options=options, answer=LETTERS[index])


def build_case(
    suite: Suite,
    library: Library,
    clip: NeedleClip,
    condition: str,
    name: str,
    haystack: str,
    timeline: tuple[Span, ...],
    needles: tuple[Placement, ...],
) -> Case:
    """Return a case that asks a needle's question about a timeline, with the options in the needle's own order.

    Args:
        suite: The settings.
        library: The sources of the timeline.
        clip: The needle whose question is asked.
        condition: The case's condition.
        name: The case's id.
        haystack: The haystack's name, "" without one.
        timeline: The spans of the video.
        needles: The needles in it.
    """
    needle = clip.needle
    rate = suite.sampling.rate
    return Case(
        id=name,
        suite=suite.name,
        version=suite.version,
        condition=condition,
        needle=needle.name,
        needle_source=clip.cluster or clip.identity,
        haystack=haystack,
        length=sum(len(span) for span in timeline),
        needles=needles,
        timeline=timeline,
        fps=library.fps(timeline or (clip.span,)) if rate == "native" else float(Fraction(rate)),
        question=needle.question,
        options=needle.options,
        answer=needle.answer,
        type=needle.type,
        repeats=library.repeats(timeline),
        template=suite.question_template,
    )

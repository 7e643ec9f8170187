"""Make the cases that ask one needle's question, in version 2 of the rules; nothing is decoded.

`niah.suite.cases` says which there are. A needle starts at a scene cut of its haystack (`niah.suite.positions`), and
`niah.suite.splices` says what else is spliced in.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from niah.suite.blocks import CaseSlot, rotate_options
from niah.suite.config import Suite
from niah.suite.design import PAPER_LENGTHS, needle_start
from niah.suite.folder import Skip
from niah.suite.library import Haystack, Library, NeedleClip, cut_timeline
from niah.suite.positions import draw_start
from niah.suite.splices import Insert, decoy_inserts, lay_inserts, sham_insert
from niah.types import LETTERS, Case, Needle, Placement, Span, UserError


@dataclass
class CaseMaker:
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
        yield self.case("needle_only", f"{self.name}.needle_only", "", (self.clip.span,), alone, number)
        for turn in range(len(self.clip.needle.options)):
            yield self.case("blind", f"{self.name}.blind.{turn}", "", (), (), turn)
        lengths = PAPER_LENGTHS if self.suite.design == "paper" else self.suite.lengths
        length = lengths[number % len(lengths)]
        haystack = self.haystacks[number // len(lengths) % len(self.haystacks)]
        footage, _ = self._with_decoys(haystack, length)
        yield self.case("no_needle", f"{self.name}.no_needle.{length}", haystack.name, footage, (), number)
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
        start = self.start_in(f"{self.suite.name}/{name}/start", bin, bins, length - frames, cuts)
        if start is None:
            self.skips.append(Skip(name, f"depth bin {bin + 1} of {bins} has no start at length {length}"))
            return None
        if not self.suite.depths and 0 < start < length - frames and start not in cuts:
            footage = self._with_sham(name, haystack, length - frames, start, frames) or footage
        timeline = (*cut_timeline(footage, 0, start), clip.span, *cut_timeline(footage, start, length - frames))
        placement = Placement(clip.needle.name, start, start + frames)
        return self.case(condition, name, haystack.name, timeline, (placement,), turn)

    def insert(
        self,
        condition: str,
        name: str,
        haystack: Haystack,
        length: int,
        clips: Sequence[NeedleClip],
        draw: Callable[[int, Sequence[int]], Sequence[int] | None],
        turn: int,
    ) -> Case | None:
        """Return the case with several clips; None, with an entry in `skips`, if there is no room for them.

        A clip that cuts a scene in two gets no sham splice: the other clips cut scenes, too.

        Args:
            condition: The case's condition.
            name: The case's name.
            haystack: The haystack to hide the clips in.
            length: The number of frames of the video.
            clips: The clips.
            draw: Returns for each clip the frames of haystack before it, None if there is no place, given how many
                frames of haystack there are and at which of them scenes begin.
            turn: Index of the correct letter, modulo the number of options.
        """
        room = length - sum(len(clip.span) for clip in clips)
        if room <= sum(len(decoy) for decoy in self.clip.decoys):
            self.skips.append(Skip(name, f"its clips, and decoys if it has any, leave no haystack in {length} frames"))
            return None
        footage, cuts = self._with_decoys(haystack, room)
        starts = draw(room, cuts)
        if starts is None:
            self.skips.append(Skip(name, f"its clips do not fit into {room} frames of haystack"))
            return None
        timeline: list[Span] = []
        placements: list[Placement] = []
        begun = 0  # frames of haystack so far
        for start, clip in sorted(zip(starts, clips, strict=True), key=lambda one: one[0]):
            timeline += [*cut_timeline(footage, begun, start), clip.span]
            stop = sum(len(span) for span in timeline)
            placements.append(Placement(clip.needle.name, stop - len(clip.span), stop))
            begun = start
        timeline += cut_timeline(footage, begun, room)
        return self.case(condition, name, haystack.name, tuple(timeline), tuple(placements), turn)

    def start_in(self, seed: str, bin: int, bins: int, room: int, cuts: Sequence[int]) -> int | None:
        """Return the frames of haystack before a clip in a depth bin or, in a suite with fixed depths, at a depth."""
        if self.suite.depths:
            return needle_start(self.suite.depths[bin], room, 0)
        return draw_start(seed, bin, bins, room, cuts)

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

    def case(
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

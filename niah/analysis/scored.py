"""A case with its record, and how its reply scored."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

from niah.option_scores import OVERLAP, answered_interval, answered_letter, chance, scored_by
from niah.scoring import CUT_SHORT
from niah.scoring.interval import overlap
from niah.types import Case, Record, in_order

MISSING = "missing"  # the status of a case without a record


@dataclass(frozen=True)
class ScoredCase:
    """A case with its record, and how its reply scored; what a hundred tables ask of it is computed once.

    `letter` is the option that the record answers with; None if its reply names none, or if there is no reply.
    `scored_by` is how that was decided (`niah.option_scores.scored_by`). `hit` says whether
    the frames kept at full resolution include one of the needle, and `hit_chance` how often as many random frames
    would; both are None unless the case is `full` and the model reported which frames it kept.
    """

    case: Case
    record: Record | None
    letter: str | None = None
    scored_by: str = ""
    hit: bool | None = None
    hit_chance: float | None = None
    overlap: float = 0.0  # of the interval that the reply names with that of the clip, where one is asked
    status: str = MISSING  # the record's
    answered: bool = False  # the model replied
    correct: bool = False  # the reply names the right option, or an interval that overlaps the clip's by half
    unanswered: bool = False  # there is a reply that names no option and no interval; it counts as wrong

    @property
    def chance(self) -> float:
        """Return how often a guess is right."""
        return chance(self.case)

    @property
    def cut_short(self) -> bool:
        """Return True if the reply ended at the token limit, where the adapter reports that."""
        return self.record is not None and self.record.finish_reason == CUT_SHORT


def score_case(case: Case, record: Record | None, score_by: str | None = None) -> ScoredCase:
    """Score one case, by a rule for the likelihoods of options where one is given."""
    if record is None:
        return ScoredCase(case, record)
    if record.reply is None:
        return ScoredCase(case, record, status=record.status)
    if case.asks_interval:
        letter, found = None, answered_interval(case, record)
        overlapping = 0.0 if found is None else overlap(found, case.shown_seconds)
        correct, unanswered = overlapping >= OVERLAP, found is None
    else:
        letter, overlapping = answered_letter(case, record, score_by), 0.0
        correct, unanswered = letter == case.answer, letter is None
    hit, hit_chance, kept = None, None, record.frames_kept
    needles = case.target_placements if kept and case.condition == "full" else ()
    if needles:
        needle_frames = sum([placed.stop - placed.start for placed in needles])
        hit, hit_chance = case.needle_frames(kept) > 0, luck(case.length, needle_frames, len(in_order(kept)))
    return ScoredCase(
        case=case,
        record=record,
        letter=letter,
        scored_by=scored_by(record, score_by),
        hit=hit,
        hit_chance=hit_chance,
        overlap=overlapping,
        status=record.status,
        answered=record.status == "ok",
        correct=correct,
        unanswered=unanswered,
    )


@functools.lru_cache(maxsize=2**16)
def luck(frames: int, of_needle: int, kept: int) -> float:
    """Return how often at least one of `kept` random frames is one of the needle's."""
    few, many = sorted((of_needle, kept))
    # The hypergeometric distribution at 0, a factor for each frame of the smaller set; whole numbers, rounded once.
    ways = math.prod(range(frames - few + 1, frames + 1))
    return (ways - math.prod(frames - many - number for number in range(few))) / ways


def reads_no_question(scored: ScoredCase) -> bool:
    """Return True if the model says of itself that it never reads the question."""
    return scored.record is not None and scored.record.settings.get("reads_question") is False

"""Decide which option a record answers with: the one its reply names, or the one that is likeliest by a chosen rule.

A model that scores options prefers short or long ones depending on how their likelihoods are summed, and prefers some
without any video. So records keep what every rule needs, a suite names one before the run, and tables apply it.
A record that lacks what the rule needs is read by its reply, as every record is where the suite names none.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

from niah.scoring import CUT_SHORT, extract_answer
from niah.scoring.interval import Interval, overlap, read_interval
from niah.types import LETTERS, Case, OptionLikelihood, Record

OVERLAP = 0.5  # of an interval with that of the clip, from which on it is right
LETTER = "letter"  # the option that a generated reply names


def _without_video(option: OptionLikelihood) -> float:
    """Return the likelihood of an option from the question alone."""
    if option.without_video is None:
        raise ValueError("minus_blind needs the likelihood without the video")
    return option.without_video


RULES: Mapping[str, Callable[[OptionLikelihood], float]] = {
    "sum": lambda option: option.log_probability,
    "per_token": lambda option: option.log_probability / option.tokens,
    "per_byte": lambda option: option.log_probability / option.bytes,
    "minus_blind": lambda option: option.log_probability - _without_video(option),
}
SCORE_BY = (LETTER, *RULES)
_letter = functools.lru_cache(maxsize=2**16)(extract_answer)  # a page scores each case several times


def answered_letter(case: Case, record: Record, score_by: str | None = None) -> str | None:
    """Return the letter of the option that a record with a reply answers with; None if its reply names none.

    Of equally likely options the first is taken, as adapters do.
    """
    if record.reply is None:
        raise ValueError(f"{record.case}: status {record.status!r} has no reply to score")
    options = record.option_likelihoods
    if score_by is None or options is None or scored_by(record, score_by) != score_by:
        return _letter(
            record.reply,
            case.options,
            in_thought=bool(record.prompt_opens_thought),
            cut_short=record.finish_reason == CUT_SHORT and record.mode == "generated",
        )
    scores = rule_scores(options, score_by)
    return LETTERS[scores.index(max(scores))]


def answered_interval(case: Case, record: Record) -> Interval | None:
    """Return the interval that the reply to such a question names, in seconds; None if it names none."""
    if record.reply is None:
        return None
    return read_interval(record.reply, case.length / case.fps, bool(record.prompt_opens_thought))


def chance(case: Case) -> float:
    """Return how often a guess is right: an option, or an interval of the clip's length that starts anywhere."""
    if not case.asks_interval:
        return 1 / len(case.options)
    placed = (*case.target_placements, *case.needles)[0]
    size, last = placed.stop - placed.start, case.length - (placed.stop - placed.start)
    shift = size // 3  # at most: two intervals of n frames, moved by d, overlap by (n - d) / (n + d)
    return (min(placed.start + shift, last) - max(placed.start - shift, 0) + 1) / (last + 1)


def is_correct(case: Case, record: Record, score_by: str | None = None) -> bool:
    """Return True if a record answers its case correctly. Raises ValueError if it has no reply."""
    if case.asks_interval:
        found = answered_interval(case, record)
        return found is not None and overlap(found, case.shown_seconds) >= OVERLAP
    return answered_letter(case, record, score_by) == case.answer


def rule_scores(options: Sequence[OptionLikelihood], score_by: str) -> tuple[float, ...]:
    """Return the score of each option by one of `RULES`."""
    return tuple(map(RULES[score_by], options))


def scored_by(record: Record, score_by: str | None = None) -> str:
    """Return how a record is scored: by the rule, if it holds what that needs, else as its mode says.

    The modes are "generated" (the letter or text of a reply is read) and "likelihood" (the model's own rule).
    """
    options = record.option_likelihoods
    if score_by is None or score_by == LETTER or not options:
        return record.mode
    if score_by == "minus_blind" and any(option.without_video is None for option in options):
        return record.mode
    return score_by


def can_score(record: Record, score_by: str) -> bool:
    """Return True if a record can be scored by a rule, or by the letter of a generated reply."""
    return record.mode == "generated" if score_by == LETTER else scored_by(record, score_by) == score_by

"""Checks of the cases that a run was asked, and of the answers it gave, each run by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from niah.analysis.checks.failed_check import FailedCheck
from niah.analysis.layout import format_length
from niah.analysis.load import RunData
from niah.analysis.scored import ScoredCase
from niah.analysis.table import median_frame_size, score_cases
from niah.option_scores import can_score
from niah.run.same_model import in_words
from niah.suite.config import FEW_REPEATS
from niah.types import CONDITIONS

MAX_UNANSWERED = 0.05  # of the replies; with more, the answer parser may not understand this model
DEVELOPMENT = "development"  # suite and world that models and weights are chosen by; parts are called development-...
SMALLER = 0.95  # of the pixels at the shortest length; rounding to whole patches moves them less
MIN_NEEDLES = 8  # with fewer, answer letters are unbalanced whatever one does
MAX_LETTER_EXCESS = 0.1  # above chance, for a model that always answers the most common letter


def check_cases(run: RunData) -> Iterator[FailedCheck]:
    """Check the suite: its rules, repeated frames, near-duplicates of needles, unbalanced letters, selected needles."""
    repeating = (case for case in run.cases if case.repeats and case.repeats >= FEW_REPEATS * case.length)
    repeated = tuple(case.id for case in repeating)
    if repeated:
        yield FailedCheck(
            "repeats",
            f"suite {run.suite}: {len(repeated)} of {len(run.cases)} cases show one frame in a hundred or more twice: "
            "they hold less footage than their length says",
            "warning",
            (run.model,),
            repeated,
        )
    yield from _rules(run)
    yield from _near_duplicates(run)
    yield from _letters(run)
    yield from _selection(run)
    yield from _earlier_models(run)


def check_answers(run: RunData) -> Iterator[FailedCheck]:
    """Check the answers: how they are scored, frames that shrink, replies without an option, cases without a reply."""
    scored = score_cases(run)
    yield from _other_rule(run, scored)
    answered = [one for one in scored if one.case.condition == "full" and one.answered]
    yield from _shrinking_frames(run, answered)
    yield from _enlarged_frames(run, answered)
    for condition in CONDITIONS:
        cases = [one for one in scored if one.case.condition == condition]
        if cases:
            yield from _unanswered(run, condition, cases)
            yield from _failed_cases(run, condition, cases)


def _rules(run: RunData) -> Iterator[FailedCheck]:
    """Yield that the suite follows old rules, or that models were chosen by it."""
    if 1 in run.versions:
        yield FailedCheck(
            "version_1",
            f"suite {run.suite} follows version 1 of the rules: its fixed depths alias with evenly spaced frames, so "
            "its numbers are never compared with those of version 2",
            "note",
            (run.model,),
        )
    named = DEVELOPMENT in (run.suite.partition("-")[0], run.world)
    chosen = run.used_to_choose or ("models and weights" if named else None)
    if chosen is not None:
        yield FailedCheck(
            "development",
            f"suite {run.suite} was used to choose {chosen}, so accuracies on it are too high for what was chosen: "
            "report another suite",
            "warning",
            (run.model,),
        )


def _near_duplicates(run: RunData) -> Iterator[FailedCheck]:
    """Yield the pairs of similar footage that both are part of what was asked."""
    needles = {case.needle for case in run.cases}
    for pair in run.near_duplicates:
        cases = tuple(
            case.id
            for case in run.cases
            if pair.first == case.needle and ({pair.second} & {case.needle, *(span.source for span in case.timeline)})
        )
        if cases or {pair.first, pair.second} <= needles:
            yield FailedCheck(
                "near_duplicate",
                f"suite {run.suite}: frame {pair.first_frame} of {pair.first} looks like frame {pair.second_frame} of "
                f"{pair.second} ({pair.distance} of 64 bits differ): if one is a copy, the needle is there twice",
                "warning",
                (run.model,),
                cases,
            )


def _letters(run: RunData) -> Iterator[FailedCheck]:
    """Yield that one answer letter is correct too often."""
    cases = [case for case in run.cases if case.condition == "full"] or run.cases  # options may turn from case to case
    cases = [case for case in cases if not case.asks_interval]
    if len({case.needle for case in cases}) < MIN_NEEDLES:
        return
    letters = Counter(case.answer for case in cases)
    letter, count = min(letters.items(), key=lambda item: (-item[1], item[0]))
    chance = sum(1 / len(case.options) for case in cases) / len(cases)
    if count / len(cases) > chance + MAX_LETTER_EXCESS:
        yield FailedCheck(
            "letters",
            f"suite {run.suite}: {letter} is right for {count} of {len(cases)} cases, so always answering {letter} "
            f"gets {count / len(cases):.1%} where chance is {chance:.1%}",
            "warning",
            (run.model,),
            tuple(case.id for case in run.cases if case.answer == letter),
        )


def _selection(run: RunData) -> Iterator[FailedCheck]:
    """Yield that the needles were selected by a model's answers, which is serious if it is the model asked."""
    if run.needles_selected_by is None:
        return
    text = f"{run.model}: the needles are those that {run.needles_selected_by} answers with needle_only and not blind"
    same_model = run.needles_selected_by.partition(" (")[0] == run.model.partition(" (")[0]  # with any arguments
    if same_model:
        text += ": they were selected because this model answered them, so its accuracy is too high"
    yield FailedCheck("selection", text, "warning" if same_model else "note", (run.model,))


def _earlier_models(run: RunData) -> Iterator[FailedCheck]:
    """Yield that answers of a model that has changed since are among the records."""
    for earlier in run.earlier_models:
        if earlier.differs is None:
            known, level = "a model whose identity was not recorded, perhaps another than now", "note"
        else:
            what = f": {in_words(list(earlier.differs))}" if earlier.differs else ""
            known, level = f"a model that has changed since{what}", "warning"
        yield FailedCheck(
            "earlier_model",
            f"{run.model}: answers (at least {earlier.records:,}) are of {known}, so its accuracy may be that of no "
            "single model; to ask them again: --fresh",
            level,
            (run.model,),
        )


def _other_rule(run: RunData, scored: Sequence[ScoredCase]) -> Iterator[FailedCheck]:
    """Yield that answers lack what the suite's rule for the likelihoods of options needs."""
    rule = run.score_by
    others = [one for one in scored if rule and one.record is not None and one.answered]
    others = [one for one in others if one.record is not None and not can_score(one.record, str(rule))]
    if others:
        yield FailedCheck(
            "score_by",
            f"{run.model}: suite {run.suite} scores by {rule}, for which {len(others)} answers lack what it needs; "
            "they were read from the replies, so its accuracy compares only with that of models read likewise",
            "warning",
            (run.model,),
            tuple(one.case.id for one in others),
        )


def _shrinking_frames(run: RunData, answered: Sequence[ScoredCase]) -> Iterator[FailedCheck]:
    """Yield that frames are shown smaller at some length than at the shortest: length then is not all that changes."""
    by = run.layout.grouping
    sizes: dict[str, tuple[int, int]] = {}
    for label in run.layout.length_labels()[by]:
        size = median_frame_size(one.record for one in answered if run.layout.length_label(one.case, by) == label)
        if size is not None:
            sizes[label] = size
    areas = {label: height * width for label, (height, width) in sizes.items()}
    shortest = next(iter(areas.values()), 0)
    smaller = [label for label, area in areas.items() if area < SMALLER * shortest]
    if smaller:
        shown = ", ".join(f"{format_length(label)}: {height}x{width}" for label, (height, width) in sizes.items())
        yield FailedCheck(
            "shrinking_frames",
            f"{run.model} is shown frames in fewer pixels as videos get longer (median height x width, {shown}), so a "
            "fall of accuracy over length may be one of resolution",
            "warning",
            (run.model,),
            tuple(one.case.id for one in answered if run.layout.length_label(one.case, by) in smaller),
        )


def _enlarged_frames(run: RunData, answered: Sequence[ScoredCase]) -> Iterator[FailedCheck]:
    """Yield that the suite's frames are smaller than what the model reads, and were enlarged for it."""
    sampling = run.decides.get("sampling", {})
    size = median_frame_size(one.record for one in answered)
    if size is None or sampling.get("fit") not in ("stretch", "pad"):
        return
    given = int(sampling["height"]), int(sampling["width"])
    if min(given) < min(size):
        yield FailedCheck(
            "enlarged_frames",
            f"{run.model} reads frames of {size[0]}x{size[1]} pixels, and suite {run.suite} gives it "
            f"{given[0]}x{given[1]}, enlarged: what it could see in its own size is not tested. Ask a suite with "
            "sampling: {fit: native}, or of that size",
            "warning",
            (run.model,),
        )


def _unanswered(run: RunData, condition: str, cases: Sequence[ScoredCase]) -> Iterator[FailedCheck]:
    """Yield that too many replies name no option."""
    replies = sum(one.answered for one in cases)
    unanswered = tuple(one.case.id for one in cases if one.unanswered)
    cut = sum(one.unanswered and one.cut_short for one in cases)
    if len(unanswered) > MAX_UNANSWERED * replies:
        yield FailedCheck(
            "unanswered",
            f"{run.model}, {condition}: {len(unanswered)} of {replies} replies name no option, or more than one; "
            "counted as wrong" + (f"; {cut} of them ended at the token limit: raise it" if cut else ""),
            "warning",
            (run.model,),
            unanswered,
        )
    elif cut:
        yield FailedCheck(
            "cut_short",
            f"{run.model}, {condition}: {cut} of {replies} replies ended at the token limit before they named an "
            "option; counted as wrong: raise the limit",
            "warning",
            (run.model,),
            tuple(one.case.id for one in cases if one.unanswered and one.cut_short),
        )


def _failed_cases(run: RunData, condition: str, cases: Sequence[ScoredCase]) -> Iterator[FailedCheck]:
    """Yield which cases have no answer: averages are over those that are left."""
    out_of_memory = [one for one in cases if one.status == "oom"]
    if out_of_memory:
        yield _without_answer(run, condition, "oom", "out of memory", out_of_memory, len(cases))
    others = [one for one in cases if one.status not in ("ok", "oom")]
    if others:
        counts = Counter(one.status for one in others)
        causes = ", ".join(f"{counts[name]} {name}" for name in ("error", "timeout", "missing") if counts[name])
        yield _without_answer(run, condition, "no_answer", causes, others, len(cases))


def _without_answer(
    run: RunData, condition: str, kind: str, causes: str, failed: Sequence[ScoredCase], count: int
) -> FailedCheck:
    """Describe the cases of one condition without an answer, and at which lengths they are.

    Args:
        run: the run they belong to.
        condition: their condition.
        kind: the kind of the failed check.
        causes: why they have none, for people.
        failed: the cases without an answer.
        count: how many cases the condition has.
    """
    by = run.layout.grouping
    found = {run.layout.length_label(one.case, by) for one in failed}
    lengths = [format_length(label) for label in run.layout.length_labels()[by] if label in found]
    where = f" (at {', '.join(lengths)})" if lengths else ""
    if len(failed) == count:
        consequence = "there is no accuracy at all"
    else:
        consequence = "averages over these cells are over the remaining cases, which may be the easier ones"
    return FailedCheck(
        kind,
        f"{run.model}, {condition}: {causes} in {len(failed)} of {count} cases{where}; {consequence}",
        "warning",
        (run.model,),
        tuple(one.case.id for one in failed),
    )

"""Checks of the cases that a run was asked, and of the answers it gave, each run by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from niah.analysis.checks.failed_check import FailedCheck
from niah.analysis.layout import format_length
from niah.analysis.load import RunData
from niah.analysis.table import ScoredCase, score_cases
from niah.types import CONDITIONS

MAX_UNANSWERED = 0.05  # of the replies; with more, the answer parser may not understand this model
DEVELOPMENT = "development"  # the suite that models and weights are chosen by; parts are called development-...
MIN_NEEDLES = 8  # with fewer, answer letters are unbalanced whatever one does
MAX_LETTER_EXCESS = 0.1  # above chance, for a model that always answers the most common letter


def check_cases(run: RunData) -> Iterator[FailedCheck]:
    """Check the suite: its rules, repeated frames, near-duplicates of needles, unbalanced letters, selected needles."""
    repeated = tuple(case.id for case in run.cases if case.repeats)
    if repeated:
        yield FailedCheck(
            "repeats",
            f"suite {run.suite}: {len(repeated)} of {len(run.cases)} cases show some frame twice: they hold less "
            "footage than their length says",
            "warning",
            (run.model,),
            repeated,
        )
    yield from _rules(run)
    yield from _near_duplicates(run)
    yield from _letters(run)
    yield from _selection(run)


def check_answers(run: RunData) -> Iterator[FailedCheck]:
    """Check the answers of each condition: replies that name no option, and cases without an answer."""
    scored = score_cases(run)
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
    if run.suite.partition("-")[0] == DEVELOPMENT:
        yield FailedCheck(
            "development",
            f"suite {run.suite} was used to choose models and weights, so accuracies on it are too high for those that "
            "were chosen: report another suite",
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


def _unanswered(run: RunData, condition: str, cases: Sequence[ScoredCase]) -> Iterator[FailedCheck]:
    """Yield that too many replies name no option."""
    replies = sum(one.answered for one in cases)
    unanswered = tuple(one.case.id for one in cases if one.unanswered)
    if len(unanswered) > MAX_UNANSWERED * replies:
        yield FailedCheck(
            "unanswered",
            f"{run.model}, {condition}: {len(unanswered)} of {replies} replies name no option, or more than one; "
            "counted as wrong",
            "warning",
            (run.model,),
            unanswered,
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

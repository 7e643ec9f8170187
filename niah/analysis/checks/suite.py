"""What is wrong with the cases a run was asked: footage shown twice, look-alikes, letters, chosen needles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from niah.analysis.checks.failed_check import FailedCheck
from niah.analysis.load import RunData

FEW = 8  # needles: of fewer, letters are unbalanced whatever one does
SURPLUS = 0.1  # above chance, for one who always answers the commonest letter


def about_suite(run: RunData) -> Iterator[FailedCheck]:
    """Yield the doubts about the cases of one run."""
    repeated = tuple(case.id for case in run.cases if case.repeats)
    if repeated:
        yield FailedCheck(
            "repeats",
            f"suite {run.suite}: {len(repeated)} of {len(run.cases)} cases show some frame twice: they hold less "
            "footage than their length says",
            "caution",
            (run.model,),
            repeated,
        )
    yield from _look_alikes(run)
    yield from _letters(run)
    yield from _chosen(run)


def _look_alikes(run: RunData) -> Iterator[FailedCheck]:
    """Yield the footage that looks like a needle, where both were asked about."""
    for pair in run.near_duplicates:
        cases = tuple(
            case.id
            for case in run.cases
            if pair.first == case.needle and ({pair.second} & {case.needle, *(span.source for span in case.timeline)})
        )
        needles = {case.needle for case in run.cases}
        if cases or {pair.first, pair.second} <= needles:
            yield FailedCheck(
                "near_duplicate",
                f"suite {run.suite}: frame {pair.first_frame} of {pair.first} looks like frame {pair.second_frame} of "
                f"{pair.second} ({pair.distance} of 64 bits differ): if one is a copy, the needle is there twice",
                "caution",
                (run.model,),
                cases,
            )


def _letters(run: RunData) -> Iterator[FailedCheck]:
    """Yield that always answering one letter would pay."""
    needles = {case.needle: case for case in run.cases}
    if len(needles) < FEW:
        return
    letters = Counter(case.answer for case in needles.values())
    letter, count = min(letters.items(), key=lambda item: (-item[1], item[0]))
    chance = sum(1 / len(case.options) for case in needles.values()) / len(needles)
    if count / len(needles) > chance + SURPLUS:
        yield FailedCheck(
            "letters",
            f"suite {run.suite}: {letter} is right for {count} of {len(needles)} needles, so always answering {letter} "
            f"gets {count / len(needles):.1%} where chance is {chance:.1%}",
            "caution",
            (run.model,),
            tuple(case.id for case in run.cases if case.answer == letter),
        )


def _chosen(run: RunData) -> Iterator[FailedCheck]:
    """Yield that a model chose the needles, above all if it is the one asked."""
    if run.needles_selected_by is None:
        return
    own = run.needles_selected_by.partition(" (")[0] == run.model.partition(" (")[0]
    text = f"{run.model}: the needles are those that {run.needles_selected_by} answers with needle_only and not blind"
    yield FailedCheck(
        "chosen",
        text + (": a model is asked what it was seen to answer, so its accuracy is too high" if own else ""),
        "serious" if own else "note",
        (run.model,),
    )

"""What is wrong with the answers of one run: replies that cannot be read, cases that have none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from niah.analysis.checks.failed_check import FailedCheck
from niah.analysis.layout import format_length
from niah.analysis.load import RunData
from niah.analysis.table import ScoredCase, score_case
from niah.types import CONDITIONS

UNANSWERED = 0.05  # share above which the reading of replies deserves a look


def about_answers(run: RunData) -> Iterator[FailedCheck]:
    """Yield the doubts about each condition of one run."""
    scored = [score_case(case, run.records.get(case.id)) for case in run.cases]
    for condition in CONDITIONS:
        part = [one for one in scored if one.case.condition == condition]
        if not part:
            continue
        yield from _unanswered(run, condition, part)
        yield from _failed(run, condition, part)


def _unanswered(run: RunData, condition: str, part: Sequence[ScoredCase]) -> Iterator[FailedCheck]:
    """Yield that too many replies name no option."""
    answered = [one for one in part if one.status == "ok"]
    unread = [one.case.id for one in answered if one.unanswered]
    if len(unread) > UNANSWERED * len(answered):
        yield FailedCheck(
            "unanswered",
            f"{run.model}, {condition}: {len(unread)} of {len(answered)} replies name no option, or more than one; "
            "counted as wrong",
            "caution",
            (run.model,),
            tuple(unread),
        )


def _failed(run: RunData, condition: str, part: Sequence[ScoredCase]) -> Iterator[FailedCheck]:
    """Yield which cases are in no accuracy, so that an average over cells is one over those that are left."""
    without = [one for one in part if one.status != "ok"]
    if not without:
        return
    counts = Counter(one.status for one in without)
    if counts["oom"]:
        yield _doubt(run, condition, "oom", "out of memory", [one for one in without if one.status == "oom"], len(part))
    others = [one for one in without if one.status != "oom"]
    if others:
        what = ", ".join(f"{counts[name]} {name}" for name in ("error", "timeout", "missing") if counts[name])
        yield _doubt(run, condition, "no_answer", what, others, len(part))


def _doubt(
    run: RunData, condition: str, kind: str, what: str, without: Sequence[ScoredCase], count: int
) -> FailedCheck:
    """Return the doubt about cases that have no answer, and at which lengths."""
    by = run.layout.grouping
    held = {run.layout.length_label(one.case, by) for one in without}
    lengths = [length for length in run.layout.length_labels()[by] if length in held]
    where = f" (at {', '.join(format_length(length) for length in lengths)})" if lengths else ""
    left = (
        "there is no accuracy at all"
        if len(without) == count
        else "every average that holds these cells is one over the cases left, which may be the easier ones"
    )
    return FailedCheck(
        kind,
        f"{run.model}, {condition}: {what} in {len(without)} of {count} cases{where}; {left}",
        "caution",
        (run.model,),
        tuple(one.case.id for one in without),
    )

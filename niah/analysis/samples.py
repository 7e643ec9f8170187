"""Accuracy over all replies that a model drew of a question, and what of its variance is luck of the draw.

Tables and figures score one reply of a case, the first; where several were drawn at a temperature, each is as good.
How much more of them would narrow an interval follows from the split: needles are not multiplied by drawing again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from niah.analysis.load import RunData
from niah.analysis.paragraphs import paragraphs
from niah.analysis.scored import ScoredCase, score_case
from niah.analysis.stats.components import sampling_components
from niah.analysis.stats.observations import Observations
from niah.analysis.stats.proportions import clustered_interval
from niah.analysis.table import score_cases

MANY = float("inf")


def samples_summary(runs: Sequence[RunData]) -> str:
    """Return a paragraph for each run that drew several replies of a question."""
    return paragraphs(runs, "all replies drawn", _lines)


def sample_scores(scored: ScoredCase) -> list[float]:
    """Return 1 for each right reply of a case and 0 for each wrong one."""
    record = scored.record
    assert record is not None
    replies = (
        dataclasses.replace(record, reply=one.text, finish_reason=one.finish_reason, samples=())
        for one in record.samples
    )
    return [float(score_case(scored.case, reply).correct) for reply in replies]


def _lines(run: RunData) -> list[str]:
    """Return accuracy, agreement and the split of the variance; nothing where one reply was taken of each case."""
    drawn = [one for one in score_cases(run, "full") if one.answered and one.record is not None and one.record.samples]
    if not drawn:
        return []
    scores = [sample_scores(one) for one in drawn]
    cases = [one.case for one in drawn]
    seen = Observations.of(
        (case.needle_source, case.haystack, (score,)) for case, own in zip(cases, scores, strict=True) for score in own
    )
    accuracy = float(seen.values.sum()) / len(seen)
    low, high = clustered_interval(seen)
    interval = "" if low is None or high is None else f" [{low:.1%}, {high:.1%}]"
    first = sum(own[0] for own in scores) / len(scores)
    agreed = sum(len(set(own)) == 1 for own in scores)
    lines = [
        f"accuracy {accuracy:.1%}{interval} of {len(seen)} replies to {len(drawn)} cases; "
        f"the first of each {first:.1%}",
        f"right or wrong alike in all replies: {agreed} of {len(drawn)} cases",
    ]
    found = sampling_components([(case.needle_source, own) for case, own in zip(cases, scores, strict=True)])
    if found is None or not found.total:
        return lines
    parts = [("drawing", found.sampling), ("case", found.case), ("needle", found.needle)]
    split = ", ".join(f"{name} {variance / found.total:.0%}" for name, variance in parts)
    count = len(seen) / len(drawn)
    errors = [found.standard_error(number) for number in (1, count, MANY)]
    return [
        *lines,
        f"variance of one reply: {split}",
        "standard error, points: "
        + ", ".join(
            f"{100 * error:.1f} with {name}"
            for name, error in zip(("1 reply", f"{count:g} replies", "any number of them"), errors, strict=True)
        ),
    ]

"""Comparisons as printed text, which never claims more than the numbers support.

The verdict is about the primary comparison, the one that was meant beforehand. All secondary ones are corrected
together by Holm's method, as one of many is likely to look significant by chance.
"""

from __future__ import annotations

from collections.abc import Sequence

from niah.analysis.compare.comparisons import (
    PairedRuns,
    SecondaryComparison,
    compare_pairs,
    primary_comparison,
    secondary_comparisons,
)
from niah.analysis.stats.paired import Difference, holm
from niah.analysis.stats.regression import MIN_HAYSTACKS
from niah.types import UserError

SIGNIFICANT = 0.05


def comparison_page(paired_runs: Sequence[PairedRuns]) -> str:
    """Return a verdict on each pair of runs, then the secondary comparisons.

    Raises UserError if a pair has no case that both answered.
    """
    for paired in paired_runs:
        if not paired.answered():
            raise UserError(
                f"{paired.first.model} and {paired.second.model} have no case that both answered "
                f"({paired.left_out()}), so there is nothing to compare"
            )
    found = [primary_comparison(paired) for paired in paired_runs]
    comparable = [_same_mode(paired, condition) for paired, (condition, _) in zip(paired_runs, found, strict=True)]
    p_values = [
        difference.p_value
        for (_, difference), same in zip(found, comparable, strict=True)
        if same and difference.p_value is not None
    ]
    corrected = iter(holm(p_values))
    parts = []
    for paired, (condition, difference), same in zip(paired_runs, found, comparable, strict=True):
        if same:
            p_value = next(corrected) if difference.p_value is not None else None
            lines = [verdict(paired, condition, difference, p_value, len(p_values)), *_left_out(paired, condition)]
        else:
            lines = [_no_verdict(paired, condition, difference), *_left_out(paired, condition)]
        parts.append("\n".join(lines))
    judged = [paired for paired, same in zip(paired_runs, comparable, strict=True) if same]
    return "\n\n".join([*parts, *_secondary(judged)])


def verdict(paired: PairedRuns, condition: str, found: Difference, p_value: float | None, comparisons: int = 1) -> str:
    """Return which model is better on one condition, by how much, and the smallest detectable difference.

    Args:
        paired: the two runs.
        condition: the condition that was compared.
        found: the comparison.
        p_value: corrected for the number of comparisons; None if there is no test.
        comparisons: how many pairs of runs were compared.
    """
    one, other = paired.first.model, paired.second.model
    scores = _scores(paired, condition, found)
    if p_value is None or found.low is None or found.high is None or found.detectable is None:
        return f"{scores}.\nNothing can be said beyond these cases: all come from one needle source"
    if p_value < SIGNIFICANT and found.value:
        said = _better(one, other, found, found.low, found.high)
    else:
        said = _no_difference(one, other, found, found.low, found.high)
    equals = "" if p_value < 0.001 else "= "
    method = (
        f"{found.method}, {_clusters(found)}, p {equals}{_format_p(p_value)}"
        + (f", corrected for {comparisons} pairs" if comparisons > 1 else "")
    )  # fmt: skip
    detectable = f"The smallest detectable difference (80 % power) is {100 * found.detectable:.1f} points"
    return f"{scores}.\n{said}\n({method}).\n{detectable}."


def _same_mode(paired: PairedRuns, condition: str) -> bool:
    """Return True if the answers of both models came about in the same way, or if one of them guesses."""
    first, second = paired.modes(condition)
    return first == second or paired.first.guesses or paired.second.guesses


def _no_verdict(paired: PairedRuns, condition: str, found: Difference) -> str:
    """Return the two accuracies, and that their answering modes differ."""
    first, second = paired.modes(condition)
    return (
        f"{_scores(paired, condition, found)}.\nNo verdict: the answers of {paired.first.model} are {first}, those of "
        f"{paired.second.model} {second}, and a difference may come from that; run one of them in the other's mode, "
        "or score both by one rule (score_by in their suite)."
    )


def _scores(paired: PairedRuns, condition: str, found: Difference) -> str:
    """Return the accuracy of both models."""
    return (
        f"{condition}: {paired.first.model} {found.first:.1%}, {paired.second.model} {found.second:.1%} of "
        f"{found.cases} cases both answered"
    )


def _better(one: str, other: str, found: Difference, low: float, high: float) -> str:
    """Return which model is better, and by how much."""
    better, worse = one, other
    if found.value < 0:
        better, worse = other, one
        low, high = -high, -low
    return (
        f"{better} is better than {worse} by {abs(100 * found.value):.1f} points {_interval(low, high)} {_scope(found)}"
    )


def _no_difference(one: str, other: str, found: Difference, low: float, high: float) -> str:
    """Return that no difference is shown, and how large one may be."""
    said = (
        f"No significant difference: {one} - {other} is {100 * found.value:+.1f} points {_interval(low, high)} "
        f"{_scope(found)}. Neither is better by more than {100 * max(abs(low), abs(high)):.1f} points"
    )
    if low > 0 or high < 0:
        said += "; the interval excludes 0, but the test is not significant"
    return said


def _left_out(paired: PairedRuns, condition: str) -> list[str]:
    """Return which cases are not in the verdict, and the difference with those counted as wrong."""
    why = paired.left_out(condition)
    if not why:
        return []
    pairs = paired.of(condition)
    value = compare_pairs(pairs).value
    return [
        f"Left out, as one of the two has no answer: {why}. Counted as wrong, {paired.first.model} - "
        f"{paired.second.model} would be {100 * value:+.1f} points of {len(pairs)} cases."
    ]


def _secondary(paired_runs: Sequence[PairedRuns]) -> list[str]:
    """Return the table of secondary comparisons, all corrected together."""
    rows = [(paired, comparison) for paired in paired_runs for comparison in secondary_comparisons(paired)]
    tested = [(paired, one, one.found.p_value) for paired, one in rows if one.found.p_value is not None]
    if not tested:
        return []
    corrected = holm([p_value for _, _, p_value in tested])
    lines = [
        f"secondary comparisons: differences in points, p corrected together for {len(tested)} of them (Holm); "
        "* marks those below 0.05"
    ]
    previous = None
    for (paired, comparison, _), p_value in zip(tested, corrected, strict=True):
        if paired is not previous:
            lines.append(f"{paired.first.model} - {paired.second.model}")
            previous = paired
        lines.append(_row(comparison, p_value))
    lines += [f"  {one.what}: one needle source, nothing to test" for _, one in rows if one.found.p_value is None]
    return ["\n".join(lines)]


def _row(comparison: SecondaryComparison, p_value: float) -> str:
    """Return one secondary comparison."""
    found = comparison.found
    assert found.low is not None and found.high is not None
    count = f"{found.cases:>5}" if isinstance(found, Difference) else comparison.unit
    mark = "*" if p_value < SIGNIFICANT else " "
    value = f"{100 * found.value:>+7.1f}  {_interval(found.low, found.high):<16}"
    return f"  {comparison.what:<22}{value} {_format_p(p_value):>6}{mark} {count}"


def _scope(found: Difference) -> str:
    """Return what a difference holds for."""
    if found.haystacks == 0:
        return "for needles like these"
    if found.haystacks_clustered:
        return "for needles and haystacks like these"
    return f"on these {found.haystacks} haystacks" if found.haystacks > 1 else "on this one haystack"


def _clusters(found: Difference) -> str:
    """Return what answers are clustered by or paired in."""
    sources = f"{found.sources} needle sources"
    if found.haystacks_clustered:
        return f"{sources} and {found.haystacks} haystacks"
    if 0 < found.haystacks < MIN_HAYSTACKS:
        return f"{sources}, haystacks taken as fixed: fewer than {MIN_HAYSTACKS}"
    return sources


def _interval(low: float, high: float) -> str:
    """Return an interval in percentage points."""
    return f"[{100 * low:.1f}, {100 * high:.1f}]"


def _format_p(p_value: float) -> str:
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"

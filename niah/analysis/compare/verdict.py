"""Comparisons in words: never more than the numbers carry.

The verdict is about the one comparison that was meant beforehand, `full` over all cases. Everything further is
corrected together, by Holm's rule, because somebody who looks twenty times finds something.
"""

from __future__ import annotations

from collections.abc import Sequence

from niah.analysis.compare.comparisons import Line, PairedRuns, further, pairs, primary
from niah.analysis.stats.bootstrap import MIN_HAYSTACKS
from niah.analysis.stats.paired import Difference, holm, paired_difference
from niah.types import UserError

SURE = 0.05


def comparison_page(matches: Sequence[PairedRuns]) -> str:
    """Return the verdicts on some pairs of runs and the further comparisons. Raises UserError without an answer."""
    for match in matches:
        if not match.answered():
            raise UserError(
                f"{match.first.model} and {match.second.model} have no case that both answered "
                f"({match.unanswered()}), so there is nothing to compare"
            )
    found = [primary(match) for match in matches]
    known = [paired_difference.p for _, paired_difference in found if paired_difference.p is not None]
    corrected = iter(holm(known))
    parts = []
    for match, (condition, result) in zip(matches, found, strict=True):
        p = next(corrected) if result.p is not None else None
        words = [verdict(match, condition, result, p, len(known)), *_left_out(match, condition)]
        parts.append("\n".join(words))
    return "\n\n".join([*parts, *_further(matches)])


def verdict(match: PairedRuns, condition: str, found: Difference, p: float | None, comparisons: int = 1) -> str:
    """Return which model is better on one condition, by how much, and what could not have been seen.

    `p` is corrected for the number of `comparisons`; None where nothing can be said of chance.
    """
    one, other = match.first.model, match.second.model
    scores = f"{condition}: {one} {found.first:.1%}, {other} {found.second:.1%} of {found.cases} cases both answered"
    if p is None or found.low is None or found.high is None or found.detectable is None:
        return f"{scores}.\nNothing can be said beyond these cases: all come from one needle source"
    value, low, high = found.value, found.low, found.high
    sign = "" if p < 0.001 else "= "
    how = f"{found.method}, {_reach(found)}, p {sign}{_p(p)}{_corrected(comparisons)}"
    if p < SURE and value:
        better, worse = (one, other) if value > 0 else (other, one)
        bounds = (low, high) if value > 0 else (-high, -low)
        said = f"{better} is better than {worse} by {abs(100 * value):.1f} points {_between(*bounds)} {_where(found)}"
    else:
        said = (
            f"No difference is shown: {one} - {other} is {100 * value:+.1f} points {_between(low, high)} "
            f"{_where(found)}. Neither is better by more than {100 * max(abs(low), abs(high)):.1f} points"
        )
        if low > 0 or high < 0:
            said += "; the interval leaves out 0, the test does not"
    seen = f"A difference under {100 * found.detectable:.1f} points would go unseen more than one time in five"
    return f"{scores}.\n{said}\n({how}).\n{seen}."


def _left_out(match: PairedRuns, condition: str) -> list[str]:
    """Return what is not in the verdict, and what it would be with those cases counted as wrong."""
    why = match.unanswered(condition)
    if not why:
        return []
    whole = [pair for pair in match.outcomes if pair[0].case.condition == condition]
    value = paired_difference(pairs(whole), "left out").value
    return [
        f"Left out, as one of the two has no answer: {why}. Counted as wrong, {match.first.model} - "
        f"{match.second.model} would be {100 * value:+.1f} points of {len(whole)} cases."
    ]


def _further(matches: Sequence[PairedRuns]) -> list[str]:
    """Return the table of further comparisons, all corrected together."""
    rows = [(match, line) for match in matches for line in further(match)]
    tested = [(match, line, line.found.p) for match, line in rows if line.found.p is not None]
    if not tested:
        return []
    corrected = holm([p for _, _, p in tested])
    lines = [
        f"further comparisons: differences in points, p corrected together for {len(tested)} of them (Holm); "
        "* marks those below 0.05"
    ]
    last = None
    for (match, line, _), p in zip(tested, corrected, strict=True):
        if match is not last:
            lines.append(f"{match.first.model} - {match.second.model}")
            last = match
        lines.append(_row(line, p))
    lines += [f"  {line.what}: one needle source, nothing to test" for _, line in rows if line.found.p is None]
    return ["\n".join(lines)]


def _row(line: Line, p: float) -> str:
    """Return one further comparison."""
    found = line.found
    assert found.low is not None and found.high is not None
    count = f"{found.cases:>5}" if isinstance(found, Difference) else line.unit
    mark = "*" if p < SURE else " "
    value = f"{100 * found.value:>+7.1f}  {_between(found.low, found.high):<16}"
    return f"  {line.what:<22}{value} {_p(p):>6}{mark} {count}"


def _where(found: Difference) -> str:
    """Return what a difference speaks for."""
    if found.haystacks == 0:
        return "for needles like these"
    if found.generalises:
        return "for needles and haystacks like these"
    return f"on these {found.haystacks} haystacks" if found.haystacks > 1 else "on this one haystack"


def _reach(found: Difference) -> str:
    """Return what was resampled or paired."""
    few = f", haystacks as they are: fewer than {MIN_HAYSTACKS}" if 0 < found.haystacks < MIN_HAYSTACKS else ""
    return f"{found.sources} needle sources" + (f" and {found.haystacks} haystacks" if found.generalises else few)


def _corrected(comparisons: int) -> str:
    return f", corrected for {comparisons} pairs" if comparisons > 1 else ""


def _between(low: float, high: float) -> str:
    """Return an interval in points."""
    return f"[{100 * low:.1f}, {100 * high:.1f}]"


def _p(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"

"""What the controls say against a `full` accuracy: leaks, a clip that cannot be read, needles that stand out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from scipy.stats import binomtest

from niah.analysis.checks.failed_check import FailedCheck
from niah.analysis.layout import ALL
from niah.analysis.load import RunData
from niah.analysis.stats.bootstrap import Observation, cluster_bootstrap, proportion
from niah.analysis.stats.paired import unpaired_difference
from niah.analysis.stats.proportions import clustered_interval, wilson_interval
from niah.analysis.table import ScoredCase, observations, score_case

ONE_SIDED = 0.025  # as of a 95 % interval
SEARCHED = " (every type and control was looked at: by luck alone, one look in 40 finds this)"
LEAKS = {
    "blind": "the question alone gives answers away",
    "no_needle": "haystack and question alone give answers away",
    "swapped": "answers come from something other than the needle asked about",
}
Part = Mapping[str, Sequence[ScoredCase]]  # by condition


def about_controls(run: RunData) -> Iterator[FailedCheck]:
    """Yield the doubts that the controls of one run raise, over all question types and for each."""
    scored = [score_case(case, run.records[case.id]) for case in run.cases if case.id in run.records]
    types = sorted({case.type for case in run.cases})
    readable = True
    for kind in (ALL, *(types if len(types) > 1 else ())):
        part: dict[str, list[ScoredCase]] = {}
        for one in scored:
            if one.status == "ok" and kind in (ALL, one.case.type):
                part.setdefault(one.case.condition, []).append(one)
        yield from _leaks(run, kind, part)
        if kind == ALL or readable:  # what holds of all types is not said again of each
            found = list(_unreadable(run, kind, part))
            readable = readable and not (kind == ALL and found)
            yield from found
        if "novelty" in run.model and kind == ALL:
            yield from _stands_out(run, part.get("full", []))
    yield from _unasked(run)


def _leaks(run: RunData, kind: str, part: Part) -> Iterator[FailedCheck]:
    """Yield the controls that lie above chance, or above what the question alone gives."""
    blind = observations(part.get("blind", []))
    for condition, meaning in LEAKS.items():
        answers = part.get(condition, [])
        if not answers:
            continue
        found, chance = observations(answers), _chance(answers)
        # One needle is asked many times, so both intervals must agree: the one over cases, and the one over sources.
        right = int(sum(one.correct for one in answers))
        intervals = (wilson_interval(right, len(answers)), clustered_interval(found, _name(run, condition, kind)))
        lows = [low for low, _ in intervals if low is not None]
        above = [f"chance, {chance:.1%}"] if min(lows) > chance else []
        surplus = (
            unpaired_difference(found, blind, _name(run, condition, kind, "blind")) if condition != "blind" else None
        )
        if surplus is not None and surplus.low > 0:
            above.append(f"blind, by {_points(surplus.value, surplus.low, surplus.high)}")
        if above:
            low, high = next((pair for pair in reversed(intervals) if pair[0] is not None), (0.0, 1.0))
            yield FailedCheck(
                f"{condition}_above",
                f"{run.model}, {condition}{_of_type(kind)}: {right / len(answers):.1%} [{low:.1%}, {high:.1%}] is "
                f"above {' and above '.join(above)}: {meaning}" + ("" if kind == ALL else SEARCHED),
                "serious" if kind == ALL else "caution",
                (run.model,),
                _names(answers),
            )


def _unreadable(run: RunData, kind: str, part: Part) -> Iterator[FailedCheck]:
    """Yield that the clip by itself is not answered better than the question by itself."""
    alone, blind = part.get("needle_only", []), part.get("blind", [])
    if not alone or not blind:
        return
    surplus = unpaired_difference(observations(alone), observations(blind), _name(run, "needle_only", kind, "blind"))
    if surplus is not None and surplus.low > 0:
        return
    words = "one needle source cannot tell" if surplus is None else _points(surplus.value, surplus.low, surplus.high)
    yield FailedCheck(
        "unreadable",
        f"{run.model}, needle_only{_of_type(kind)} is not surely above blind ({words}): it may not understand the "
        "clips at all, so its heatmap says nothing about length",
        "serious" if kind == ALL else "caution",
        (run.model,),
        _names([*alone, *blind]),
    )


def _stands_out(run: RunData, full: Sequence[ScoredCase]) -> Iterator[FailedCheck]:
    """Yield that a model that never reads the question keeps needles more often than random frames would."""
    kept = [one for one in full if one.kept]
    if not kept:
        return
    expected = sum(one.hit_chance for one in kept) / len(kept)
    hits = sum(one.hit for one in kept)
    points = [Observation(one.case.needle_source, one.case.haystack, (one.hit - one.hit_chance, 1.0)) for one in kept]
    surplus = cluster_bootstrap(points, proportion, _name(run, "full", ALL, "kept"))
    sure = binomtest(hits, len(kept), min(expected, 1.0), alternative="greater").pvalue < ONE_SIDED
    if sure and (surplus is None or surplus.low > 0):
        yield FailedCheck(
            "stands_out",
            f"{run.model} kept the needle in {hits / len(kept):.1%} of {len(kept)} cases, as many random frames would "
            f"in {expected:.1%}: it stands out to one who never read the question, so finding it proves little",
            "serious",
            (run.model,),
            _names([one for one in kept if one.hit]),
        )


def _unasked(run: RunData) -> Iterator[FailedCheck]:
    """Yield which of the two indispensable controls are not among the cases."""
    asked = {case.condition for case in run.cases}
    lacking = [name for name in ("needle_only", "blind") if name not in asked]
    if lacking and "full" in asked:
        wants = {"needle_only": "whether the clips can be read", "blind": "whether the questions can be guessed"}
        yield FailedCheck(
            "unasked",
            f"{run.model}: {' and '.join(lacking)} not asked: nothing here says "
            f"{' or '.join(wants[name] for name in lacking)}",
            "note",
            (run.model,),
        )


def _chance(answers: Sequence[ScoredCase]) -> float:
    return sum(1 / len(one.case.options) for one in answers) / len(answers)


def _names(answers: Sequence[ScoredCase]) -> tuple[str, ...]:
    return tuple(one.case.id for one in answers)


def _name(run: RunData, *words: str) -> str:
    """Return what the resampling is seeded with."""
    return "/".join(("doubts", run.model, run.suite, *words))


def _of_type(kind: str) -> str:
    return "" if kind == ALL else f" on {kind}"


def _points(value: float, low: float, high: float) -> str:
    """Return a difference of shares in points, with its interval."""
    return f"{100 * value:.1f} points [{100 * low:.1f}, {100 * high:.1f}]"

"""What the control conditions say about `full` accuracy: leaks, clips that are not understood, conspicuous needles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from scipy.stats import binomtest

from niah.analysis.checks.failed_check import FailedCheck
from niah.analysis.layout import ALL
from niah.analysis.load import RunData
from niah.analysis.stats.bootstrap import Estimate, Observation, cluster_bootstrap, proportion
from niah.analysis.stats.paired import unpaired_difference
from niah.analysis.stats.proportions import clustered_interval, wilson_interval
from niah.analysis.table import ScoredCase, observations, score_cases

ONE_SIDED = 0.025  # the level that corresponds to a 95 % interval
UNCORRECTED = " (each type and control is checked, without correction: by chance alone, one check in 40 finds this)"
LEAKS = {
    "blind": "the question alone gives answers away",
    "no_needle": "haystack and question alone give answers away",
    "swapped": "answers come from something other than the needle asked about",
}
NECESSARY = {"needle_only": "whether the clips are understood", "blind": "whether the questions can be guessed"}
Answers = Mapping[str, Sequence[ScoredCase]]  # by condition, of one type or all


def check_controls(run: RunData) -> Iterator[FailedCheck]:
    """Check the control conditions of a run, over all question types and for each."""
    answered = [scored for scored in score_cases(run) if scored.answered]
    types = sorted({case.type for case in run.cases})
    understood = True
    for kind in (ALL, *(types if len(types) > 1 else ())):
        answers: dict[str, list[ScoredCase]] = {}
        for scored in answered:
            if kind in (ALL, scored.case.type):
                answers.setdefault(scored.case.condition, []).append(scored)
        yield from _leaks(run, kind, answers)
        if kind == ALL or understood:  # what holds for all types is not repeated for each
            failed = list(_not_understood(run, kind, answers))
            understood = understood and not (kind == ALL and failed)
            yield from failed
        if kind == ALL:
            yield from _conspicuous_needles(run, answers.get("full", []))
    yield from _not_asked(run)


def _leaks(run: RunData, kind: str, answers: Answers) -> Iterator[FailedCheck]:
    """Yield the controls whose accuracy is above chance, or above that of the question alone."""
    blind = observations(answers.get("blind", []))
    for condition, meaning in LEAKS.items():
        cases = answers.get(condition, [])
        if not cases:
            continue
        correct = sum(scored.correct for scored in cases)
        chance = sum(1 / len(scored.case.options) for scored in cases) / len(cases)
        # A needle is asked many times, so both intervals must lie above: the one over cases, and the clustered one.
        low, high = wilson_interval(correct, len(cases))
        cluster_low, cluster_high = clustered_interval(observations(cases), _seed(run, condition, kind))
        above = []
        if min(bound for bound in (low, cluster_low) if bound is not None) > chance:
            above.append(f"above chance, {chance:.1%}")
        if condition != "blind":
            excess = unpaired_difference(observations(cases), blind, _seed(run, condition, kind, "blind"))
            if excess is not None and excess.low > 0:
                above.append(f"above blind, by {_points(excess)}")
        if above:
            if cluster_low is not None:
                low, high = cluster_low, cluster_high
            yield FailedCheck(
                f"{condition}_above",
                f"{run.model}, {condition}{_of_type(kind)}: {correct / len(cases):.1%} [{low:.1%}, {high:.1%}] is "
                f"{' and '.join(above)}: {meaning}" + ("" if kind == ALL else UNCORRECTED),
                "serious" if kind == ALL else "caution",
                (run.model,),
                _ids(cases),
            )


def _not_understood(run: RunData, kind: str, answers: Answers) -> Iterator[FailedCheck]:
    """Yield that the clip alone is not answered better than the question alone."""
    needle_only, blind = answers.get("needle_only", []), answers.get("blind", [])
    if not needle_only or not blind:
        return
    excess = unpaired_difference(
        observations(needle_only), observations(blind), _seed(run, "needle_only", kind, "blind")
    )
    if excess is not None and excess.low > 0:
        return
    evidence = "one needle source is not enough to tell" if excess is None else _points(excess)
    yield FailedCheck(
        "not_understood",
        f"{run.model}, needle_only{_of_type(kind)} is not significantly above blind ({evidence}): it may not "
        "understand the clips at all, so its heatmap says nothing about length",
        "serious" if kind == ALL else "caution",
        (run.model,),
        _ids([*needle_only, *blind]),
    )


def _conspicuous_needles(run: RunData, full: Sequence[ScoredCase]) -> Iterator[FailedCheck]:
    """Yield that a model that never reads the question keeps needle frames more often than random frames would.

    Such a model says so itself: the settings in its replies hold `reads_question: false`.
    """
    kept = [
        scored
        for scored in full
        if scored.hit is not None
        and scored.record is not None
        and scored.record.settings.get("reads_question") is False
    ]
    if not kept:
        return
    expected = sum(scored.hit_chance or 0.0 for scored in kept) / len(kept)
    hits = sum(bool(scored.hit) for scored in kept)
    points = [
        Observation(
            scored.case.needle_source, scored.case.haystack, (bool(scored.hit) - (scored.hit_chance or 0.0), 1.0)
        )
        for scored in kept
    ]
    excess = cluster_bootstrap(points, proportion, _seed(run, "full", ALL, "kept"))
    significant = binomtest(hits, len(kept), min(expected, 1.0), alternative="greater").pvalue < ONE_SIDED
    if significant and (excess is None or excess.low > 0):
        yield FailedCheck(
            "conspicuous_needles",
            f"{run.model} kept the needle in {hits / len(kept):.1%} of {len(kept)} cases, as many random frames would "
            f"in {expected:.1%}: needles stand out to a model that never reads the question, so finding them proves "
            "little",
            "serious",
            (run.model,),
            _ids([scored for scored in kept if scored.hit]),
        )


def _not_asked(run: RunData) -> Iterator[FailedCheck]:
    """Yield which of the two necessary controls are not among the cases."""
    asked = {case.condition for case in run.cases}
    lacking = [name for name in NECESSARY if name not in asked]
    if lacking and "full" in asked:
        yield FailedCheck(
            "not_asked",
            f"{run.model}: {' and '.join(lacking)} not asked: nothing here says "
            f"{' or '.join(NECESSARY[name] for name in lacking)}",
            "note",
            (run.model,),
        )


def _ids(scored: Sequence[ScoredCase]) -> tuple[str, ...]:
    return tuple(one.case.id for one in scored)


def _seed(run: RunData, *words: str) -> str:
    """Return the name that seeds the resampling; changing it ("doubts") would change printed intervals."""
    return "/".join(("doubts", run.model, run.suite, *words))


def _of_type(kind: str) -> str:
    return "" if kind == ALL else f" on {kind}"


def _points(difference: Estimate) -> str:
    """Return a difference of proportions in percentage points, with its interval."""
    return f"{100 * difference.value:.1f} points [{100 * difference.low:.1f}, {100 * difference.high:.1f}]"

"""What the control conditions say about `full` accuracy: leaks, clips that are not understood, conspicuous needles.

All leak checks of a run, every control with every question type, are one family: their p-values are corrected together
(Holm), so that a model that guesses is accused of anything in at most 5 % of runs. `full` cases in which the model used
no frame of the needle are a control that comes for free.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from niah.analysis.checks.failed_check import FailedCheck
from niah.analysis.exposure import exposure_group
from niah.analysis.kept_frames import kept_frames
from niah.analysis.layout import ALL
from niah.analysis.load import RunData
from niah.analysis.scored import ScoredCase, reads_no_question
from niah.analysis.stats.korn_graubard import p_above
from niah.analysis.stats.paired import holm, unpaired_difference
from niah.analysis.stats.proportions import clustered_interval, share_of
from niah.analysis.stats.regression import Estimate
from niah.analysis.table import UNGUESSABLE, by_chance, observations, score_cases

SIGNIFICANT = 0.05
READS = 0.25  # by which needle_only is above blind where a model reads many of the clips
MIN_NEEDLES = 8  # with fewer, an interval that all needles agree on has no width and says nothing
UNSEEN = "unseen"  # `full` cases in which the model used no frame of the needle
LEAKS = {
    "blind": "the question alone gives answers away",
    "no_needle": "haystack and question alone give answers away",
    "swapped": "answers come from something other than the needle asked about",
    UNSEEN: "answers come from something other than the needle, of which no frame was used",
}
LEAKS_OF = {  # of kinds of questions other than that of one clip
    "when": {
        "swapped": "a clip that was not asked about is placed: the model follows what stands out, not the question",
        UNSEEN: LEAKS[UNSEEN],
    },
    "lookalike": {
        "blind": LEAKS["blind"],
        "swapped": "answers come from something other than the clip asked about: only its look-alike is shown",
        UNSEEN: LEAKS[UNSEEN],
    },
    "first": {UNSEEN: LEAKS[UNSEEN]},  # swapped is what one clip is worth, and above chance by design
    "times": {},  # who sees no copy knows that there are few
}
NECESSARY = {"needle_only": "whether the clips are understood", "blind": "whether the questions can be guessed"}
Answers = Mapping[str, Sequence[ScoredCase]]  # by condition, of one type or all


@dataclass(frozen=True)
class LeakCheck:
    """One control of one type, checked against chance or against the question alone."""

    condition: str
    kind: str
    against: str  # for people: "above chance, 25.0%"
    p_value: float  # one-sided


def check_controls(run: RunData) -> Iterator[FailedCheck]:
    """Check the control conditions of a run, over all question types and for each.

    A model that guesses by design is not blamed for guessing, nor for the luck of it.
    """
    by_kind = _answers_by_kind(run)
    if not run.guesses:
        yield from _leaks(run, by_kind)
        yield from _clips_not_understood(run, by_kind)
        yield from _not_asked(run)
    yield from _conspicuous_needles(run, by_kind[ALL].get("full", []))


def _answers_by_kind(run: RunData) -> Mapping[str, Answers]:
    """Return the answered cases by question type and condition; types only if there are several."""
    types = sorted({case.type for case in run.cases})
    kinds = (ALL, *(types if len(types) > 1 else ()))
    found: dict[str, dict[str, list[ScoredCase]]] = {kind: {} for kind in kinds}
    for scored in score_cases(run):
        if not scored.answered:
            continue
        conditions = [scored.case.condition, *([UNSEEN] if exposure_group(scored) == 0 else [])]
        for kind in (ALL, scored.case.type) if len(kinds) > 1 else kinds:
            for condition in conditions:
                found[kind].setdefault(condition, []).append(scored)
    return found


def _leaks(run: RunData, by_kind: Mapping[str, Answers]) -> Iterator[FailedCheck]:
    """Yield the controls whose accuracy is above chance, or above that of the question alone."""
    leaks = LEAKS_OF.get(run.kind, LEAKS)
    checks = [check for kind, answers in by_kind.items() for check in _leak_checks(kind, answers, leaks)]
    corrected = holm([check.p_value for check in checks])
    above: dict[tuple[str, str], list[str]] = {}
    for check, p_value in zip(checks, corrected, strict=True):
        if p_value < SIGNIFICANT:
            above.setdefault((check.condition, check.kind), []).append(check.against)
    for (condition, kind), against in above.items():
        cases = by_kind[kind][condition]
        low, high = clustered_interval(observations(cases))
        assert low is not None and high is not None  # without an interval there is no check
        accuracy = sum(scored.correct for scored in cases) / len(cases)
        yield FailedCheck(
            f"{condition}_above",
            f"{run.model}, {condition}{_of_type(kind)}: {accuracy:.1%} [{low:.1%}, {high:.1%}] is "
            f"{' and '.join(against)}: {leaks[condition]} (corrected for {len(checks)} checks of controls)",
            "warning",
            (run.model,),
            _ids(cases),
        )


def _leak_checks(kind: str, answers: Answers, leaks: Iterable[str]) -> Iterator[LeakCheck]:
    """Yield the checks of one question type; none of a control whose cases come from one needle source."""
    blind = observations(answers.get("blind", []))
    for condition in leaks:
        cases = answers.get(condition, [])
        share = share_of(observations(cases))
        if share is None:
            continue
        floor = sum(scored.chance for scored in cases) / len(cases)
        yield LeakCheck(condition, kind, f"above chance, {floor:.1%}", p_above(share, floor))
        compared = blind and condition in ("no_needle", "swapped")
        excess = unpaired_difference(observations(cases), blind) if compared else None
        if excess is not None:
            one_sided = excess.p_value / 2 if excess.value > 0 else 1.0
            yield LeakCheck(condition, kind, f"above blind, by {_points(excess)}", one_sided)


def _clips_not_understood(run: RunData, by_kind: Mapping[str, Answers]) -> Iterator[FailedCheck]:
    """Yield which clips alone are not answered better than the question alone: all, or those of single types."""
    failed = list(_not_understood(run, ALL, by_kind[ALL]))
    if not failed:  # what holds for all types is not repeated for each
        for kind, answers in by_kind.items():
            if kind != ALL:
                failed += _not_understood(run, kind, answers)
    yield from failed


def _not_understood(run: RunData, kind: str, answers: Answers) -> Iterator[FailedCheck]:
    """Yield that the clip alone is not answered better than the question alone."""
    needle_only, blind = answers.get("needle_only", []), answers.get("blind", [])
    known = run.kind in UNGUESSABLE
    if not needle_only or not (blind or known):
        return
    floor = "chance" if known else "blind"
    excess = unpaired_difference(observations(needle_only), by_chance(needle_only) if known else observations(blind))
    if excess is not None and excess.value > 0 and excess.p_value < SIGNIFICANT:
        return
    clips = len({scored.case.needle for scored in needle_only})
    if kind == ALL and (clips < MIN_NEEDLES or excess is None or excess.high >= READS):
        yield FailedCheck(
            "not_understood",
            f"{run.model}, needle_only: {clips} {'needles are' if clips > 1 else 'needle is'} too few to tell whether "
            f"clips are read{'' if excess is None else f' ({_points(excess)} above {floor})'}",
            "note",
            (run.model,),
            _ids([*needle_only, *blind]),
        )
        return
    evidence = "one needle source is not enough to tell" if excess is None else _points(excess)
    yield FailedCheck(
        "not_understood",
        f"{run.model}, needle_only{_of_type(kind)} is not significantly above {floor} ({evidence}): it may not "
        "understand the clips at all, so its heatmap says nothing about length",
        "warning" if kind == ALL else "note",  # more needles of one type would tell
        (run.model,),
        _ids([*needle_only, *blind]),
    )


def _conspicuous_needles(run: RunData, full: Sequence[ScoredCase]) -> Iterator[FailedCheck]:
    """Yield that of the frames kept by a model that never reads the question too many or too few show the needle.

    Such a model says so itself: the settings in its replies hold `reads_question: false`. Chance is the needle's share
    of the video. How often the needle is met at all would not do: frames that stand out lie in runs, as long as scenes.
    """
    kept = [scored for scored in full if scored.hit is not None and reads_no_question(scored)]
    found = kept_frames(kept)
    if found is None or found.low is None or found.high is None or found.low <= found.chance_precision <= found.high:
        return
    more = found.precision > found.chance_precision
    meaning = (
        "needles stand out to a model that never reads the question, so finding them proves little"
        if more
        else "needles are recognisably ordinary to a model that never reads the question, so finding what is left "
        "proves little"
    )
    yield FailedCheck(
        "conspicuous_needles" if more else "ordinary_needles",
        f"suite {run.suite}: of the frames {run.model} kept in {found.n} cases {found.precision:.1%} "
        f"({found.low:.1%} to {found.high:.1%}) show the needle, "
        f"and of all frames {found.chance_precision:.1%}: {meaning}",
        "warning",
        (run.model,),
        _ids([scored for scored in kept if bool(scored.hit) == more]),
    )


def _not_asked(run: RunData) -> Iterator[FailedCheck]:
    """Yield which of the two necessary controls are not among the cases."""
    asked = {case.condition for case in run.cases}
    lacking = [name for name in NECESSARY if name not in asked and (name != "blind" or run.kind not in UNGUESSABLE)]
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


def _of_type(kind: str) -> str:
    return "" if kind == ALL else f" on {kind}"


def _points(difference: Estimate) -> str:
    """Return a difference of proportions in percentage points, with its interval."""
    return f"{100 * difference.value:.1f} points [{100 * difference.low:.1f}, {100 * difference.high:.1f}]"

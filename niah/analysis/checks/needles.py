"""Checks of single needles: which ones the model's frames meet, and which ones carry its errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.stats import binomtest

from niah.analysis.checks.failed_check import FailedCheck
from niah.analysis.layout import format_depth
from niah.analysis.load import RunData
from niah.analysis.scored import ScoredCase
from niah.analysis.stats.paired import holm
from niah.analysis.table import score_cases

ALIASED = 0.01  # p-value, corrected for the number of depths
ALWAYS = 0.98  # chance at most: rounding lets even a clip longer than the gap between frames be missed at the ends
PART = 6  # one needle in so many
MIN_NEEDLES = 12  # with fewer, a few needles carry most errors by design
MIN_CASES = 2  # of a needle, on average: where each is asked once, errors cannot heap up
MAX_ERROR_SHARE = 0.5  # of the errors, for the sixth of the needles that has most
DRAWS = 999


def check_needles(run: RunData) -> Iterator[FailedCheck]:
    """Check whether needles alias with the frames a model looks at, and whether a few carry most errors."""
    answered = [one for one in score_cases(run, "full") if one.answered]
    if run.layout.row == "depth":  # the chance of meeting any of several clips is another
        yield from _aliased(run, answered)
    yield from _concentrated_errors(run, answered)


def _aliased(run: RunData, answered: Sequence[ScoredCase]) -> Iterator[FailedCheck]:
    """Yield that frames which do not depend on the video meet more or fewer needles than at random starts.

    k evenly spaced frames of `length` meet a needle of n frames that starts anywhere with probability n k / length.
    """
    sampled = [one for one in answered if one.record is not None and 0 < one.record.frames_used < one.case.length]
    if not sampled or _frames_follow_content(sampled):
        return
    depths: dict[str, list[ScoredCase]] = {}
    for one in sampled:
        depths.setdefault(run.layout.depth_label(one.case) or "", []).append(one)
    seen = {depth: sum(_frames_seen(one) > 0 for one in cases) for depth, cases in depths.items()}
    chance = {depth: min(float(np.mean([_chance(one) for one in cases])), ALWAYS) for depth, cases in depths.items()}
    p_values = holm([float(binomtest(seen[d], len(depths[d]), chance[d]).pvalue) for d in depths])
    aliased = [depth for depth, p_value in zip(depths, p_values, strict=True) if p_value < ALIASED]
    if aliased:
        parts = [
            f"{format_depth(depth)}: {seen[depth]} of {len(depths[depth])}, not {_expected(depths[depth])}"
            for depth in aliased
        ]
        yield FailedCheck(
            "aliased",
            f"{run.model}: the frames it uses alias with where needles lie (cases with a needle frame, by depth: "
            f"{'; '.join(parts)} as at random starts), so its accuracy says where needles were put, not what it reads",
            "warning",
            (run.model,),
            tuple(one.case.id for depth in aliased for one in depths[depth]),
        )


def _frames_follow_content(sampled: Sequence[ScoredCase]) -> bool:
    """Return True if a model keeps other frames in another video of the same length."""
    kept: dict[int, set[tuple[int, ...]]] = {}
    for one in sampled:
        if one.record is not None:
            kept.setdefault(one.case.length, set()).add(one.record.frames_kept)
    return any(len(choices) > 1 for choices in kept.values())


def _frames_seen(scored: ScoredCase) -> int:
    """Return how many frames of the needle the model used."""
    return 0 if scored.record is None else scored.record.needle_frames_used


def _chance(scored: ScoredCase) -> float:
    """Return how often so many evenly spaced frames meet a needle that starts anywhere."""
    needle = sum(placed.stop - placed.start for placed in scored.case.target_placements)
    used = 0 if scored.record is None else scored.record.frames_used
    return min(needle * used / scored.case.length, 1.0)


def _expected(cases: Sequence[ScoredCase]) -> str:
    """Return how many cases would have a needle frame at random starts."""
    return f"{sum(_chance(one) for one in cases):.0f}"


def _concentrated_errors(run: RunData, answered: Sequence[ScoredCase]) -> Iterator[FailedCheck]:
    """Yield that a sixth of the needles carries most errors, far more than if errors fell on cases at random."""
    names = sorted({one.case.needle for one in answered})
    if len(names) < MIN_NEEDLES or len(answered) < MIN_CASES * len(names):
        return
    numbers = {name: number for number, name in enumerate(names)}
    cases = np.bincount([numbers[one.case.needle] for one in answered], minlength=len(names))
    wrong = [numbers[one.case.needle] for one in answered if not one.correct]
    errors = np.bincount(wrong, minlength=len(names))  # (needles,)
    worst = np.argsort(-errors, kind="stable")[: len(names) // PART]
    if errors[worst].sum() <= MAX_ERROR_SHARE * errors.sum():
        return
    generator = np.random.default_rng(list(f"{run.model}/{run.suite}/errors".encode()))
    drawn = generator.multivariate_hypergeometric(cases, int(errors.sum()), size=DRAWS)  # (draws, needles)
    by_chance = np.sort(drawn, axis=1)[:, -len(worst) :].sum(axis=1)
    if (by_chance >= errors[worst].sum()).any():
        return
    worst_names = {names[number] for number in worst}
    yield FailedCheck(
        "concentrated_errors",
        f"{run.model}: {len(worst)} of {len(names)} needles carry {errors[worst].sum() / errors.sum():.0%} of the "
        f"{errors.sum()} errors, so accuracy depends on a few needles: more needles would make it surer",
        "note",
        (run.model,),
        tuple(one.case.id for one in answered if one.case.needle in worst_names and not one.correct),
    )

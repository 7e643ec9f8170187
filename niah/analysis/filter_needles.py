"""Keep the needles that some model answers from the clip and not from the question alone.

That model must not be one of those asked afterwards: it would be asked what it was seen to answer. The suite
therefore names it, `niah.run` refuses it, and tables and reports of such a suite say so.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from niah.analysis.load import RunData, read_run
from niah.analysis.scored import score_case
from niah.suite.config import NeedleFilter
from niah.suite.folder import GeneratedSuite, Skip, apply_needle_filter
from niah.types import SINGLE, Case, UserError

CONTROLS = {"needle_only": True, "blind": False}  # whether the answer is to be right


def filter_needles(generated: GeneratedSuite, folder: Path) -> GeneratedSuite:
    """Return the cases of needles that the run in `folder` answers with needle_only and not blind.

    Raises UserError where the run was asked other cases, or none of the two controls, and where no needle is left.
    """
    run = read_run(folder)
    _refuse_others(generated, run)
    needles = dict.fromkeys(case.needle for case in generated.cases)
    judged = {needle: _why_not(run, needle) for needle in needles}
    kept = tuple(needle for needle, why in judged.items() if not why)
    skips = tuple(Skip(needle, why) for needle, why in judged.items() if why)
    if not kept:
        raise UserError(f"{run.model} in {folder} leaves no needle: {skips[0].what}: {skips[0].why}; name another run")
    suite = dataclasses.replace(generated.suite, kept=NeedleFilter(run.model, kept))
    return apply_needle_filter(dataclasses.replace(generated, suite=suite, skipped=(*generated.skipped, *skips)))


def _why_not(run: RunData, needle: str) -> str:
    """Return why a needle is not kept; nothing where it is."""
    for condition, wanted in CONTROLS.items():
        cases = [case for case in run.cases if case.needle == needle and case.condition == condition]
        cases = [case for case in cases if case.kind == SINGLE]
        scored = [score_case(case, run.records.get(case.id), run.score_by) for case in cases]
        if not scored:
            return f"{run.model} was not asked it with {condition}"
        if scored[0].status != "ok":
            return f"{run.model} has no answer to it with {condition} ({scored[0].status})"
        if scored[0].correct != wanted:
            return f"{run.model} answers it {condition}" if not wanted else f"{run.model} misses it with needle_only"
    return ""


def _refuse_others(generated: GeneratedSuite, run: RunData) -> None:
    """Raise UserError where a run's controls are not those of this suite, or it has none."""
    asked = {case.condition for case in run.cases}
    lacking = [condition for condition in CONTROLS if condition not in asked]
    if lacking:
        raise UserError(
            f"{run.folder} was not asked {' and '.join(lacking)}, by which needles are chosen; "
            "run it with --conditions needle_only,blind"
        )
    own: dict[str, Case] = {case.id: case for case in generated.cases}  # blind has a case for each letter
    known = {(case.needle, case.condition) for case in generated.cases}
    for case in run.cases:
        if case.condition not in CONTROLS or case.kind != SINGLE:
            continue
        here = own.get(case.id)
        if (case.needle, case.condition) not in known and any(case.needle == needle for needle, _ in known):
            raise UserError(f"suite {generated.suite.name!r} has no {case.condition}; add it to its conditions")
        if here != case:
            raise UserError(
                f"{run.folder} was asked {case.id!r}, which suite {generated.suite.name!r} does not hold as it was: "
                "name a run of this suite"
            )

"""Keep the needles that some model answers from the clip and not from the question alone.

That model must not be one of those asked afterwards: it would be asked what it was seen to answer. The suite
therefore names it, `niah.run` refuses it, and tables and reports of such a suite say so.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from niah.analysis.load import RunData, read_run
from niah.analysis.scored import ScoredCase
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
    first: dict[tuple[str, str], ScoredCase] = {}
    for scored in run.scored:
        if scored.case.kind == SINGLE:
            first.setdefault((scored.case.needle, scored.case.condition), scored)
    needles = dict.fromkeys(case.needle for case in generated.cases)
    judged = {needle: _why_not(run.model, {name: first.get((needle, name)) for name in CONTROLS}) for needle in needles}
    kept = tuple(needle for needle, why in judged.items() if not why)
    skips = tuple(Skip(needle, why) for needle, why in judged.items() if why)
    if not kept:
        raise UserError(f"{run.model} in {folder} leaves no needle: {skips[0].what}: {skips[0].why}; name another run")
    suite = dataclasses.replace(generated.suite, kept=NeedleFilter(run.model, kept))
    return apply_needle_filter(dataclasses.replace(generated, suite=suite, skipped=(*generated.skipped, *skips)))


def _why_not(model: str, controls: Mapping[str, ScoredCase | None]) -> str:
    """Return why a needle is not kept, given its first case of each control; nothing where it is."""
    for condition, scored in controls.items():
        if scored is None:
            return f"{model} was not asked it with {condition}"
        if scored.status != "ok":
            return f"{model} has no answer to it with {condition} ({scored.status})"
        if scored.correct != CONTROLS[condition]:
            return f"{model} misses it with needle_only" if CONTROLS[condition] else f"{model} answers it {condition}"
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
    needles = {needle for needle, _ in known}
    for case in run.cases:
        if case.condition not in CONTROLS or case.kind != SINGLE:
            continue
        here = own.get(case.id)
        if (case.needle, case.condition) not in known and case.needle in needles:
            raise UserError(f"suite {generated.suite.name!r} has no {case.condition}; add it to its conditions")
        if here != case:
            raise UserError(
                f"{run.folder} was asked {case.id!r}, which suite {generated.suite.name!r} does not hold as it was: "
                "name a run of this suite"
            )

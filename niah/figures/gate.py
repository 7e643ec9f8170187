"""Leave out of a heatmap what a model cannot read: a map of questions that it fails on the clip alone shows nothing.

A model passes the gate for a type of question that it answers often enough in condition `needle_only`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from niah.analysis.kinds import base_model
from niah.analysis.load import RunData
from niah.analysis.table import score_cases
from niah.suite.kinds.lookalike import SAME_TARGET
from niah.types import SINGLE, UserError

READABLE = 0.90  # of a type's clips alone

Shares = Mapping[str, float]  # of the clips of each type of question that were read alone


def clips_read(runs: Sequence[RunData]) -> dict[str, Shares]:
    """Return for each model which share of each type's clips it read alone. Raises UserError without such answers.

    A clip is read where its own question is answered: answers of other kinds about it do not count.
    """
    found: dict[str, Shares] = {}
    for run in runs:
        alone = [scored for scored in score_cases(run, "needle_only") if scored.case.kind == SINGLE]
        answered = [scored for scored in alone if scored.answered]
        types = sorted({scored.case.type for scored in answered})
        if not types:
            raise UserError(f"{run.folder} has no answered case of condition needle_only, so it opens no gate")
        of_type = {kind: [scored.correct for scored in answered if scored.case.type == kind] for kind in types}
        found[run.model] = {kind: sum(right) / len(right) for kind, right in of_type.items()}
    return found


def readable_part(run: RunData, read: Mapping[str, Shares]) -> tuple[RunData, str]:
    """Return a run with the cases of the types that its model reads, and a note about the others.

    Raises UserError for a model without answers about clips alone.
    """
    model = base_model(run)  # a gate is about clips, whatever is asked about them
    if model not in read:
        raise UserError(
            f"no gate for {run.model}; there is one for {', '.join(sorted(read))}. Ask it the suite gate, with the "
            "same --model_args"
        )
    failed, note = failed_types(read[model], sorted({case.type for case in run.cases}))
    kept = tuple(case for case in run.cases if case.type not in failed)
    return dataclasses.replace(run, cases=kept), note


def failed_types(shares: Shares, types: Sequence[str]) -> tuple[list[str], str]:
    """Return the types of question that do not pass, and a note about them."""
    failed = [kind for kind in types if any(shares.get(part, 0.0) < READABLE for part in _clip_types(kind, shares))]
    parts = dict.fromkeys(part for kind in failed for part in _clip_types(kind, shares))
    told = ", ".join(
        f"{part} {shares[part]:.0%}" if part in shares else f"{part} not asked"
        for part in parts
        if shares.get(part, 0.0) < READABLE
    )
    return failed, f"not read, left out: {told} of clips alone" if failed else ""


def _clip_types(kind: str, shares: Shares) -> list[str]:
    """Return the types of the clips that a question is about: one about two clips may name both, "motion, digit"."""
    if kind in shares:
        return [kind]
    return kind.removesuffix(SAME_TARGET).split(", ")

"""The same cases with and without reuse: what it saved, and that it changed no answer.

Reuse is a promise that nothing but time differs, so everything a record holds besides what was measured
must be equal. A run `without` that found a frame stored is refused: it would make reuse look cheap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from niah.analysis.cost.stages import costs, in_total
from niah.analysis.load import Run
from niah.types import Record, UserError

SAME = ("reply", "option_scores", "mode", "frames_used", "frames_kept", "language_tokens", "decoder", "sources")


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side. `differing` names the cases whose records are not equal."""

    seconds: Any  # a table with a row per stage: with, without, ratio
    decoded: tuple[int, int]  # frames that came out of the decoder
    cases: int
    differing: tuple[str, ...]
    score_gap: float  # the largest difference between two option scores

    @property
    def ratio(self) -> float:
        """How many times as long the run without reuse took, from file to answer."""
        return float(self.seconds.loc["total", "ratio"])


def compare(reusing: Run, without: Run) -> Comparison:
    """Compare two runs. Raises UserError where they did not ask the same model the same cases, all of them."""
    _refuse(reusing, without)
    frames: list[Any] = [costs(reusing), costs(without)]
    table: Any = pd.DataFrame({"with": in_total(frames[0]), "without": in_total(frames[1])}).fillna(0.0)
    table["ratio"] = table["without"] / table["with"]
    pairs = [(reusing.records[case.id], without.records[case.id]) for case in reusing.cases]
    return Comparison(
        seconds=table.loc[[*(name for name in table.index if name not in ("other", "total")), "other", "total"]],
        decoded=(int(frames[0]["decoded"].sum()), int(frames[1]["decoded"].sum())),
        cases=len(pairs),
        differing=tuple(one.case for one, other in pairs if any(getattr(one, f) != getattr(other, f) for f in SAME)),
        score_gap=max((_gap(one, other) for one, other in pairs), default=0.0),
    )


def _refuse(reusing: Run, without: Run) -> None:
    """Raise UserError where the comparison would say nothing."""
    one, other = ({case.id: case for case in run.cases} for run in (reusing, without))
    if one != other:
        both = one.keys() & other.keys()
        raise UserError(
            f"{reusing.folder} and {without.folder} hold different cases: {len(one.keys() - both)} only in the first, "
            f"{len(other.keys() - both)} only in the second, {sum(one[name] != other[name] for name in both)} differ. "
            "Run both with the same --suite, --lengths, --depths, --conditions, --limit and --shard"
        )
    for run in (reusing, without):
        left = [name for name in one if name not in run.records]
        failed = [record.case for record in run.records.values() if record.status != "ok"]
        if left or failed:
            raise UserError(
                f"{run.folder}: {len(left)} cases were not asked and {len(failed)} have no answer, so its time is not "
                "the time of all; run it again to the end"
            )
    models = {record.model for run in (reusing, without) for record in run.records.values()}
    if len(models) != 1:
        raise UserError(f"a ratio of different models says nothing about reuse: {', '.join(sorted(models))}")
    reused = [r.case for r in without.records.values() if r.measured.get("reused_frames") and not r.repeats]
    if reused:
        raise UserError(
            f"{without.folder} reused frames in {len(reused)} cases ({reused[0]}), so it is no run without reuse; "
            "name the run without reuse last, and for vilamp make it with --model_args reuse=False"
        )


def _gap(one: Record, other: Record) -> float:
    """Return the largest difference between the option scores of two records; 0 where neither has any."""
    pairs = zip(one.option_scores or (), other.option_scores or (), strict=False)
    return max((abs(first - second) for first, second in pairs), default=0.0)

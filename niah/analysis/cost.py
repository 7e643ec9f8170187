"""Seconds by stage of one run, as its replies told them.

What a case took besides its stages (opening files, checking and carrying the reply) is `other`, so
that the columns add up to the time from file to answer. Cases of which some frames came out of a store are
told apart from those that found nothing stored: their means would describe neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from niah.analysis.load import RunData
from niah.types import Case, Record, UserError

FRESH, REUSED = "nothing stored", "reused"
ALL = "all"


def costs(run: RunData) -> pd.DataFrame:
    """Return a row per answered case: its length's label, what was stored, seconds by stage, other, total."""
    rows = [
        _row(run, case, run.records[case.id])
        for case in run.cases
        if case.id in run.records and run.records[case.id].status == "ok"
    ]
    frame: Any = pd.DataFrame(rows)
    return frame.fillna(dict.fromkeys(stages(frame), 0.0))  # a stage that a case did not come to took no time


def stages(frame: pd.DataFrame) -> list[str]:
    """Return the columns of `costs` that hold seconds, `other` and `total` last."""
    about = ("case", "length", "stored", "cold", "frames", "decoded", "host_bytes", "other", "total")
    return [*(name for name in frame.columns if name not in about), *(n for n in ("other", "total") if n in frame)]


def breakdown(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a row per length and what was stored, and one for all: cases, then seconds a case by stage (means)."""
    seconds = stages(frame)
    groups: Any = frame.groupby(["length", "stored"], sort=False)  # Any: pandas has no types of its own
    means: Any = groups[seconds].mean()
    means.insert(0, "cases", groups.size())
    means = means.loc[sorted(means.index, key=lambda place: (_rank(place[0]), place[1]))]
    means.loc[(ALL, ""), :] = [len(frame), *in_total(frame) / len(frame)]
    means["cases"] = means["cases"].astype(int)
    return means


def in_total(frame: pd.DataFrame) -> pd.Series:
    """Return the seconds of each stage over all cases."""
    found: Any = frame[stages(frame)].sum()
    return found


def _row(run: RunData, case: Case, record: Record) -> dict:
    """Return one case's numbers."""
    measured = record.measured
    seconds = {str(stage): float(took) for stage, took in (measured.get("seconds") or {}).items()}
    total = float(measured.get("file_to_answer_seconds") or 0.0)
    by = run.layout.grouping
    return {
        "case": case.id,
        "length": run.layout.length_label(case, by) or case.condition,
        "stored": REUSED if measured.get("reused_frames") else FRESH,
        "cold": bool(measured.get("cold")),
        "frames": case.length,
        "decoded": int(measured.get("decoded_frames") or 0),
        "host_bytes": measured.get("peak_host_bytes"),
        **seconds,
        "other": max(0.0, total - sum(seconds.values())),
        "total": total,
    }


def _rank(length: str) -> tuple[bool, float, str]:
    """Sort lengths by number, and what has none (needle_only, blind) behind."""
    return not length.isdigit(), float(length) if length.isdigit() else 0.0, length


# ---- compare

SAME = ("reply", "option_scores", "mode", "frames_used", "frames_kept", "language_tokens", "decoder", "sources")


@dataclass(frozen=True)
class ReuseComparison:
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


def compare_reuse(reusing: RunData, without: RunData) -> ReuseComparison:
    """Compare two runs. Raises UserError where they did not ask the same model the same cases, all of them."""
    _refuse(reusing, without)
    frames: list[Any] = [costs(reusing), costs(without)]
    table: Any = pd.DataFrame({"with": in_total(frames[0]), "without": in_total(frames[1])}).fillna(0.0)
    table["ratio"] = table["without"] / table["with"]
    pairs = [(reusing.records[case.id], without.records[case.id]) for case in reusing.cases]
    return ReuseComparison(
        seconds=table.loc[[*(name for name in table.index if name not in ("other", "total")), "other", "total"]],
        decoded=(int(frames[0]["decoded"].sum()), int(frames[1]["decoded"].sum())),
        cases=len(pairs),
        differing=tuple(one.case for one, other in pairs if any(getattr(one, f) != getattr(other, f) for f in SAME)),
        score_gap=max((_gap(one, other) for one, other in pairs), default=0.0),
    )


def _refuse(reusing: RunData, without: RunData) -> None:
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


# ---- memory

LENGTHS = 3  # at least: two points lie on a line whatever they are


@dataclass(frozen=True)
class MemoryFit:
    """A least-squares line through (frames, peak bytes)."""

    frames: tuple[int, ...]
    peak_bytes: tuple[int, ...]
    slope: float  # bytes a frame
    start: float  # bytes at no frame

    def at(self, frames: int) -> float:
        """Return the line's bytes at a length."""
        return self.start + self.slope * frames


def fit_memory(run: RunData) -> MemoryFit:
    """Fit peak host memory of a run. Raises UserError where it has fewer than three lengths."""
    points = []
    for case in run.cases:
        record = run.records.get(case.id)
        if record is None or record.status != "ok" or case.condition != "full" or not record.measured.get("cold"):
            continue
        peak = record.measured.get("peak_host_bytes")
        if peak is not None and not record.measured.get("reused_frames"):
            points.append((case.length, int(peak)))
    lengths = {frames for frames, _ in points}
    if len(lengths) < LENGTHS:
        raise UserError(
            f"{run.folder} has peaks of full cases with nothing stored at {len(lengths)} lengths, {LENGTHS} are "
            "needed; run a suite with more lengths, for instance --suite long"
        )
    frames, peaks = zip(*sorted(points), strict=True)
    slope, start = np.polyfit(np.array(frames, dtype=float), np.array(peaks, dtype=float), 1)
    return MemoryFit(frames, peaks, float(slope), float(start))

"""What a run cost: seconds by stage, what reuse of frame features saved, and host memory per frame.

Seconds are those that replies report, by stage. What a case took besides (opening files, checking and sending the
reply) is `other`, so the columns add up to the time from file to answer. Cases with and without reused frames are
listed apart, as a mean over both would describe neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from niah.analysis.layout import ALL
from niah.analysis.load import RunData
from niah.analysis.same_cases import case_differences
from niah.types import Case, Record, UserError

NOT_REUSED = "not reused"
REUSED = "reused"
# What a record holds besides what was measured: reuse must not change it.
UNMEASURED = (
    "reply", "option_scores", "option_likelihoods", "mode", "frames_used", "frames_kept", "frame_size", "frame_times",
    "finish_reason", "prompt_opens_thought", "samples", "language_tokens", "decoder", "sources",
)  # fmt: skip
MIN_LENGTHS = 3  # for a line: two points lie on one whatever they are


@dataclass(frozen=True)
class ReuseComparison:
    """A run with reuse of frame features beside one without; `differing` names the cases whose records differ."""

    seconds: Any  # a data frame, a row per stage: with, without, ratio
    decoded: tuple[int, int]  # frames that the decoder returned, with and without
    cases: int
    differing: tuple[str, ...]
    score_gap: float  # the largest difference between two option scores

    @property
    def ratio(self) -> float:
        """Return how many times as long the run without reuse took, from file to answer."""
        return float(self.seconds.loc["total", "ratio"])


@dataclass(frozen=True)
class MemoryFit:
    """A least-squares line through (frames, peak host bytes)."""

    frames: tuple[int, ...]
    peak_bytes: tuple[int, ...]
    slope: float  # bytes a frame
    start: float  # bytes at no frame

    def at(self, frames: int) -> float:
        """Return the line's bytes at a length."""
        return self.start + self.slope * frames


def costs(run: RunData) -> pd.DataFrame:
    """Return a row per answered case: its length label, whether frames were reused, seconds by stage, other, total."""
    rows = [
        _costs_of_case(run, case, run.records[case.id])
        for case in run.cases
        if case.id in run.records and run.records[case.id].status == "ok"
    ]
    frame: Any = pd.DataFrame(rows)
    return frame.fillna(dict.fromkeys(stages(frame), 0.0))  # a stage that a case did not reach took no time


def stages(frame: pd.DataFrame) -> list[str]:
    """Return the columns of `costs` that hold seconds, with `other` and `total` last."""
    not_stages = ("case", "length", "reuse", "cold", "frames", "decoded", "host_bytes", "other", "total")
    last = [name for name in ("other", "total") if name in frame]
    return [*(name for name in frame.columns if name not in not_stages), *last]


def breakdown(frame: pd.DataFrame) -> pd.DataFrame:
    """Return cases and mean seconds by stage: a row per length, with and without reuse, and one for all."""
    seconds = stages(frame)
    groups: Any = frame.groupby(["length", "reuse"], sort=False)  # Any: pandas has no types of its own
    means: Any = groups[seconds].mean()
    means.insert(0, "cases", groups.size())
    means = means.loc[sorted(means.index, key=lambda key: (_length_order(key[0]), key[1]))]
    means.loc[(ALL, ""), :] = [len(frame), *in_total(frame) / len(frame)]
    means["cases"] = means["cases"].astype(int)
    return means


def in_total(frame: pd.DataFrame) -> pd.Series:
    """Return the seconds of each stage over all cases."""
    found: Any = frame[stages(frame)].sum()
    return found


def compare_reuse(reusing: RunData, without: RunData) -> ReuseComparison:
    """Compare a run with reuse to one without: the time saved, and whether any record differs.

    Raises UserError unless the same model answered the same cases, all of them, and if the run `without` reused a
    frame: reuse would look less useful than it is.
    """
    _refuse_incomparable(reusing, without)
    with_costs: Any = costs(reusing)
    without_costs: Any = costs(without)
    table: Any = pd.DataFrame({"with": in_total(with_costs), "without": in_total(without_costs)}).fillna(0.0)
    table["ratio"] = table["without"] / table["with"]
    pairs = [(reusing.records[case.id], without.records[case.id]) for case in reusing.cases]
    return ReuseComparison(
        seconds=table.loc[[*(name for name in table.index if name not in ("other", "total")), "other", "total"]],
        decoded=(int(with_costs["decoded"].sum()), int(without_costs["decoded"].sum())),
        cases=len(pairs),
        differing=tuple(
            one.case for one, other in pairs if any(getattr(one, key) != getattr(other, key) for key in UNMEASURED)
        ),
        score_gap=max((_score_gap(one, other) for one, other in pairs), default=0.0),
    )


def fit_memory(run: RunData) -> MemoryFit:
    """Fit a line through peak host memory over length: its slope is the bytes that one more frame costs.

    Only cold `full` cases count (no cached features, a worker of their own), as the peaks of others include what
    earlier answers left in memory; one case of each length is cold (`niah.run.plan`). Raises UserError with fewer than
    three lengths.
    """
    points = []
    for case in run.cases_of("full"):
        record = run.records.get(case.id)
        if record is None or record.status != "ok" or not record.measured.get("cold"):
            continue
        peak = record.measured.get("peak_host_bytes")
        if peak is not None and not record.measured.get("reused_frames"):
            points.append((case.length, int(peak)))
    lengths = {frames for frames, _ in points}
    if len(lengths) < MIN_LENGTHS:
        raise UserError(
            f"{run.folder} has peaks of cold full cases at {len(lengths)} lengths, {MIN_LENGTHS} are "
            "needed; run a suite with more lengths, for instance --suite long"
        )
    frames, peaks = zip(*sorted(points), strict=True)
    slope, start = np.polyfit(np.array(frames, dtype=float), np.array(peaks, dtype=float), 1)
    return MemoryFit(frames, peaks, float(slope), float(start))


def _costs_of_case(run: RunData, case: Case, record: Record) -> dict[str, Any]:
    """Return one row of `costs`."""
    measured = record.measured
    seconds = {str(stage): float(took) for stage, took in (measured.get("seconds") or {}).items()}
    total = float(measured.get("file_to_answer_seconds") or 0.0)
    return {
        "case": case.id,
        "length": run.layout.length_label(case, run.layout.grouping) or case.condition,
        "reuse": REUSED if measured.get("reused_frames") else NOT_REUSED,
        "cold": bool(measured.get("cold")),
        "frames": case.length,
        "decoded": int(measured.get("decoded_frames") or 0),
        "host_bytes": measured.get("peak_host_bytes"),
        **seconds,
        "other": max(0.0, total - sum(seconds.values())),
        "total": total,
    }


def _length_order(label: str) -> tuple[bool, float, str]:
    """Return a sort key: lengths by number, then the conditions without a length (needle_only, blind)."""
    return not label.isdigit(), float(label) if label.isdigit() else 0.0, label


def _refuse_incomparable(reusing: RunData, without: RunData) -> None:
    """Raise UserError if comparing the two runs would not show what reuse does."""
    differ = case_differences(reusing, without)
    if differ:
        raise UserError(
            f"{reusing.folder} and {without.folder} hold different cases: {len(differ.only_first)} only in the first, "
            f"{len(differ.only_second)} only in the second, {len(differ.changed)} differ. "
            "Run both with the same --suite, --lengths, --depths, --conditions, --limit and --shard"
        )
    for run in (reusing, without):
        missing = sum(case.id not in run.records for case in run.cases)
        failed = sum(record.status != "ok" for record in run.records.values())
        if missing or failed:
            raise UserError(
                f"{run.folder}: {missing} cases were not asked and {failed} have no answer, so its time is not "
                "the time of all; run it again to the end"
            )
    models = {record.model for run in (reusing, without) for record in run.records.values()}
    if len(models) != 1:
        raise UserError(f"a ratio of different models says nothing about reuse: {', '.join(sorted(models))}")
    reused = [r.case for r in without.records.values() if r.measured.get("reused_frames") and not r.repeats]
    if reused:
        raise UserError(
            f"{without.folder} reused frames in {len(reused)} cases ({reused[0]}), so it is no run without reuse; "
            "name the run without reuse last, and make it with reuse switched off (--model_args reuse=False)"
        )


def _score_gap(one: Record, other: Record) -> float:
    """Return the largest difference between the option scores of two records; 0 if neither has any."""
    pairs = zip(one.option_scores or (), other.option_scores or (), strict=False)
    return max((abs(first - second) for first, second in pairs), default=0.0)

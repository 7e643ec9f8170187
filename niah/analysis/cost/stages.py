"""Seconds by stage of one run, as its replies told them.

What a case took besides its stages (opening files, checking and carrying the reply) is `other`, so
that the columns add up to the time from file to answer. Cases of which some frames came out of a store are
told apart from those that found nothing stored: their means would describe neither.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from niah.analysis.load import Run
from niah.types import Case, Record

FRESH, REUSED = "nothing stored", "reused"
ALL = "all"


def costs(run: Run) -> pd.DataFrame:
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


def _row(run: Run, case: Case, record: Record) -> dict:
    """Return one case's numbers."""
    measured = record.measured
    seconds = {str(stage): float(took) for stage, took in (measured.get("seconds") or {}).items()}
    total = float(measured.get("file_to_answer_seconds") or 0.0)
    by = next(iter(run.layout.columns()))
    return {
        "case": case.id,
        "length": run.layout.column(case, by) or case.condition,
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

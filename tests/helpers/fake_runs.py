"""Small run folders, written line by line as `niah.run` writes them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from niah.suite.design import needle_start
from niah.types import Case, Placement, Record, Span

OPTIONS = ("Left", "Right", "Up", "Down")
NEEDLE_FRAMES = 10


def make_case(needle: str, condition: str = "full", length: int = 2000, depth: float = 0.5, **changes) -> Case:
    """Return a case whose right answer is B; depth only matters where something lies at one."""
    start = needle_start(depth, length, NEEDLE_FRAMES)
    pieces = {
        "full": [("h", 0, start), ("clip", 0, NEEDLE_FRAMES), ("h", start, length - NEEDLE_FRAMES)],
        "no_needle": [("h", 0, length)],
        "needle_only": [("clip", 0, NEEDLE_FRAMES)],
        "blind": [],
    }["full" if condition == "swapped" else condition]
    timeline = tuple(Span(*piece) for piece in pieces if piece[1] < piece[2])
    needles = {
        "full": (Placement(needle, start, start + NEEDLE_FRAMES),),
        "swapped": (Placement("other", start, start + NEEDLE_FRAMES),),
        "needle_only": (Placement(needle, 0, NEEDLE_FRAMES),),
    }.get(condition, ())
    held = condition in ("full", "swapped", "no_needle")
    case = Case(
        f"{needle}.{condition}.{length if held else 0}.{start if held else 0}", "fake", 2, condition, needle,
        f"source-{needle}", "h" if held else "", sum(map(len, timeline)), needles, timeline, 1.0,
        "Which way?", OPTIONS, "B", "motion",
    )  # fmt: skip
    return dataclasses.replace(case, **changes)


def make_record(case: Case, reply: str | None = "B", status: str = "ok", **changes) -> Record:
    """Return a record that cost 1 GiB of device memory, 2 GiB of the host's and half a second."""
    measured = {
        "reused_frames": 0,
        "peak_reserved_bytes": 2**30,
        "peak_host_bytes": 2**31,
        "peak_host_since": "case",
        "seconds_to_first_token": 0.5,
        "cold": True,
    }
    record = Record(
        case.id, status, "fake", reply if status == "ok" else None, None, "generated", 0, (), 0, 0, None, "fake 1",
        (), 0, "", measured,
    )  # fmt: skip
    return dataclasses.replace(record, **{**changes, "measured": {**measured, **changes.get("measured", {})}})


def write_run(
    folder: Path,
    cases: Sequence[Case],
    records: Sequence[Record],
    model: str = "fake",
    suite: str | None = None,
    decides: Mapping[str, object] | None = None,
    **args: object,
) -> Path:
    """Write a run folder; `decides` is what else its records depend on, `args` are the model's."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(case.to_json()) + "\n" for case in cases)
    (folder / "cases.jsonl").write_text(lines)
    (folder / "records.jsonl").write_text("".join(json.dumps(record.to_json()) + "\n" for record in records))
    digest = hashlib.sha256(lines.encode()).hexdigest()
    whole = {"model": model, "model_args": args, "cases_sha256": digest, **(decides or {})}
    (folder / "run.json").write_text(json.dumps({"decides": whole, "suite": "fake", "device": {}}))
    if suite is not None:
        (folder / "suite.yaml").write_text(suite)
    return folder


def write_right(folder, model, condition, right):
    """Write a run of ten cases of each type, of which `right` says how many are answered right."""
    cases = [make_case(f"{kind}-{n}", condition, type=kind) for kind in right for n in range(10)]
    records = [make_record(case, "B" if n % 10 < right[case.type] else "A") for n, case in enumerate(cases)]
    return write_run(folder, cases, records, model=model)

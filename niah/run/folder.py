"""The output folder: what was run beside what came of it.

One run at a time holds the folder's lock. Records of other cases or settings are
never added to: that a folder holds one experiment is what makes its table mean something.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from niah.io import DISK_FULL_ERRORS, open_to_append, replace_file, to_json_lines
from niah.run.case_runner import CaseRunner
from niah.run.config import RunConfig, without_machine_paths
from niah.run.metadata import read_metadata
from niah.run.plan import Plan
from niah.run.records import FINAL, read_records, rewrite_records, set_aside
from niah.suite.hashes import cases_sha256, sources_sha256
from niah.types import Record, UserError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder; raises UserError where another run holds it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.fdopen(open_to_append(folder / ".lock"), "a")
    except OSError as error:
        if error.errno in DISK_FULL_ERRORS:
            raise
        raise UserError(f"{folder} cannot be written into ({error.strerror}); name another --output_path") from None
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"another run is writing into {folder}; wait for it, or give this one its own --output_path"
            ) from None
        yield


def prepare(folder: Path, config: RunConfig, plan: Plan) -> list[Record]:
    """Write what is to be run into the folder, and return the records it already holds that are final.

    Raises UserError where it holds records of other cases or settings.
    """
    path = folder / "records.jsonl"
    if config.fresh and path.exists():
        set_aside(path)
    old = read_records(path)
    decides = _decides(config, plan)
    if old:
        _refuse_others(folder, decides)
        check_cases_known(path, old, {case.id for case in plan.ordered})
    else:
        (folder / "run.json").unlink(missing_ok=True)  # it tells of records that are no longer here
    _write(folder, config, plan, decides)
    final = [record for record in old if record.status in FINAL]
    if path.exists():
        rewrite_records(path, final)  # drops half a line, and the records of cases that are asked again
    return final


def check_cases_known(path: Path, records: Iterable[Record], cases: set[str]) -> None:
    """Raise UserError where a record is of no case of this run, or two are of one: no run writes either."""
    seen: set[str] = set()
    for record in records:
        if record.case not in cases or record.case in seen:
            what = "is there twice" if record.case in seen else "is of no case of this run"
            raise UserError(
                f"{path}: the record {record.case!r} {what}; take the line out, or set the records aside with --fresh"
            )
        seen.add(record.case)


def put_in_order(folder: Path, plan: Plan) -> None:
    """Sort a complete records.jsonl as planned: after a resumption it is in the order of asking."""
    records = {record.case: record for record in read_records(folder / "records.jsonl")}
    planned = [case.id for case in plan.ordered]
    if list(records) != planned and set(records) == set(planned):
        rewrite_records(folder / "records.jsonl", [records[name] for name in planned])


def append_run(folder: Path, begun: float, before: list[Record], after: list[Record], asker: CaseRunner) -> None:
    """Note in run.json when this run began and ended, what it added, and what its worker said of itself."""
    entry = {
        "began": _time(begun),
        "ended": _time(time.time()),
        "records_before": len(before),
        "records_after": len(after),
        "workers": asker.started,
    }
    facts: dict[str, Any] = {"runs": [*read_metadata(folder).get("runs", []), entry]}
    if asker.metadata:
        facts["worker"] = {key: asker.metadata[key] for key in ("python", "versions", "decoder", "concurrency")}
    write_run(folder, facts)


def write_run(folder: Path, facts: dict[str, Any]) -> None:
    """Merge facts into run.json."""
    path = folder / "run.json"
    known = read_metadata(folder) if path.exists() else {}
    replace_file(path, json.dumps({**known, **facts}, ensure_ascii=False, indent=1) + "\n")


def write_or_remove(path: Path, text: str) -> None:
    """Write a whole file; where there is nothing to say, leave none: one of an earlier run would speak for this."""
    if text:
        replace_file(path, text)
    else:
        path.unlink(missing_ok=True)


def _decides(config: RunConfig, plan: Plan) -> dict[str, Any]:
    """Return everything a record depends on, as run.json keeps it."""
    sources = {source.name: source.sha256 for source in plan.generated.sources.values()}
    return {
        **config.decides(),
        "sampling": dataclasses.asdict(plan.generated.suite.sampling),
        "cases_sha256": cases_sha256(plan.generated.cases),
        "sources_sha256": sources_sha256(sources),
    }


def _shard(plan: Plan) -> dict[str, Any]:
    """Return what run.json keeps of a shard, so that niah.merge can tell what its siblings hold and check the whole."""
    shard = plan.shard
    if shard is None:
        return {}
    places = {case.id: place for place, case in enumerate(shard.whole)}
    return {
        "shard": {
            "i": shard.i,
            "count": shard.count,
            "cases": len(shard.whole),
            "cases_sha256": cases_sha256(shard.whole),
            "places": [places[case.id] for case in plan.generated.cases],
        }
    }


def _refuse_others(folder: Path, decides: dict[str, Any]) -> None:
    """Raise UserError naming what differs from the run the folder holds."""
    held = read_metadata(folder).get("decides", {})
    names = {"cases_sha256": "the cases", "sources_sha256": "the video files"}
    differ = [
        names.get(key, f"{key} ({held.get(key)!r} there, {value!r} now)")
        for key, value in decides.items()
        if held.get(key) != value
    ]
    if differ:
        raise UserError(
            f"{folder} holds records of another run; these differ: {', '.join(differ)}. "
            "Set them aside with --fresh, or give this run its own --output_path"
        )


def _write(folder: Path, config: RunConfig, plan: Plan, decides: dict[str, Any]) -> None:
    """Write config, suite, cases, sources and what was left out."""
    generated = plan.generated
    write_run(folder, {"decides": decides, **_shard(plan)})
    replace_file(folder / "config.yaml", _yaml(config.to_yaml()))
    replace_file(
        folder / "suite.yaml", _yaml(_without_none(without_machine_paths(dataclasses.asdict(generated.suite))))
    )
    replace_file(folder / "cases.jsonl", to_json_lines(case.to_json() for case in generated.cases))
    rows = [dataclasses.asdict(source) for source in generated.sources.values()]
    for row in rows:
        del row["path"]  # of this machine
    replace_file(folder / "sources.jsonl", to_json_lines(rows))
    skipped = [without_machine_paths(dataclasses.asdict(skip)) for skip in generated.skipped]
    write_or_remove(folder / "skipped.jsonl", to_json_lines(skipped))
    write_or_remove(folder / "near_duplicates.jsonl", to_json_lines(map(dataclasses.asdict, generated.near_duplicates)))


def _time(seconds: float) -> str:
    """Return a moment as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _yaml(values: Any) -> str:
    """Return values as YAML in the order given."""
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def _without_none(value: Any) -> Any:
    """Drop keys that are None, as a person would not write them."""
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return value

"""The output folder: what was run beside what came of it.

One run at a time holds the folder's lock. Records of other cases or settings are never
added to: that a folder holds one experiment is what gives its table a meaning.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from niah.io import DISK_FULL_ERRORS, no_cycles, open_to_append, replace_file, to_json_lines
from niah.run.case_runner import CaseRunner
from niah.run.config import RunConfig, without_machine_paths
from niah.run.metadata import read_metadata, refuse_other_run, update_metadata
from niah.run.plan import Plan
from niah.run.records import FINAL, read_records, rewrite_records, set_aside
from niah.run.same_model import refuse_changed_model
from niah.suite.config import Suite
from niah.suite.folder import GeneratedSuite, case_lines, cases_sha256, sources_sha256
from niah.types import Record, UserError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; raises UserError where another run holds it."""
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


@no_cycles()
def open_run(
    folder: Path, config: RunConfig, plan: Plan, identity: Callable[[], Mapping[str, str]] = dict
) -> list[Record]:
    """Write what is to be run into the folder, and return its records that are final.

    Args:
        folder: the output folder.
        config: the settings of the run.
        plan: its cases.
        identity: returns what is known of the model before it is loaded; called only where there are answers.

    Raises UserError where the folder holds records of other cases, settings or, as far as is known, another model.
    """
    path = folder / "records.jsonl"
    if config.fresh:
        set_aside(path)
    old = read_records(path)
    final = [record for record in old if record.status in FINAL]
    files = _input_files(config, plan)
    decides = {**config.decides(), **input_keys(plan.generated, files)}
    if old:
        remedy = "Set them aside with --fresh, or give this run its own --output_path"
        refuse_other_run(folder, decides, remedy)
        check_cases_known(path, old, {case.id for case in plan.ordered})
        if final and not config.accept_changed_model:
            refuse_changed_model(folder, len(final), identity())
    else:
        (folder / "run.json").unlink(missing_ok=True)  # it describes records that are no longer here
    write_inputs(folder, {"decides": decides, **_shard_metadata(plan)}, files)
    if old or path.exists():
        rewrite_records(path, final)  # drops half a line, and the records of cases that are asked again
    return final


def check_cases_known(path: Path, records: Iterable[Record], cases: set[str]) -> None:
    """Raise UserError where a record is of no case of this run, or two are of one: no run writes either."""
    seen: set[str] = set()
    for record in records:
        if record.case not in cases or record.case in seen:
            problem = "is there twice" if record.case in seen else "is of no case of this run"
            raise UserError(
                f"{path}: the record {record.case!r} {problem}; "
                "take the line out, or set the records aside with --fresh"
            )
        seen.add(record.case)


def write_inputs(folder: Path, metadata: Mapping[str, Any], files: Mapping[str, str]) -> None:
    """Write what a run starts from: run.json, and each of `files` by its name.

    An empty file is removed instead: one of an earlier run would be taken for this run's. A run whose
    run.json names a shared file of cases gets no cases.jsonl of its own.
    """
    update_metadata(folder, metadata)
    shares_cases = "cases" in read_metadata(folder)
    for name, text in files.items():
        if not text:
            (folder / name).unlink(missing_ok=True)
        elif name != "cases.jsonl" or not shares_cases:
            replace_file(folder / name, text)


def append_run(folder: Path, began: float, before: list[Record], after: list[Record], case_runner: CaseRunner) -> None:
    """Add to run.json when this run began and ended, what it added, and the metadata of its worker."""
    entry = {
        "began": _iso_time(began),
        "ended": _iso_time(time.time()),
        "records_before": len(before),
        "records_after": len(after),
        "workers": case_runner.started,
    }
    values: dict[str, Any] = {"runs": [*read_metadata(folder).get("runs", []), entry]}
    if case_runner.metadata:
        kept = ("python", "versions", "decoder", "concurrency")
        values["worker"] = {key: case_runner.metadata[key] for key in kept}
    update_metadata(folder, values)


def put_in_order(folder: Path, plan: Plan, written: Iterable[Record]) -> None:
    """Sort a complete records.jsonl, of records `written`, as planned: a resumed run is in the order of asking."""
    records = {record.case: record for record in written}
    planned = [case.id for case in plan.ordered]
    if list(records) != planned and set(records) == set(planned):
        rewrite_records(folder / "records.jsonl", [records[name] for name in planned])


def to_yaml(values: Any) -> str:
    """Return values as YAML in the order given."""
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def suite_yaml(suite: Suite) -> str:
    """Return a suite as YAML that can be published: without settings that are None and without paths."""
    return to_yaml(_without_none(without_machine_paths(dataclasses.asdict(suite))))


def suite_files(generated: GeneratedSuite) -> dict[str, str]:
    """Return a run's copy of its suite, by file name: the suite, cases, sources, what was left out, near-duplicates."""
    sources = [source.to_json() for source in generated.sources.values()]
    for row in sources:
        del row["path"]  # of this machine
    skipped = [without_machine_paths(dataclasses.asdict(skip)) for skip in generated.skipped]
    return {
        "suite.yaml": suite_yaml(generated.suite),
        "cases.jsonl": case_lines(generated.cases),
        "sources.jsonl": to_json_lines(sources),
        "skipped.jsonl": to_json_lines(skipped),
        "near_duplicates.jsonl": to_json_lines(map(dataclasses.asdict, generated.near_duplicates)),
    }


def input_keys(generated: GeneratedSuite, files: Mapping[str, str]) -> dict[str, Any]:
    """Return what records depend on of the suite, whose files are `suite_files`, as run.json keeps it in `decides`."""
    sources = {source.name: source.sha256 for source in generated.sources.values()}
    cropped = {source.name: list(source.crop) for source in generated.sources.values() if source.crop}
    return {
        "sampling": {**dataclasses.asdict(generated.suite.sampling), **({"crops": cropped} if cropped else {})},
        "cases_sha256": sha256(files["cases.jsonl"].encode()).hexdigest(),
        "sources_sha256": sources_sha256(sources),
        "score_by": generated.suite.score_by,  # named before the run, and not changed in the middle of it
    }


def _shard_metadata(plan: Plan) -> dict[str, Any]:
    """Return what run.json keeps of a shard, so that `niah merge` knows its siblings and can check the whole."""
    shard = plan.shard
    if shard is None:
        return {}
    positions = {case.id: position for position, case in enumerate(shard.whole)}
    return {
        "shard": {
            "i": shard.i,
            "count": shard.count,
            "cases": len(shard.whole),
            "cases_sha256": cases_sha256(shard.whole),
            "places": [positions[case.id] for case in plan.generated.cases],
        }
    }


def _input_files(config: RunConfig, plan: Plan) -> dict[str, str]:
    """Return config.yaml and the files of the suite, by name."""
    return {"config.yaml": to_yaml(config.to_yaml()), **suite_files(plan.generated)}


def _iso_time(seconds: float) -> str:
    """Return a moment as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _without_none(value: Any) -> Any:
    """Drop keys whose value is None, as a person would not write them."""
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return value

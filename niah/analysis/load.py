"""Read run folders; nothing is scored here.

A folder belongs to one run of `niah.run`. Shards of one run are folders that differ in nothing
but their cases, which are disjoint: `join` puts them together again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from niah.analysis.layout import Layout, infer_layout, merge_layouts
from niah.run.metadata import model_label, printable, read_metadata, without_shard_keys
from niah.run.records import cases_path, read_cases, read_records
from niah.settings import read_yaml
from niah.suite.config import Suite
from niah.suite.folder import NearDuplicate, read_near_duplicates
from niah.types import Case, Record, UserError


@dataclass(frozen=True)
class RunData:
    """The cases of a run, and the records of those that were asked.

    `model` names the model with its arguments; `decides` is what run.json says the records depend on, less what
    differs between shards. A case without a record is missing.
    """

    folder: Path
    model: str
    suite: str
    decides: Mapping[str, Any]
    cases: tuple[Case, ...]
    records: Mapping[str, Record]  # by case
    layout: Layout
    near_duplicates: tuple[NearDuplicate, ...] = ()
    needles_selected_by: str | None = None  # the model whose answers chose the needles


def read_run(folder: Path) -> RunData:
    """Read one run folder.

    Raises UserError where a file is missing or of another version, where two records name one
    case, or where a record or run.json speaks of other cases than the folder holds.
    """
    folder = Path(folder)
    about = _about(folder)
    decides = about["decides"]
    try:
        cases, digest = read_cases(folder)
        records_read = read_records(folder / "records.jsonl", missing_ok=False)
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} is missing: name a folder that niah run wrote") from None
    if digest != decides["cases_sha256"]:
        raise UserError(
            f"{cases_path(folder)} is not what run.json says was asked: restore the file, or run again with --fresh"
        )
    known = {case.id: case for case in cases}
    if len(known) < len(cases):
        raise UserError(f"{folder / 'cases.jsonl'} names a case twice: its one reply would count as two; run it again")
    records: dict[str, Record] = {}
    for record in records_read:
        if record.case not in known:
            raise UserError(f"{folder}: a record names case {record.case!r}, which cases.jsonl does not hold")
        if record.case in records:
            raise UserError(f"{folder}: two records name case {record.case!r}; run again with --fresh")
        _within(folder, record, known[record.case])
        records[record.case] = record
    suite = read_yaml(Suite, folder / "suite.yaml") if (folder / "suite.yaml").is_file() else None
    kept_by = None if suite is None or suite.kept is None else suite.kept.by
    return RunData(
        folder, model_label(decides), printable(about["suite"]), without_shard_keys(decides), cases, records,
        infer_layout(cases, suite), read_near_duplicates(folder), kept_by,
    )  # fmt: skip


def join_shards(runs: Sequence[RunData]) -> list[RunData]:
    """Put shards together, and tell apart by folder what would otherwise have one name.

    Raises UserError where one folder is named twice.
    """
    joined: list[RunData] = []
    for run in runs:
        shards = [other for other in joined if _are_shards(other, run)]
        if shards:
            joined[joined.index(shards[0])] = _together(shards[0], run)
        else:
            joined.append(run)
    return [_named(run, joined[:place]) for place, run in enumerate(joined)]


def with_distinct_names(runs: Sequence[RunData]) -> list[RunData]:
    """Name the suite with the model where one model ran on several suites and both are drawn on one page."""
    models = [run.model for run in runs]
    return [
        dataclasses.replace(run, model=f"{run.model} on {run.suite}") if models.count(run.model) > 1 else run
        for run in runs
    ]


def _named(run: RunData, before: Sequence[RunData]) -> RunData:
    """Return a run with as much of its folder in its name as none of those before it shares."""
    others = [other.folder.resolve().parts for other in before if (other.model, other.suite) == (run.model, run.suite)]
    if not others:
        return run
    own = run.folder.resolve().parts
    for count in range(1, len(own) + 1):
        if all(parts[-count:] != own[-count:] for parts in others):
            return dataclasses.replace(run, model=f"{run.model} [{'/'.join(own[-count:])}]")
    raise UserError(f"{run.folder} is named twice; name each run once: one run differs from itself by nothing")


def _are_shards(one: RunData, other: RunData) -> bool:
    """Tell whether two runs are parts of one: their records depend on the same, and no case was asked in both."""
    whole, others = ((run.model, run.suite, run.decides, run.needles_selected_by) for run in (one, other))
    return whole == others and not {case.id for case in one.cases} & {case.id for case in other.cases}


def _together(first: RunData, second: RunData) -> RunData:
    """Return two shards as one run."""
    cases = first.cases + second.cases
    return dataclasses.replace(
        first, cases=cases, records={**first.records, **second.records},
        layout=merge_layouts(first.layout, second.layout) or infer_layout(cases, None),
        near_duplicates=tuple(dict.fromkeys(first.near_duplicates + second.near_duplicates)),
    )  # fmt: skip


def _about(folder: Path) -> dict[str, Any]:
    """Return run.json. Raises UserError where it lacks what a table needs."""
    about = read_metadata(folder)
    held = {*about, *about.get("decides", {})}
    lacking = [key for key in ("decides", "suite", "model", "model_args", "cases_sha256") if key not in held]
    if lacking:
        raise UserError(f"{folder / 'run.json'} lacks {', '.join(lacking)}: another version wrote it; run again")
    return about


def _within(folder: Path, record: Record, case: Case) -> None:
    """Refuse a record that kept frames its video has not."""
    outside = [frame for frame in record.frames_kept if not 0 <= frame < case.length]
    if outside:
        raise UserError(
            f"{folder}: the record of {record.case} says it kept frame {outside[0]} of a video of {case.length}: the "
            "file was changed since it was written; run again with --fresh"
        )

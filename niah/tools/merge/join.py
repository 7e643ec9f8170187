"""Put shards together: the same cases, sources and order of records as one run of all of them.

The folder can be gone on with: `niah.run` with the same settings and without --shard asks what
the shards have not answered. Nothing is taken out of the shards, and merging again adds what came since.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from niah.io import replace_file, to_json_lines
from niah.run.folder import check_cases_known, locked, write_or_remove, write_run
from niah.run.metadata import read_metadata
from niah.run.plan import cold_first, sort_by_haystack
from niah.run.records import FINAL, read_records, rewrite_records
from niah.suite.hashes import cases_sha256, sources_sha256
from niah.tools.merge.part import ShardData, read_part, refuse_unlike, unlike_surroundings
from niah.types import Case, Record, UserError


@dataclass(frozen=True)
class MergeResult:
    """What came of a merge."""

    folder: Path
    cases: tuple[Case, ...]
    records: tuple[Record, ...]  # as the run would have asked
    twice: int  # cases that more than one shard has answered; the first that is final was taken
    differ: tuple[str, ...]  # what their surroundings differ in: versions, commit, accelerators


def merge_shards(folders: Sequence[Path], out: Path) -> MergeResult:
    """Write what the shards in `folders` hold together into `out`.

    Raises UserError where they are not the shards of one run, where one is missing or being written,
    and where `out` holds records of another run.
    """
    _refuse_places(folders, out)
    with ExitStack() as held:
        for folder in folders:
            held.enter_context(locked(folder))
        parts = [read_part(folder) for folder in folders]
        refuse_unlike(parts)
        cases = _cases(parts)
        sources = _sources(parts, cases)
        held.enter_context(locked(out))
        earlier = _earlier(out, _decides(parts[0], sources), cases)
        records, twice = _records(earlier, *(part.records for part in parts))
        ordered = cold_first(parts[0].suite, sort_by_haystack(cases))
        kept = tuple(records[case.id] for case in ordered if case.id in records)
        _write(out, parts, cases, sources)
        rewrite_records(out / "records.jsonl", kept)
    return MergeResult(out, cases, kept, twice, tuple(unlike_surroundings(parts)))


def _refuse_places(folders: Sequence[Path], out: Path) -> None:
    """Raise UserError where a shard is not there or named twice, and where `out` lies in one."""
    named: set[Path] = set()
    for folder in folders:
        place = folder.resolve()
        if not folder.is_dir():
            raise UserError(f"{folder} does not exist; name folders that niah.run --shard wrote")
        if place in named:
            raise UserError(f"{folder} was named twice; name every shard once")
        if out.resolve() == place:
            raise UserError(f"{out} is one of the shards; name another folder for the whole")
        if place in out.resolve().parents:
            raise UserError(f"{out} lies inside the shard {folder}; name a folder beside it for the whole")
        named.add(place)


def _cases(parts: Iterable[ShardData]) -> tuple[Case, ...]:
    """Return the cases of all parts as they were generated. Raises UserError where they are not those of the run."""
    placed = {place: case for part in parts for place, case in zip(part.places, part.cases, strict=True)}
    cases = tuple(placed[place] for place in sorted(placed))
    wanted = next(iter(parts)).whole_sha256
    if cases_sha256(cases) != wanted:
        raise UserError("the shards' cases.jsonl are not what was asked: restore them, or run the shards again")
    return cases


def _sources(parts: Iterable[ShardData], cases: Iterable[Case]) -> list[Mapping[str, Any]]:
    """Return the rows of sources.jsonl, by first use. Raises UserError where two shards read different files."""
    rows: dict[str, Mapping[str, Any]] = {}
    for part in parts:
        for row in part.sources:
            if rows.setdefault(row["name"], row)["sha256"] != row["sha256"]:
                raise UserError(
                    f"{part.folder}: source {row['name']!r} is another file than in a shard before it; run the shards "
                    "on copies of the same videos"
                )
    return [rows[name] for name in dict.fromkeys(span.source for case in cases for span in case.timeline)]


def _decides(part: ShardData, sources: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return everything a record of the whole run depends on."""
    hashes = {row["name"]: row["sha256"] for row in sources}
    return {**part.decides, "cases_sha256": part.whole_sha256, "sources_sha256": sources_sha256(hashes)}


def _earlier(out: Path, decides: Mapping[str, Any], cases: Iterable[Case]) -> list[Record]:
    """Return the records that `out` holds already. Raises UserError where they are of another run."""
    records = read_records(out / "records.jsonl")
    if records and read_metadata(out).get("decides") != decides:
        raise UserError(f"{out} holds records of another run; name another folder with -o")
    check_cases_known(out / "records.jsonl", records, {case.id for case in cases})
    return records


def _records(*groups: Iterable[Record]) -> tuple[dict[str, Record], int]:
    """Return one record for each case, the first that is final, and how many cases had several."""
    found: dict[str, Record] = {}
    several: set[str] = set()
    for record in (record for group in groups for record in group):
        held = found.get(record.case)
        if held is not None and record.measured != held.measured:  # the same line merged again is no second answer
            several.add(record.case)
        if held is None or (held.status not in FINAL and record.status in FINAL):
            found[record.case] = record
    return found, len(several)


def _write(out: Path, parts: Sequence[ShardData], cases: Iterable[Case], sources: list[Mapping[str, Any]]) -> None:
    """Write every file of a run's folder but the records."""
    first = parts[0]
    about = {key: value for key, value in first.about.items() if key not in ("shard", "decides", "runs")}
    each = ("command", "python", "versions", "device", "git", "worker", "runs")
    merged = [
        {"shard": f"{part.i}/{part.count}", **{key: part.about[key] for key in each if key in part.about}}
        for part in parts
    ]
    write_run(out, {**about, "decides": _decides(first, sources), "merged": merged})
    whole = {key: value for key, value in first.settings.items() if key not in ("shard", "output_path")}
    replace_file(out / "config.yaml", yaml.safe_dump(whole, sort_keys=False, allow_unicode=True))
    for name in ("suite.yaml", "skipped.jsonl", "near_duplicates.jsonl"):  # of the whole suite in every shard
        path = first.folder / name
        write_or_remove(out / name, path.read_text(encoding="utf-8") if path.is_file() else "")
    replace_file(out / "cases.jsonl", to_json_lines(case.to_json() for case in cases))
    replace_file(out / "sources.jsonl", to_json_lines(sources))

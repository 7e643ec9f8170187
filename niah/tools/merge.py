"""Merge the shards of one run: the same cases, sources and order of records as one run of all of them.

The merged folder can be resumed: `niah run` with the same settings and without --shard asks what the shards
have not answered. Nothing is taken out of the shards, and merging again adds the records written since.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from niah.io import read_json_lines, read_regular, to_json_lines
from niah.run.folder import check_cases_known, locked, to_yaml, write_inputs
from niah.run.metadata import differing_keys, read_metadata, refuse_other_run, without_shard_keys
from niah.run.plan import cold_cases, cold_first, sort_by_haystack
from niah.run.records import FINAL, read_cases, read_records, rewrite_records
from niah.run.same_model import merge_identities
from niah.settings import read_yaml
from niah.suite.config import Suite
from niah.suite.folder import case_lines, cases_sha256, sources_sha256
from niah.types import Case, Record, UserError

OF_EACH_SHARD = ("command", "python", "versions", "device", "git", "worker", "runs")  # keys of run.json


@dataclass(frozen=True)
class MergeResult:
    """The merged run, and what the user should know about it."""

    folder: Path
    cases: tuple[Case, ...]
    records: tuple[Record, ...]  # in the order a run would have asked
    answered_twice: int  # cases with records in several shards; the first final one was taken
    differing: tuple[str, ...]  # in what the shards' environments differ: versions, commit, accelerators
    unknown_models: tuple[str, ...]  # the folders whose answers are of a model without a recorded identity


@dataclass(frozen=True)
class ShardData:
    """One shard. `positions` are those of its cases among the cases of all shards."""

    folder: Path
    metadata: Mapping[str, Any]  # run.json
    i: int
    count: int
    whole: int  # the number of cases of all shards together
    whole_sha256: str  # of their cases.jsonl
    positions: tuple[int, ...]
    cases: tuple[Case, ...]
    records: tuple[Record, ...]
    sources: tuple[Mapping[str, Any], ...]  # rows of sources.jsonl
    suite: Suite
    settings: Mapping[str, Any]  # config.yaml

    @property
    def decides(self) -> dict[str, Any]:
        """What its records depend on, without the keys in which shards differ."""
        return without_shard_keys(self.metadata["decides"])

    @property
    def identity(self) -> Mapping[str, str] | None:
        """The identity of the model that answered, None where it is not recorded."""
        return self.metadata.get("identity")


def merge_shards(folders: Sequence[Path], out: Path) -> MergeResult:
    """Write what the shards in `folders` hold together into `out`.

    Raises UserError where they are not the shards of one run, where one is missing or being written,
    and where `out` holds records of another run.
    """
    _check_places(folders, out)
    with ExitStack() as locks:
        for folder in folders:
            locks.enter_context(locked(folder))
        shards = [read_shard(folder) for folder in folders]
        check_one_run(shards)
        cases = _merge_cases(shards)
        sources = _merge_sources(shards, cases)
        hashes = {"cases_sha256": shards[0].whole_sha256, "sources_sha256": _sources_sha256(sources)}
        decides = {**shards[0].decides, **hashes}
        locks.enter_context(locked(out))
        earlier = _earlier_records(out, decides, cases)
        answered = [(shard.folder, len(shard.records), shard.metadata) for shard in shards]
        identity = merge_identities([*answered, (out, len(earlier), read_metadata(out) if earlier else {})])
        found, answered_twice = _merge_records(earlier, *(shard.records for shard in shards))
        in_turn = sort_by_haystack(cases)
        ordered = cold_first(cold_cases(shards[0].suite, in_turn), in_turn)
        records = tuple(found[case.id] for case in ordered if case.id in found)
        write_inputs(out, {**_merge_metadata(shards, decides), **identity}, _input_files(shards[0], cases, sources))
        rewrite_records(out / "records.jsonl", records)
    unknown = tuple(str(shard.folder) for shard in shards if shard.records and shard.identity is None)
    return MergeResult(out, cases, records, answered_twice, tuple(differing_environments(shards)), unknown)


def read_shard(folder: Path) -> ShardData:
    """Read the folder of one shard. Raises UserError where it is not a shard's folder, or damaged."""
    folder = Path(folder)
    if not (folder / "run.json").is_file():
        raise UserError(f"{folder} is not the folder of a run; name those that niah run --shard wrote")
    metadata = read_metadata(folder)
    if "shard" not in metadata:
        raise UserError(f"{folder} holds no shard but a whole run; name folders that niah run --shard wrote")
    try:
        shard = _shard_data(folder, metadata)
    except FileNotFoundError as error:
        raise UserError(f"{folder} has no {Path(error.filename).name}; restore it, or run that shard again") from error
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise UserError(f"{folder} cannot be merged ({error!r}); run that shard again") from error
    consistent = (
        len(shard.positions) == len(shard.cases)
        and all(0 <= position < shard.whole for position in shard.positions)
        and all({"name", "sha256"} <= set(row) for row in shard.sources)
        and bool(shard.decides)
        and isinstance(shard.settings, dict)
    )
    if not consistent:
        raise UserError(f"{folder}: its run.json, config, cases and sources do not belong together; run it again")
    check_cases_known(folder / "records.jsonl", shard.records, {case.id for case in shard.cases})
    return shard


def check_one_run(shards: Sequence[ShardData]) -> None:
    """Raise UserError where the shards are not of one run, or some are missing."""
    _check_versions(shards)
    first = shards[0]
    for shard in shards[1:]:
        differing = sorted(differing_keys(first.decides, shard.decides))
        if shard.whole_sha256 != first.whole_sha256:
            differing = ["the cases of all shards together", *differing]
        if shard.suite != first.suite:
            differing.append("suite.yaml")
        if differing:
            raise UserError(
                f"{shard.folder} and {first.folder} are not shards of one run; these differ: {', '.join(differing)}. "
                "Name the shards of one run, made with the same settings"
            )
    present = {position for shard in shards for position in shard.positions}
    if len(present) < first.whole:
        named = {shard.i for shard in shards if shard.count == first.count}
        missing = sorted(set(range(1, first.count + 1)) - named)
        which = ", ".join(f"{i}/{first.count}" for i in missing) or "some"
        raise UserError(
            f"{first.whole - len(present)} of {first.whole} cases lie in shards that were not named ({which}); "
            "name those folders too, or run them first"
        )


def differing_environments(shards: Sequence[ShardData]) -> list[str]:
    """Return in what else the shards differ: other versions or machines may give other records."""
    found: dict[str, set[str]] = {}
    for shard in shards:
        for name, value in _environment(shard.metadata).items():
            found.setdefault(name, set()).add(value)
        for record in shard.records:
            found.setdefault("decoder", set()).add(record.decoder)
    return [f"{name} ({', '.join(sorted(values))})" for name, values in sorted(found.items()) if len(values) > 1]


def _shard_data(folder: Path, metadata: Mapping[str, Any]) -> ShardData:
    """Read the files of a shard; what is missing or damaged raises whatever it raises."""
    shard = metadata["shard"]
    cases = read_cases(folder)[0]
    sources: Iterable[tuple[int, Any]] = ()
    if any(case.timeline for case in cases):  # a shard of blind cases reads no video, and a run writes no empty file
        sources = read_json_lines(folder / "sources.jsonl", lambda row: row, "restore it, or run that shard again")
    return ShardData(
        folder=folder,
        metadata=metadata,
        i=shard["i"],
        count=shard["count"],
        whole=shard["cases"],
        whole_sha256=shard["cases_sha256"],
        positions=tuple(shard["places"]),
        cases=cases,
        records=tuple(read_records(folder / "records.jsonl")),
        sources=tuple(row for _, row in sources),
        suite=read_yaml(Suite, folder / "suite.yaml"),
        settings=yaml.safe_load(read_regular(folder / "config.yaml").decode("utf-8")),
    )


def _environment(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return versions, commit and devices of one shard, as its run.json has them."""
    worker = metadata.get("worker", {})
    device = metadata.get("device", {})
    git = metadata.get("git") or {}
    found = {**metadata.get("versions", {}), **worker.get("versions", {})}
    found["Python"] = worker.get("python", metadata.get("python"))
    found["git"] = f"{str(git.get('commit'))[:12]}{' with changes' if git.get('dirty') else ''}"
    found["accelerators"] = " and ".join(device.get("accelerators", [])) or "none"
    return {name: str(value) for name, value in found.items()}


def _check_places(folders: Sequence[Path], out: Path) -> None:
    """Raise UserError where a shard does not exist or is named twice, and where `out` lies in one."""
    named: set[Path] = set()
    for folder in folders:
        place = folder.resolve()
        if not folder.is_dir():
            raise UserError(f"{folder} does not exist; name folders that niah run --shard wrote")
        if place in named:
            raise UserError(f"{folder} was named twice; name every shard once")
        if out.resolve() == place:
            raise UserError(f"{out} is one of the shards; name another folder for the whole")
        if place in out.resolve().parents:
            raise UserError(f"{out} lies inside the shard {folder}; name a folder beside it for the whole")
        named.add(place)


def _check_versions(shards: Sequence[ShardData]) -> None:
    """Raise UserError where cases follow different versions of the suite's rules: no table may hold both."""
    folders: dict[int, Path] = {}
    for shard in shards:
        for case in shard.cases:
            folders.setdefault(case.version, shard.folder)
    if len(folders) > 1:
        where = ", ".join(f"version {version} in {folders[version]}" for version in sorted(folders))
        raise UserError(
            f"the shards follow different versions of the suite's rules ({where}), whose needles lie at other places: "
            "merge shards of one version only"
        )


def _merge_cases(shards: Iterable[ShardData]) -> tuple[Case, ...]:
    """Return the cases of all shards as they were generated. Raises UserError where they are not those of the run."""
    shards = list(shards)
    by_position = {
        position: case for shard in shards for position, case in zip(shard.positions, shard.cases, strict=True)
    }
    cases = tuple(by_position[position] for position in sorted(by_position))
    if cases_sha256(cases) != shards[0].whole_sha256:
        raise UserError("the shards' cases.jsonl do not have the recorded hash: restore them, or run the shards again")
    return cases


def _merge_sources(shards: Iterable[ShardData], cases: Iterable[Case]) -> list[Mapping[str, Any]]:
    """Return the rows of sources.jsonl, by first use. Raises UserError where two shards read different files."""
    rows: dict[str, Mapping[str, Any]] = {}
    for shard in shards:
        for row in shard.sources:
            if rows.setdefault(row["name"], row)["sha256"] != row["sha256"]:
                raise UserError(
                    f"{shard.folder}: source {row['name']!r} is another file than in a shard before it; run the shards "
                    "on copies of the same videos"
                )
    return [rows[name] for name in dict.fromkeys(span.source for case in cases for span in case.timeline)]


def _sources_sha256(sources: Iterable[Mapping[str, Any]]) -> str:
    return sources_sha256({row["name"]: row["sha256"] for row in sources})


def _earlier_records(out: Path, decides: Mapping[str, Any], cases: Iterable[Case]) -> list[Record]:
    """Return the records that `out` already holds. Raises UserError where they are of another run."""
    records = read_records(out / "records.jsonl")
    if records:
        refuse_other_run(out, decides, "Name another folder with -o")
    check_cases_known(out / "records.jsonl", records, {case.id for case in cases})
    return records


def _merge_records(*groups: Iterable[Record]) -> tuple[dict[str, Record], int]:
    """Return one record for each case, the first that is final, and how many cases had several."""
    found: dict[str, Record] = {}
    answered_twice: set[str] = set()
    for record in (record for group in groups for record in group):
        held = found.get(record.case)
        if held is not None and record.measured != held.measured:  # the same line merged again is no second answer
            answered_twice.add(record.case)
        if held is None or (held.status not in FINAL and record.status in FINAL):
            found[record.case] = record
    return found, len(answered_twice)


def _merge_metadata(shards: Sequence[ShardData], decides: Mapping[str, Any]) -> dict[str, Any]:
    """Return run.json of the whole: that of the first shard, and under `merged` what each shard ran on and when."""
    own = ("shard", "decides", "runs", "cases", "identity", "earlier_identities")
    common = {key: value for key, value in shards[0].metadata.items() if key not in own}
    merged = [
        {
            "shard": f"{shard.i}/{shard.count}",
            **{key: shard.metadata[key] for key in OF_EACH_SHARD if key in shard.metadata},
        }
        for shard in shards
    ]
    return {**common, "decides": decides, "merged": merged}


def _input_files(first: ShardData, cases: Iterable[Case], sources: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the files of a run's folder but run.json and the records, by name; each shard has those of the suite."""
    settings = {key: value for key, value in first.settings.items() if key not in ("shard", "output_path")}
    files = {"config.yaml": to_yaml(settings)}
    for name in ("suite.yaml", "skipped.jsonl", "near_duplicates.jsonl"):
        path = first.folder / name
        files[name] = read_regular(path).decode("utf-8") if path.is_file() else ""
    files["cases.jsonl"] = case_lines(cases)
    files["sources.jsonl"] = to_json_lines(sources)
    return files

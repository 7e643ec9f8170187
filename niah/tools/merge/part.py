"""Read the folders of shards, and refuse what are not shards of one run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from niah.io import numbered_lines
from niah.run.folder import check_cases_known
from niah.run.metadata import read_metadata, without_shard_keys
from niah.run.records import read_records
from niah.settings import read_yaml
from niah.suite.config import Suite
from niah.types import Case, Record, UserError


@dataclass(frozen=True)
class ShardData:
    """One shard. `places` are those of its cases among the cases of all shards."""

    folder: Path
    about: Mapping[str, Any]  # run.json
    i: int
    count: int
    whole: int  # how many cases all shards hold together
    whole_sha256: str  # of their cases.jsonl
    places: tuple[int, ...]
    cases: tuple[Case, ...]
    records: tuple[Record, ...]
    sources: tuple[Mapping[str, Any], ...]  # rows of sources.jsonl
    suite: Suite
    settings: Mapping[str, Any]  # config.yaml

    @property
    def decides(self) -> dict[str, Any]:
        """What its records depend on, less what tells which shard it is."""
        return without_shard_keys(self.about["decides"])


def read_part(folder: Path) -> ShardData:
    """Read the folder of one shard. Raises UserError where it is none, or was damaged."""
    folder = Path(folder)
    if not (folder / "run.json").is_file():
        raise UserError(f"{folder} is not the folder of a run; name those that niah.run --shard wrote")
    about = read_metadata(folder)
    if "shard" not in about:
        raise UserError(f"{folder} holds no shard but a whole run; name folders that niah.run --shard wrote")
    try:
        shard = about["shard"]
        cases = tuple(Case.from_json(row) for row in _rows(folder / "cases.jsonl"))
        sources = tuple(_rows(folder / "sources.jsonl"))
        part = ShardData(
            folder, about, shard["i"], shard["count"], shard["cases"], shard["cases_sha256"], tuple(shard["places"]),
            cases, tuple(read_records(folder / "records.jsonl")), sources,
            read_yaml(Suite, folder / "suite.yaml"), yaml.safe_load((folder / "config.yaml").read_text("utf-8")),
        )  # fmt: skip
        sound = len(part.places) == len(cases) and all(0 <= place < part.whole for place in part.places)
        sound = sound and all({"name", "sha256"} <= set(row) for row in sources) and bool(part.decides)
        sound = sound and isinstance(part.settings, dict)
    except FileNotFoundError as error:
        raise UserError(f"{folder} lacks {Path(error.filename).name}; restore it, or run that shard again") from error
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise UserError(f"{folder} cannot be merged ({error!r}); run that shard again") from error
    if not sound:
        raise UserError(f"{folder}: its run.json, config, cases and sources do not belong together; run it again")
    check_cases_known(folder / "records.jsonl", part.records, {case.id for case in cases})
    return part


def refuse_unlike(parts: Sequence[ShardData]) -> None:
    """Raise UserError where the parts are not of one run, or some are missing."""
    first = parts[0]
    for part in parts[1:]:
        differ = sorted(key for key in first.decides if first.decides[key] != part.decides.get(key))
        if part.whole_sha256 != first.whole_sha256:
            differ = ["the cases of all shards together", *differ]
        if part.suite != first.suite:
            differ.append("suite.yaml")
        if differ:
            raise UserError(
                f"{part.folder} and {first.folder} are not shards of one run; these differ: {', '.join(differ)}. "
                "Name the shards of one run, made with the same settings"
            )
    given = {place for part in parts for place in part.places}
    if len(given) < first.whole:
        absent = sorted(set(range(1, first.count + 1)) - {part.i for part in parts if part.count == first.count})
        which = ", ".join(f"{i}/{first.count}" for i in absent) or "some"
        raise UserError(
            f"{first.whole - len(given)} of {first.whole} cases lie in shards that were not named ({which}); "
            "name those folders too, or run them first"
        )


def unlike_surroundings(parts: Sequence[ShardData]) -> list[str]:
    """Say what else differs between the parts: records of other versions or machines are not surely alike."""
    found: dict[str, set[str]] = {}
    for part in parts:
        for name, value in _surroundings(part.about).items():
            found.setdefault(name, set()).add(value)
        for record in part.records:
            found.setdefault("decoder", set()).add(record.decoder)
    return [f"{name} ({', '.join(sorted(values))})" for name, values in sorted(found.items()) if len(values) > 1]


def _surroundings(about: Mapping[str, Any]) -> dict[str, str]:
    """Return versions, commit and devices of one part, as run.json tells them."""
    worker, device = about.get("worker", {}), about.get("device", {})
    told = {**about.get("versions", {}), **worker.get("versions", {})}
    told["Python"] = worker.get("python", about.get("python"))
    git = about.get("git") or {}
    told["git"] = f"{str(git.get('commit'))[:12]}{' with changes' if git.get('dirty') else ''}"
    told["accelerators"] = " and ".join(device.get("accelerators", [])) or "none"
    return {name: str(value) for name, value in told.items()}


def _rows(path: Path) -> list[Any]:
    """Return the rows of a file of JSON lines."""
    return [json.loads(line) for _, line in numbered_lines(path.read_text(encoding="utf-8"))]

"""The run metadata, run.json: what was run, on what, and when; read by everything that reads a run.

`decides` holds all that a record depends on: the model and its settings, the sampling, the hashes of the cases and of
the video files. Two folders whose `decides` agree hold records of one experiment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from niah.io import read_regular, replace_file
from niah.terminal import printable
from niah.types import UserError

KINDS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("decides", "versions", "device", "worker", "shard"), dict),
    **dict.fromkeys(("suite", "target", "python", "cases"), str),
    "git": (dict, type(None)),  # None outside a git checkout
    "identity": dict,  # of the model, as niah.run.identity reports it; runs before it was recorded have none
    **dict.fromkeys(("runs", "earlier_identities"), list),
}
DECIDES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("model_args", "sampling"), dict),
    **dict.fromkeys(("model", "cases_sha256", "sources_sha256"), str),
    "score_by": (str, type(None)),
}
SHARD_KEYS = ("cases_sha256", "sources_sha256")  # the keys of `decides` in which shards of one run differ
READABLE_NAMES = {"cases_sha256": "the cases", "sources_sha256": "the video files"}


def read_metadata(folder: Path) -> dict[str, Any]:
    """Return run.json, in which each known key, where present, has a value of its type.

    Raises UserError where the file is missing or damaged. Which keys must be present, the caller knows.
    """
    path = Path(folder) / "run.json"
    try:
        metadata = json.loads(read_regular(path))
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing: name a folder that niah run wrote (its --output_path); records without it "
            "are set aside by --fresh"
        ) from None
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, nested without end
        raise _unreadable(path, str(error)) from error
    if not isinstance(metadata, dict):
        raise _unreadable(path, "it holds no keys and values")
    _check(path, metadata, KINDS)
    _check(path, metadata.get("decides", {}), DECIDES)
    for entry in metadata.get("runs", []):
        _check(path, {"an entry of runs": entry}, {"an entry of runs": dict})
    for name, part in metadata.get("identity", {}).items():
        _check(path, {f"identity of {name}": part}, {f"identity of {name}": str})
    return metadata


def update_metadata(folder: Path, values: Mapping[str, Any]) -> None:
    """Merge values into run.json."""
    path = folder / "run.json"
    known = read_metadata(folder) if path.exists() else {}
    replace_file(path, json.dumps({**known, **values}, ensure_ascii=False, indent=1) + "\n")


def without_shard_keys(decides: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the records of a whole run depend on, given that of one of its shards."""
    return {key: value for key, value in decides.items() if key not in SHARD_KEYS}


def differing_keys(decides: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the keys of `decides` that have another value in `other`."""
    return [key for key, value in decides.items() if other.get(key) != value]


def refuse_other_run(folder: Path, decides: Mapping[str, Any], remedy: str) -> None:
    """Raise UserError naming what differs where the folder holds records of another run."""
    recorded = read_metadata(folder).get("decides", {})
    differing = [
        READABLE_NAMES.get(key, f"{key} ({recorded.get(key)!r} there, {decides[key]!r} now)")
        for key in differing_keys(decides, recorded)
    ]
    if differing:
        raise UserError(f"{folder} holds records of another run; these differ: {', '.join(differing)}. {remedy}")


def model_label(decides: Mapping[str, Any]) -> str:
    """Return the model's name with its arguments."""
    arguments = ", ".join(f"{key}={value}" for key, value in sorted(decides["model_args"].items()))
    return printable(f"{decides['model']} ({arguments})" if arguments else decides["model"])


def _check(path: Path, values: Mapping[str, Any], kinds: Mapping[str, type | tuple[type, ...]]) -> None:
    """Raise UserError for a value of another type than any run writes."""
    for key, kind in kinds.items():
        if key in values and not isinstance(values[key], kind):
            raise _unreadable(path, f"{key} is {values[key]!r}")


def _unreadable(path: Path, why: str) -> UserError:
    return UserError(f"{path.parent} holds no readable run.json ({why}); restore it, use --fresh or another folder")

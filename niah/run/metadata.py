"""run.json: what was run, on what, and when; read by everything that reads a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from niah.types import UserError

KINDS: dict[str, type] = {
    **dict.fromkeys(("decides", "versions", "device", "git", "worker", "shard"), dict),
    **dict.fromkeys(("suite", "target", "python"), str),
    "runs": list,
}
DECIDES: dict[str, type] = {
    **dict.fromkeys(("model_args", "sampling"), dict),
    **dict.fromkeys(("model", "cases_sha256", "sources_sha256"), str),
}
OF_A_SHARD = ("cases_sha256", "sources_sha256")  # of what decides a record, all that differs between siblings


def read_metadata(folder: Path) -> dict[str, Any]:
    """Return run.json, in which every key that is there is of its kind.

    Raises UserError where the file is missing or damaged. Which keys there must be, the caller knows.
    """
    path = Path(folder) / "run.json"
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing: name a folder that niah run wrote (its --output_path); records without it "
            "are set aside by --fresh"
        ) from None
    except ValueError as error:  # not JSON, not UTF-8
        raise _unreadable(path, str(error)) from error
    if not isinstance(about, dict):
        raise _unreadable(path, "it holds no keys and values")
    _check(path, about, KINDS)
    _check(path, about.get("decides", {}), DECIDES)
    for one in about.get("runs", []):
        _check(path, {"an entry of runs": one}, {"an entry of runs": dict})
    return about


def without_shard_keys(decides: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run's records depend on, less what tells which of its shards this is."""
    return {key: value for key, value in decides.items() if key not in OF_A_SHARD}


def _check(path: Path, values: Mapping[str, Any], kinds: Mapping[str, type]) -> None:
    """Raise UserError for a value of another kind than any run writes."""
    for key, kind in kinds.items():
        if key in values and not isinstance(values[key], kind):
            raise _unreadable(path, f"{key} is {values[key]!r}")


def _unreadable(path: Path, why: str) -> UserError:
    return UserError(f"{path.parent} holds no readable run.json ({why}); restore it, use --fresh or another folder")

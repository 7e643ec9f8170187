"""The hashes by which runs and suites name their cases and their videos, and the file that keeps them beside a suite.

They find what was changed by accident or on the way. Who rewrites the cases on purpose can rewrite the file as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

from niah.io import replace_file, to_json_lines
from niah.types import Case, UserError

HASHES = "hashes.json"


def cases_sha256(cases: Iterable[Case]) -> str:
    """Return the hash of cases.jsonl, by which runs name the cases they asked."""
    return sha256(to_json_lines(case.to_json() for case in cases).encode()).hexdigest()


def sources_sha256(hashes: Mapping[str, str]) -> str:
    """Return one hash for the file hashes of all sources, by name."""
    return sha256(json.dumps(sorted(hashes.items())).encode()).hexdigest()


def suite_sha256(folder: Path) -> str:
    """Return the hash of a folder's suite.yaml, which says how its videos are sampled; "" where there is none."""
    path = folder / "suite.yaml"
    return sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def write_hashes(folder: Path, cases: Iterable[Case], sources: Mapping[str, str]) -> str:
    """Write hashes.json beside suite.yaml and return its name; `sources` are the hashes of the files, by name."""
    kept = {
        "cases_sha256": cases_sha256(cases),
        "sources_sha256": sources_sha256(sources),
        "suite_sha256": suite_sha256(folder),
    }
    replace_file(folder / HASHES, json.dumps(kept, indent=1) + "\n")
    return HASHES


def read_hashes(folder: Path) -> dict[str, str]:
    """Return what `write_hashes` wrote; nothing where there is no such file. Raises UserError where it is damaged."""
    path = folder / HASHES
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}); restore it") from error
    if not isinstance(kept, dict) or not {"cases_sha256", "sources_sha256"} <= set(kept):
        raise UserError(f"{path} lacks cases_sha256 or sources_sha256; restore it")
    return kept

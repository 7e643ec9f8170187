"""The list of a suite's footage: files, the repositories they come from, hashes, licences.

A list is JSON lines in configs/footage, one file each. A file is the byte concatenation of its parts, which lie in one
repository at one commit: whoever has a network makes the same bytes. More footage later is more lines.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from niah.io import read_json_lines
from niah.settings import from_mapping, unknown_name
from niah.types import UserError

LISTS_FOLDER = Path(__file__).resolve().parents[3] / "configs" / "footage"
FOOTAGE_FOLDER = Path(__file__).resolve().parents[3] / "footage"
SHA256 = re.compile(r"[0-9a-f]{64}")
COMMIT = re.compile(r"[0-9a-f]{40}")
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class FilePart:
    """A piece of a file: a path in the repository, its hash and size."""

    path: str
    sha256: str
    bytes: int

    def __post_init__(self) -> None:
        _check(self.sha256, SHA256, "sha256")
        _refuse_escape(self.path)


@dataclass(frozen=True)
class ListedFile:
    """One video, and where its bytes come from."""

    file: str  # where it goes, below the folder of the suite's footage
    sha256: str
    bytes: int
    licence: str  # an SPDX expression
    attribution: str
    repository: str  # owner/name
    commit: str
    parts: tuple[FilePart, ...]
    note: str = ""

    def __post_init__(self) -> None:
        _check(self.sha256, SHA256, "sha256")
        _check(self.commit, COMMIT, "commit")
        _check(self.repository, REPOSITORY, "repository")
        _refuse_escape(self.file)
        if sum(part.bytes for part in self.parts) != self.bytes:
            raise UserError(f"{self.file}: its parts have {sum(part.bytes for part in self.parts):,} bytes together")


def read_list(name: str) -> tuple[Path, tuple[ListedFile, ...]]:
    """Return the path and the files of a list: a name in configs/footage, or a .jsonl file. Raises UserError."""
    path = Path(name) if name.endswith(".jsonl") else LISTS_FOLDER / f"{name}.jsonl"
    if not path.is_file():
        known = sorted(found.stem for found in LISTS_FOLDER.glob("*.jsonl") if "needles" not in found.stem)
        raise UserError(f"{unknown_name('footage list', name, known)} A list of your own is named by its .jsonl file.")
    rows = read_json_lines(path, lambda row: from_mapping(ListedFile, row, "a listed file"), "restore the list")
    files = tuple(file for _, file in rows)
    repeated = [name for name, count in Counter(file.file for file in files).items() if count > 1]
    if repeated:
        raise UserError(f"{path}: {repeated[0]} is listed twice; remove one of the lines")
    return path, files


def licences(files: Sequence[ListedFile]) -> str:
    """Return each file's licence and whom it must be attributed to, as Markdown."""
    lines = ["# Licences of this footage", ""]
    for file in files:
        source = f"{file.repository} at {file.commit}"
        lines.append(f"- `{file.file}`: {file.licence}. {file.attribution}. From {source}.")
    return "\n".join(lines) + "\n"


def _check(text: str, pattern: re.Pattern, what: str) -> None:
    """Raise UserError for a text of another form."""
    if not pattern.fullmatch(text):
        raise UserError(f"{what} is {text!r}; restore the list")


def _refuse_escape(path: str) -> None:
    """Raise UserError for a path that leaves its folder."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts:
        raise UserError(f"{path!r} leads out of its folder; restore the list")

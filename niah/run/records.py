"""records.jsonl: one line per case, appended as soon as it is known, before the next case is asked.

A run that is killed while it writes leaves half a line; reading drops it, and its case
is asked again. On a full disk the file is cut back to its last whole line. The disk is waited for
once a second at most: a machine that loses its power costs the answers of a second.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from niah.io import CannotWrite, no_cycles, open_to_append, parse_json_lines, replacing, unpacked_lines
from niah.run.metadata import read_metadata
from niah.settings import check_types
from niah.typed_lines import line_decoder
from niah.types import Case, Record, UserError

FINAL = ("ok", "oom")  # statuses that would be the same if the case were asked again
MEASURED = {  # numbers that readers compute with
    "seconds_to_first_token", "peak_allocated_bytes", "peak_reserved_bytes", "peak_device_bytes", "reused_frames",
    "file_to_answer_seconds", "decode_seconds", "decoded_frames", "handed_out", "peak_host_bytes",
}  # fmt: skip
SYNC_SECONDS = 1.0
MAX_MEASURED = 1e18  # bytes or seconds of one case; sums of many stay finite
COUNTS = ("frames_used", "needle_frames_kept", "needle_frames_used", "repeats", "language_tokens")


class Records:
    """An open records.jsonl that is only ever appended to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = open_to_append(path)
        self._on_disk = os.fstat(self._descriptor).st_size
        self._due = time.monotonic()  # when the disk is waited for next

    def append(self, record: Record) -> None:
        """Write one line. Raises CannotWrite, with no part of the line left."""
        whole = os.fstat(self._descriptor).st_size
        data = _line(record)
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError as error:
            raise self._cut_back(whole, error) from error
        if time.monotonic() >= self._due:
            self._sync()

    def close(self) -> None:
        """Wait until the disk has every line, and close the file. Raises CannotWrite."""
        try:
            self._sync()
        finally:
            os.close(self._descriptor)

    def _sync(self) -> None:
        """Wait for the disk. Raises CannotWrite, with only those lines left that it has."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise self._cut_back(self._on_disk, error) from error
        self._on_disk = os.fstat(self._descriptor).st_size
        self._due = time.monotonic() + SYNC_SECONDS

    def _cut_back(self, size: int, error: OSError) -> CannotWrite:
        os.ftruncate(self._descriptor, size)
        return CannotWrite(
            f"{self.path} cannot be written ({error.strerror}); the records in it are whole. "
            "Free some space and run the same command again"
        )


@no_cycles()
def read_records(path: Path, missing_ok: bool = True) -> list[Record]:
    """Return the records of a file or its gzipped copy, without a last line that was cut short.

    Without a file there are no records, or with `missing_ok` False raises FileNotFoundError.
    Raises UserError naming a line that is no record.
    """
    found = parse_json_lines(
        unpacked_lines(path),
        path,
        lambda row: check_record(Record.from_json(row)),
        "use --fresh or another folder",
        drop_unfinished=True,
        fast=line_decoder(Record, _check_values),
    )
    try:
        return [record for _, record in found]
    except FileNotFoundError:
        if not missing_ok:
            raise
        return []


@no_cycles()
def read_cases(folder: Path) -> tuple[tuple[Case, ...], str]:
    """Return the cases of a run's or suite's folder, and the SHA-256 of their file; the file may be gzipped.

    Raises FileNotFoundError without such a file, UserError naming a line that is no case.
    """
    path, digest = cases_path(folder), sha256()

    def hashed() -> Iterator[bytes]:
        for line in unpacked_lines(path):
            digest.update(line)
            yield line

    parsed = parse_json_lines(
        hashed(), path, lambda row: check_types(Case.from_json(row)), "restore the file", fast=line_decoder(Case)
    )
    return tuple([case for _, case in parsed]), digest.hexdigest()


def cases_path(folder: Path) -> Path:
    """Return where a folder's cases are: its cases.jsonl, or the shared file that `cases` in its run.json names.

    The name is relative to the folder, and the file lies among the runs beside it or below them: a folder
    from a stranger must not choose which files are read. Raises UserError where it lies elsewhere.
    """
    folder = Path(folder)
    name = read_metadata(folder).get("cases") if (folder / "run.json").is_file() else None
    if name is None:
        return folder / "cases.jsonl"
    path = folder / name
    if Path(name).is_absolute() or not path.resolve().is_relative_to(folder.resolve().parent):
        raise UserError(
            f"{folder / 'run.json'} names the cases {name!r}, which lie outside {folder.resolve().parent}; "
            "move the file of cases beside the runs that share it"
        )
    return path


def rewrite_records(path: Path, records: Iterable[Record]) -> None:
    """Replace the file by these records; at every moment it is either the old or the new one."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        for record in records:
            file.write(_line(record))
        file.flush()
        os.fsync(file.fileno())


def set_aside(path: Path) -> None:
    """Rename a records.jsonl, and its gzipped copy, to records.jsonl.1 or the next number that is free."""
    for file in (path, path.with_name(f"{path.name}.gz")):
        if not file.exists():
            continue
        number = 1
        while (aside := file.with_name(f"{file.name}.{number}")).exists():
            number += 1
        file.rename(aside)


def check_record(record: Record) -> Record:
    """Return the record. Raises TypeError where a value is of another type than any run writes: the file is damaged."""
    check_types(record)
    _check_values(record)
    return record


def _check_values(record: Record) -> None:
    """Raise TypeError where a number is out of range."""
    for name in COUNTS:
        count = getattr(record, name)
        if count is not None and count < 0:
            raise TypeError(f"{name} is {count}, and counts are never below 0")
    if record.frame_size is not None and (len(record.frame_size) != 2 or min(record.frame_size) < 1):
        raise TypeError(f"frame_size is {list(record.frame_size)}, and is height and width in pixels")
    _check_measured(record.measured)


def _check_measured(measured: Mapping[str, Any]) -> None:
    """Raise TypeError where what a case cost is no number from 0 up; keys that nothing reads may hold anything."""
    for name, value in measured.items():
        if name in MEASURED:
            if value is not None and not _counts(value):
                raise TypeError(f"{name} is {value!r:.80}, and measured numbers count from 0 up")
        elif name in ("seconds", "usage"):
            _check_parts(name, value or {})


def _check_parts(name: str, parts: Any) -> None:
    """Raise TypeError where the parts of a cost are no numbers from 0 up; usage also holds texts."""
    if not isinstance(parts, Mapping):
        raise TypeError(f"{name} is {parts!r:.80}, and holds numbers by name")
    for part in parts.values():
        if not (part is None or _counts(part) or name == "usage" and isinstance(part, str)):
            raise TypeError(f"{name} holds {part!r:.80}, and measured numbers count from 0 up")


def _counts(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < MAX_MEASURED


def _line(record: Record) -> bytes:
    """Return a record as one line of JSON."""
    row = json.dumps(record.to_json(), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return row.encode("utf-8", "backslashreplace") + b"\n"

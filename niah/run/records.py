"""records.jsonl: one line per case, appended when it is known and on disk before the next is asked.

A run killed in the middle of a line leaves half a line; reading drops it, and its
case is asked again. A full disk cuts the file back to its last whole line.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from pathlib import Path

from niah.io import CannotWrite, open_to_append, replacing
from niah.types import Record, UserError

FINAL = ("ok", "oom")  # statuses that asking again would not change
KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("case", "model", "mode", "decoder", "detail"), (str,)),
    **dict.fromkeys(("frames_used", "needle_frames_kept", "needle_frames_used", "repeats"), (int,)),
    **dict.fromkeys(("measured", "settings"), (dict,)),
    "reply": (str, type(None)),
    "language_tokens": (int, type(None)),
}


class Records:
    """An open records.jsonl that is only ever appended to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = open_to_append(path)

    def append(self, record: Record) -> None:
        """Write one line and wait until the disk has it. Raises CannotWrite, with no part of the line left."""
        whole = os.fstat(self._descriptor).st_size
        data = _line(record)
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
            os.fsync(self._descriptor)
        except OSError as error:
            os.ftruncate(self._descriptor, whole)
            raise CannotWrite(
                f"{self.path} cannot be written ({error.strerror}); the records before {record.case} are whole. "
                "Free some space and run the same command again"
            ) from error

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def read_records(path: Path) -> list[Record]:
    """Return the records of a file, less a last line that was cut short; none where there is no file.

    Raises UserError naming a line that is no record.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    records = []
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):  # what follows the last newline is half a line
        try:
            records.append(check_record(Record.from_json(json.loads(line))))
        except (ValueError, TypeError) as error:
            raise UserError(f"{path}, line {number} is no record ({error}); use --fresh or another folder") from error
    return records


def rewrite_records(path: Path, records: Iterable[Record]) -> None:
    """Put these records in place of the file, which at every moment is either the old or the new one."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        for record in records:
            file.write(_line(record))
        file.flush()
        os.fsync(file.fileno())


def set_aside(path: Path) -> None:
    """Rename a records.jsonl to records.jsonl.1, or the next number that is free."""
    number = 1
    while (aside := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    path.rename(aside)


def check_record(record: Record) -> Record:
    """Return the record. Raises TypeError where a value is of another kind than any run writes: a damaged file."""
    for name, kinds in KINDS.items():
        value = getattr(record, name)
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise TypeError(f"{name} is {value!r}")
        if isinstance(value, int) and value < 0:
            raise TypeError(f"{name} is {value}, and nothing is counted below 0")
    for name, kind in (("frames_kept", int), ("sources", str), ("option_scores", int | float)):
        for value in getattr(record, name) or ():
            finite = not isinstance(value, float) or math.isfinite(value)
            if not isinstance(value, kind) or isinstance(value, bool) or not finite:
                raise TypeError(f"{name} holds {value!r}")
    return record


def _line(record: Record) -> bytes:
    """Return a record as one line of JSON."""
    row = json.dumps(record.to_json(), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return row.encode("utf-8", "backslashreplace") + b"\n"

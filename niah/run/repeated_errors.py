"""Which failures are the same, and the end of a run in which one recurs again and again.

A model that fails at every case would otherwise be asked thousands of times. Errors are the same if their first lines
differ in numbers only: a frame's number or a tensor's address is no other cause.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from niah.run.records import FINAL
from niah.types import Record

NUMBER = re.compile(r"0x[0-9a-fA-F]+|\d+(\.\d+)?")


class RepeatedError(Exception):
    """The same error came too often in a row; the message says which."""


class RepeatedErrors:
    """Counts how often in a row the same error came, and raises RepeatedError at the limit; 0 is no limit."""

    def __init__(self, limit: int) -> None:
        self._limit, self._last, self._count = limit, "", 0

    def add(self, record: Record) -> None:
        """Count one record. Raises RepeatedError."""
        same = "" if record.status in FINAL else cause(record)
        self._count = self._count + 1 if same and same == self._last else int(bool(same))
        self._last = same
        if self._limit and self._count >= self._limit:
            raise RepeatedError(f"the same error came {self._count} times in a row: {first_line(record)}")


def cause(record: Record) -> str:
    """Return what equal failures have in common: the status, and the error's first line without its numbers."""
    return f"{record.status}: {NUMBER.sub('#', first_line(record))}"


def first_line(record: Record) -> str:
    """Return the first line of a failure, which is the exception and its message."""
    return record.detail.partition("\n")[0] or record.status


def commonest(records: Iterable[Record]) -> tuple[str, int, int] | None:
    """Return the first line of the most frequent failure, how often it came, and how many cases failed in all."""
    failed = [record for record in records if record.status not in FINAL]
    if not failed:
        return None
    (name, count), *_ = Counter(map(cause, failed)).most_common(1)
    return first_line(next(record for record in failed if cause(record) == name)), count, len(failed)

"""Progress of work that takes minutes: a bar on a terminal, elsewhere a line now and then that says what is done."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from tqdm import tqdm

from niah.terminal import printable, to_stderr

T = TypeVar("T")
FIRST, EVERY = 10.0, 60.0  # seconds until the first line, and between two: what is quick says nothing


def tracked(items: Sequence[T], what: str, unit: str = "file") -> Iterator[T]:
    """Yield items, and report how many are done."""
    with progress(len(items), what, unit) as update:
        for item in items:
            yield item
            update(1)


@contextmanager
def progress(total: int, what: str, unit: str = "file") -> Iterator[Callable[[int], object]]:
    """Yield what is called with the number of units that have been done since."""
    if sys.stderr.isatty():
        with tqdm(total=total, desc=printable(what), unit=unit, leave=False) as bar:
            yield bar.update
        return
    lines = Lines(total, what, unit)
    yield lines.update


class Lines:
    """Writes lines like "scanning haystacks: 3 of 12 files" to stderr."""

    def __init__(self, total: int, what: str, unit: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._total, self._what, self._unit, self._clock = total, what, unit, clock
        self._done, self._due = 0, clock() + FIRST

    def update(self, count: int) -> None:
        """Count units as done; write a line if one is due."""
        self._done += count
        if self._clock() >= self._due:
            to_stderr(f"{self._what}: {self._done:,} of {self._total:,} {self._unit}s\n")
            self._due = self._clock() + EVERY

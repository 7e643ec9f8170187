"""The progress bars of a run, on stderr: one while memory is measured, then one with accuracy, failures and time left.

Cold cases come first, each in a process of its own that loads the model anew. They say nothing about the pace of the
rest, so they have a bar without a rate. The time left is not the bar's, which takes all cases to be alike.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from tqdm import tqdm

from niah.option_scores import is_correct
from niah.run.plan import Plan
from niah.run.records import FINAL
from niah.run.repeated_errors import cause, first_line
from niah.run.time_left import TimeLeft, duration
from niah.terminal import printable, printable_lines
from niah.types import Case, Record

COLD_BAR = "{desc}: {n_fmt} of {total_fmt} cases in fresh processes [{elapsed}]"
BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"


class _Bar(tqdm):
    """A bar that asks what to say beside it when it is drawn, and not for every case: some models answer in no time."""

    say: Callable[[], str] = staticmethod(str)

    @property
    def format_dict(self) -> dict[str, Any]:
        """What the bar is drawn from."""
        return {**super().format_dict, "postfix": self.say()}


class Progress:
    """Bars over the planned cases: first the cold ones, then the others.

    Args:
        plan: the cases.
        done: records of earlier runs; their cases are counted from the start.
        model: the model's name, for the bar.
        clock: returns seconds, for the time left.
    """

    def __init__(
        self, plan: Plan, done: Sequence[Record], model: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        cases = {case.id: case for case in plan.ordered}
        self._closed = threading.Event()
        self._cold = plan.cold
        self._name = printable(f"asking {model}".strip())
        self._score_by = plan.generated.suite.score_by
        self._right = 0
        self._answered = 0
        self._statuses: Counter[str] = Counter()
        self._causes: set[str] = set()  # of failures that were printed whole
        names = {record.case for record in done}
        for record in done:
            self._count(cases[record.case], record)
        self.time_left = TimeLeft(plan.ordered, plan.cold, names, clock)
        self._done, self._total = len(names), len(cases)
        cold = len(names & plan.cold)
        self._bar = self._cold_bar(cold) if cold < len(plan.cold) else self._main_bar()

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():  # a case may take minutes, in which the clock must not stand still
            threading.Thread(target=self._tick, name="progress", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._bar.close()

    def _tick(self) -> None:
        """Draw the bar again every second, until it is closed."""
        while not self._closed.wait(1.0):
            self._bar.refresh()

    def add(self, case: Case, record: Record) -> None:
        """Advance by one case."""
        self._count(case, record)
        self.time_left.add(record)
        if record.status not in FINAL:
            known = cause(record) in self._causes
            detail = f"{first_line(record)} (as before)" if known else record.detail
            self._bar.write(printable_lines(f"{record.case}: {record.status}: {detail}"), file=sys.stderr)
            self._causes.add(cause(record))
        is_cold = record.case in self._cold
        self._done += 1
        self._bar.update()
        if is_cold and self._bar.n == len(self._cold):
            self._bar.close()
            self._bar = self._main_bar()

    def _cold_bar(self, done: int) -> _Bar:
        """Return the bar of the cases that measure memory and time."""
        return self._new_bar("measuring memory", len(self._cold), done, COLD_BAR)

    def _main_bar(self) -> _Bar:
        """Return the bar of all other cases."""
        bar = self._new_bar(self._name, self._total, self._done, BAR)
        bar.say = self._said
        return bar

    def _new_bar(self, name: str, total: int, done: int, layout: str) -> _Bar:
        """Return a bar."""
        interval = 0.1 if sys.stderr.isatty() else 10.0  # seconds: a log file wants no bar per case
        return _Bar(
            desc=name, total=total, initial=done, mininterval=interval, dynamic_ncols=True, bar_format=layout,
        )  # fmt: skip

    def _count(self, case: Case, record: Record) -> None:
        self._statuses[record.status] += 1
        if case.condition == "full" and record.status == "ok":
            self._answered += 1
            self._right += is_correct(case, record, self._score_by)

    def _said(self) -> str:
        """Return the accuracy, the failures and the time left."""
        shown = [f"accuracy (full) {self._right / self._answered:.1%}"] if self._answered else []
        shown += [f"{count} {status}" for status, count in sorted(self._statuses.items()) if status != "ok"]
        seconds = self.time_left.seconds()
        shown += [f"{duration(seconds)} left"] if seconds is not None and self._done < self._total else []
        return ", ".join(shown)

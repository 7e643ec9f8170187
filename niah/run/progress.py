"""The progress bar of a run, on stderr: accuracy so far, failures, time left."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from types import TracebackType

from tqdm import tqdm

from niah.run.plan import Plan
from niah.run.records import FINAL
from niah.scoring import is_correct
from niah.types import Case, Record


class Progress:
    """A bar over the planned cases: accuracy so far on `full` cases, what failed, time left."""

    def __init__(self, plan: Plan, done: Sequence[Record]) -> None:
        cases = {case.id: case for case in plan.ordered}
        self._right = 0
        self._answered = 0
        self._statuses: Counter[str] = Counter()
        for record in done:
            self._count(cases[record.case], record)
        interval = 0.1 if sys.stderr.isatty() else 10.0  # seconds: a log file wants no bar per case
        self._bar = tqdm(total=len(cases), initial=len(done), unit="case", mininterval=interval, dynamic_ncols=True)
        self._show()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def add(self, case: Case, record: Record) -> None:
        """Advance by one case."""
        self._count(case, record)
        if record.status not in FINAL:
            self._bar.write(f"{record.case}: {record.status}: {record.detail}", file=sys.stderr)
        self._show()
        self._bar.update()

    def _count(self, case: Case, record: Record) -> None:
        self._statuses[record.status] += 1
        if case.condition == "full" and record.status == "ok":
            self._answered += 1
            self._right += is_correct(case, record)

    def _show(self) -> None:
        accuracy = f"accuracy {self._right / self._answered:.1%}" if self._answered else "accuracy -"
        failed = [f"{count} {status}" for status, count in sorted(self._statuses.items()) if status != "ok"]
        self._bar.set_postfix_str(", ".join([accuracy, *failed]), refresh=False)

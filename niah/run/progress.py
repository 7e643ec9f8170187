"""Tell a person how a run stands: a bar with the accuracy so far, and a summary at the end. On stderr, like the bar."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from tqdm import tqdm

from niah.run.plan import Plan
from niah.scoring import is_correct
from niah.types import CONDITIONS, Case, Record


class Progress:
    """A bar over the planned cases: accuracy so far on `full` cases, what failed, time left."""

    def __init__(self, plan: Plan, done: Sequence[Record]) -> None:
        cases = {case.id: case for case in plan.ordered}
        self._right = self._asked = 0
        self._statuses: Counter[str] = Counter()
        for record in done:
            self._count(cases[record.case], record)
        often = 0.1 if sys.stderr.isatty() else 10.0  # seconds: a log file wants no bar per case
        self._bar = tqdm(total=len(cases), initial=len(done), unit="case", mininterval=often, dynamic_ncols=True)
        self._show()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def tell(self, case: Case, record: Record) -> None:
        """Move on by one case."""
        self._count(case, record)
        if record.status not in ("ok", "oom"):
            self._bar.write(f"{record.case}: {record.status}: {record.detail}", file=sys.stderr)
        self._show()
        self._bar.update()

    def _count(self, case: Case, record: Record) -> None:
        self._statuses[record.status] += 1
        if case.condition == "full" and record.status == "ok":
            self._asked += 1
            self._right += is_correct(case, record)

    def _show(self) -> None:
        accuracy = f"accuracy {self._right / self._asked:.1%}" if self._asked else "accuracy -"
        failed = [f"{count} {status}" for status, count in sorted(self._statuses.items()) if status != "ok"]
        self._bar.set_postfix_str(", ".join([accuracy, *failed]), refresh=False)


def summary(plan: Plan, records: Sequence[Record], folder: Path) -> str:
    """Return accuracy per condition with its interval, what became of the cases, where the files are, and doubts."""
    from niah.analysis.checks.failed_check import (
        as_text,  # here, because SciPy takes seconds that a refused command need not wait
    )
    from niah.analysis.checks.runs import check_runs
    from niah.analysis.load import read_run
    from niah.analysis.stats.proportions import wilson_interval

    by_name = {record.case: record for record in records}
    lines = [""]
    for condition in CONDITIONS:
        asked = [case for case in plan.ordered if case.condition == condition and case.id in by_name]
        right = [is_correct(case, by_name[case.id]) for case in asked if by_name[case.id].status == "ok"]
        if right:
            low, high = wilson_interval(sum(right), len(right))
            share = sum(right) / len(right)
            lines.append(f"{condition:>12}  {share:6.1%}  [{low:.1%}, {high:.1%}]  {sum(right)} of {len(right)} right")
    statuses = Counter(record.status for record in records)
    counts = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items())) or "none"
    missing = len(plan.ordered) - len(records)
    lines.append(f"{'records':>12}  {counts}" + (f"; {missing} cases not asked yet" if missing else ""))
    lines.append(f"{'files':>12}  {folder}: " + ", ".join(_files(folder)))
    found = check_runs([read_run(folder)]) if records else []
    return "\n".join([*lines, *([as_text(found)] if found else [])])


def _files(folder: Path) -> list[str]:
    """Return the files a reader will want, those that are there."""
    wanted = ("records.jsonl", "table.csv", "run.json", "worker.log")
    figures = sorted(path.name for path in folder.glob("*.png"))
    return [name for name in wanted if (folder / name).exists()] + figures

"""Run a suite from its settings to its figures, and return the exit code.

The records come from `niah.run`; the table, the figures and the summary are made from them.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from niah.exit_codes import DONE, INCOMPLETE, INTERRUPTED
from niah.run.config import RunConfig
from niah.run.execute import FinishedRun, MakeWorker, dry_run, execute
from niah.run.records import FINAL
from niah.scoring import is_correct
from niah.types import CONDITIONS, Record


def run_suite(config: RunConfig, arguments: Sequence[str] = (), make_worker: MakeWorker | None = None) -> int:
    """Run a suite, draw its figures and print a summary; the arguments are those of `execute`.

    Returns 0 if every record is ok or oom, 3 otherwise, 130 after Ctrl-C.
    Raises UserError for what the user can fix, CannotWrite where the disk is full.
    """
    if config.dry_run:
        sys.stdout.write(dry_run(config) + "\n")
        return DONE
    with execute(config, arguments, make_worker) as finished:
        if finished.records:
            _draw(finished.folder, config.figures)
        sys.stderr.write(summary(finished) + "\n")
        return _exit_code(finished)


def _exit_code(finished: FinishedRun) -> int:
    """Return the exit code, and print on stderr what the same command would do next."""
    if finished.interrupted:
        sys.stderr.write("stopped; the same command goes on from here\n")
        return INTERRUPTED
    failed = sum(record.status not in FINAL for record in finished.records)
    if failed:
        sys.stderr.write(f"{failed} cases failed; the same command asks them again\n")
    return INCOMPLETE if failed or len(finished.records) < len(finished.plan.ordered) else DONE


def _draw(folder: Path, figures: bool) -> None:
    """Write table.csv and, if wanted, the figures."""
    # Imported here: pandas and seaborn take seconds, which a refused command need not wait for.
    from niah.analysis.table import write_table

    write_table(folder)
    if figures:
        from niah.figures.draw import draw_runs

        draw_runs([folder], folder, "default")


def summary(finished: FinishedRun) -> str:
    """Return accuracy per condition with its interval, the statuses, the files, and the failed validity checks."""
    # Imported here: SciPy takes seconds, which a refused command need not wait for.
    from niah.analysis.checks.failed_check import as_text
    from niah.analysis.checks.runs import check_runs
    from niah.analysis.load import read_run

    records, folder = finished.records, finished.folder
    statuses = Counter(record.status for record in records)
    counts = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items())) or "none"
    missing = len(finished.plan.ordered) - len(records)
    lines = [
        "",
        *_accuracies(finished),
        f"{'records':>12}  {counts}" + (f"; {missing} cases not asked yet" if missing else ""),
        f"{'files':>12}  {folder}: " + ", ".join(_files(folder)),
    ]
    failed_checks = check_runs([read_run(folder)]) if records else []
    return "\n".join([*lines, *([as_text(failed_checks)] if failed_checks else [])])


def _accuracies(finished: FinishedRun) -> list[str]:
    """Return a line for each condition: accuracy of the answered cases, its Wilson interval, the counts."""
    from niah.analysis.stats.proportions import wilson_interval

    answered: dict[str, Record] = {record.case: record for record in finished.records if record.status == "ok"}
    lines = []
    for condition in CONDITIONS:
        cases = [case for case in finished.plan.ordered if case.condition == condition and case.id in answered]
        right = [is_correct(case, answered[case.id]) for case in cases]
        if right:
            low, high = wilson_interval(sum(right), len(right))
            accuracy = sum(right) / len(right)
            counts = f"{sum(right)} of {len(right)} right"
            lines.append(f"{condition:>12}  {accuracy:6.1%}  [{low:.1%}, {high:.1%}]  {counts}")
    return lines


def _files(folder: Path) -> list[str]:
    """Return the names of the files to look at, as far as they exist."""
    wanted = ("records.jsonl", "table.csv", "run.json", "worker.log")
    figures = sorted(path.name for path in folder.glob("*.png"))
    return [name for name in wanted if (folder / name).exists()] + figures

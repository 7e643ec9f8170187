"""What `niah run` prints at its end: accuracy in a small table, the files, and the commands that come next."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shlex
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from niah.extras import install
from niah.io import read_regular, unpacked_lines
from niah.option_scores import is_correct
from niah.run.config import RunConfig
from niah.run.execute import FinishedRun
from niah.run.repeated_errors import commonest
from niah.types import CONDITIONS, KINDS, Record, UserError

if TYPE_CHECKING:
    from niah.analysis.load import RunData

FILES = ("records.jsonl", "table.csv", "run.json", "worker.log")
WIDEST = 70  # characters of a command, up to which comments stand in one column
YARDSTICK = "chance"  # what to compare with where nothing else has answered the same cases


def run_summary(finished: FinishedRun, config: RunConfig, run: RunData | None) -> str:
    """Return the table of accuracies, the statuses, the failed validity checks, the files and the next commands.

    `run` is what its folder holds, for the checks; without it they are left out.
    """
    records, folder = finished.records, finished.folder
    statuses = Counter(record.status for record in records)
    counts = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items())) or "none"
    missing = len(finished.plan.ordered) - len(records)
    lines = ["", f"{config.model} on suite {finished.plan.generated.suite.name}"]
    lines += [] if finished.interrupted else _accuracies(finished)  # whoever presses Ctrl-C does not wait for SciPy
    lines += ["", f"records: {counts}" + (f"; {missing} cases not asked yet" if missing else "")]
    answered = any(record.status == "ok" for record in records)
    if run is not None and answered:  # without an answer each check would say that nothing was answered
        lines += _failed_checks(run)
    lines += [f"files in {folder}: {', '.join(_files(folder))}"]
    return "\n".join([*lines, *_next_commands(folder, config)] if answered else lines)


def _failed_checks(run: RunData) -> list[str]:
    # Imported here: SciPy takes seconds, which a refused command need not wait for.
    from niah.analysis.checks.failed_check import as_text
    from niah.analysis.checks.runs import check_runs
    from niah.analysis.kinds import split_kinds

    failed_checks = check_runs(split_kinds([run]))
    return [as_text(failed_checks)] if failed_checks else []


def failures(finished: FinishedRun) -> str:
    """Return the commonest error, how often it came, and where the model's own output lies; "" without a failure."""
    found = commonest(finished.records)
    if found is None:
        return ""
    error, count, failed = found
    log = finished.folder / "worker.log"
    said = f"; what the model printed: {log}" if log.exists() else ""
    return f"{failed} cases failed, {count} of them with: {error}{said}"


def _accuracies(finished: FinishedRun) -> list[str]:
    """Return a line for each condition: accuracy of the answered cases, its interval by needle source, the counts."""
    from niah.analysis.stats.observations import Observations
    from niah.analysis.stats.proportions import clustered_interval

    score_by = finished.plan.generated.suite.score_by
    answered: dict[str, Record] = {record.case: record for record in finished.records if record.status == "ok"}
    lines = [f"{'condition':<12}  {'accuracy':>8}  {'95 % interval':<16}  {'right':>5}  {'cases':>5}"]
    ordered = [case for case in finished.plan.ordered if case.id in answered]
    several = len({case.kind for case in ordered}) > 1
    for kind, condition in itertools.product(KINDS, CONDITIONS):
        cases = [case for case in ordered if (case.kind, case.condition) == (kind, condition)]
        rights = [is_correct(case, answered[case.id], score_by) for case in cases]
        right = sum(rights)
        if cases:
            rows = zip(cases, rights, strict=True)
            low, high = clustered_interval(
                Observations.of((case.needle_source, case.haystack, (correct,)) for case, correct in rows)
            )
            interval = "-" if low is None or high is None else f"[{low:.1%}, {high:.1%}]"
            lines.append(
                f"{condition:<12}  {right / len(cases):>8.1%}  {interval:<16}  {right:>5,}  {len(cases):>5,}"
                + (f"  {kind}" if several else "")
            )
    return lines if len(lines) > 1 else ["no case was answered"]


def _files(folder: Path) -> list[str]:
    """Return the names of the files to look at, as far as they exist."""
    return [name for name in FILES if (folder / name).exists()] + sorted(path.name for path in folder.glob("*.png"))


def _next_commands(folder: Path, config: RunConfig) -> list[str]:
    """Return the commands that show more, ready to paste, each with what it is for."""
    run = shlex.quote(str(folder))
    report = "one page, from the heatmap down to the single case"
    if find_spec("vl_convert") is None:
        report += f" (first: {install('vl_convert')})"
    commands = [
        (f"niah table {run}", "intervals clustered by needle source, accuracy over length and depth"),
        (f"niah report {run} -o report.html", report),
    ]
    other = _other_run(folder)
    if other is None and config.model != YARDSTICK:
        other = folder.with_name(f"{folder.name}-{YARDSTICK}")
        commands.append((f"{_same_cases(config)} -o {shlex.quote(str(other))}", "another model on the same cases"))
    if other is not None:
        commands.append(
            (f"niah compare {run} {shlex.quote(str(other))}", "which of the two is better, and by how much")
        )
    width = max((len(command) for command, _ in commands if len(command) <= WIDEST), default=0)
    return ["next:", *(f"  {command:{width}}  # {purpose}" for command, purpose in commands)]


def _other_run(folder: Path) -> Path | None:
    """Return a run beside this one that was asked the same cases in the same mode; the yardstick if there.

    Answers of another mode would be compared without a verdict.
    """
    mine, mode = _decides(folder), _mode(folder)
    others = {path.parent: _decides(path.parent) for path in sorted(folder.parent.glob("*/run.json"))}
    same = [
        path
        for path, decides in others.items()
        if path != folder
        and mine
        and all(decides.get(key) == mine.get(key) for key in ("cases_sha256", "sources_sha256"))
        and (YARDSTICK in (mine.get("model"), decides.get("model")) or _mode(path) == mode)
    ]
    return min(same, key=lambda path: (YARDSTICK not in path.name, path.name), default=None)


def _decides(folder: Path) -> dict:
    """Return what the records of a folder depend on; nothing for a folder without a readable run.json."""
    try:
        return dict(json.loads(read_regular(folder / "run.json"))["decides"])
    except (OSError, UserError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def _mode(folder: Path) -> str | None:
    """Return how the first reply of a folder came about; None where that cannot be read."""
    try:
        return json.loads(next(unpacked_lines(folder / "records.jsonl")))["mode"]
    except (OSError, UserError, ValueError, KeyError, TypeError, RecursionError, StopIteration):
        return None


def _same_cases(config: RunConfig) -> str:
    """Return the command that asks the yardstick the cases of a run."""
    words = ["niah", "run", "--model", YARDSTICK, "--suite", config.suite]
    for name in ("lengths", "depths", "conditions", "types", "limit", "shard", "decoder"):
        value = getattr(config, name)
        if value not in (None, *(field.default for field in dataclasses.fields(config) if field.name == name)):
            listed = value if isinstance(value, tuple) else (value,)
            words += [f"--{name}", ",".join(f"{one:g}" if isinstance(one, float) else str(one) for one in listed)]
    return shlex.join(words)

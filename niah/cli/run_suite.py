"""Run a suite from its settings to its figures, and return the exit code.

The records come from `niah.run`; the table, the figures and the summary are made from them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from niah.cli.fit import planned_memory
from niah.cli.run_summary import failures, run_summary
from niah.exit_codes import DONE, INCOMPLETE, INTERRUPTED
from niah.run.config import RunConfig
from niah.run.execute import FinishedRun, MakeWorker, dry_run, execute
from niah.run.plan import Plan
from niah.run.records import FINAL
from niah.run.sweep import Sweep, sweep_runs
from niah.terminal import to_stderr, to_stdout

if TYPE_CHECKING:
    from niah.analysis.load import RunData


def run_suite(config: RunConfig, arguments: Sequence[str] = (), make_worker: MakeWorker | None = None) -> int:
    """Run a suite, draw its figures and print a summary; the arguments are those of `execute`.

    Returns 0 if every record is ok or oom, 3 otherwise, 130 after Ctrl-C.
    Raises UserError for what the user can fix, CannotWrite where the disk is full.
    """
    if config.dry_run:
        to_stdout(dry_run(config, lambda plan: _memory(config, plan)) + "\n")
        return DONE
    with execute(config, arguments, make_worker) as finished:
        # Whoever stops a run waits for nothing but its records: the commands that are named next make the rest.
        run = _draw(finished.folder, config.figures) if finished.records and not finished.interrupted else None
        to_stderr(run_summary(finished, config, run) + "\n")
        return _exit_code(finished)


@dataclass(frozen=True)
class NamedRun:
    """One of several runs, and what belongs to it."""

    name: str  # printed before it is asked
    config: RunConfig
    when_done: Callable[[], None] | None = None  # called once every case has its answer


def run_all(runs: Iterable[NamedRun], arguments: Sequence[str] = (), make_worker: MakeWorker | None = None) -> int:
    """Run suites in their order; return 0, or the highest exit code of those that were not done.

    Runs are taken one at a time, so an iterator may train a model before it yields the run that asks it. What a run
    has answered already is not asked again. Ctrl-C ends the run it hits, and no later one begins.
    """
    worst = DONE
    for one in runs:
        to_stderr(f"{one.name}\n")
        code = run_suite(one.config, arguments, make_worker)
        if code == INTERRUPTED:
            return INTERRUPTED
        if code == DONE and one.when_done is not None:
            one.when_done()
        worst = max(worst, code)
    return worst


def run_sweep(config: RunConfig, sweep: Sweep, arguments: Sequence[str] = ()) -> int:
    """Run a suite with each combination of settings, draw accuracy over what it cost; return what `run_all` does."""
    runs = list(sweep_runs(config, sweep))
    code = run_all((NamedRun(one.folder().name, one) for one in runs), arguments)
    if config.figures and not config.dry_run and code != INTERRUPTED:
        from niah.analysis.load import read_run
        from niah.figures.trade_off import draw_trade_off

        for path in draw_trade_off([read_run(one.folder()) for one in runs], config.folder()):
            to_stderr(f"{path}\n")
    return code


def _memory(config: RunConfig, plan: Plan) -> str | None:
    """Return a line on the memory of a released model on a card; the small model that ships has no checkpoint named."""
    if config.model_args.get("pretrained", "micro") == "micro":
        return None
    return planned_memory(config.model, [case.length for case in plan.ordered])


def _exit_code(finished: FinishedRun) -> int:
    """Return the exit code; print on stderr what the same command would do next, and last of all what failed."""
    if finished.interrupted:
        to_stderr("stopped; the same command goes on from here\n")
        return INTERRUPTED
    failed = any(record.status not in FINAL for record in finished.records)
    if finished.stopped_by:
        to_stderr(
            f"stopped: {finished.stopped_by}. Fix the cause and give the same command, which goes on from here, or go "
            "on whatever happens with --stop_after_errors 0\n"
        )
    elif failed:
        to_stderr("the same command asks the failed cases again\n")
    if failed:
        to_stderr(failures(finished) + "\n")
    return INCOMPLETE if failed or len(finished.records) < len(finished.plan.ordered) else DONE


def _draw(folder: Path, figures: bool) -> RunData:
    """Write table.csv and, if wanted, the figures; return the run."""
    # Imported here: pandas and seaborn take seconds, which a refused command need not wait for.
    from niah.analysis.load import read_run
    from niah.analysis.table import write_table

    run = read_run(folder)
    write_table(folder, run)
    if figures:
        from niah.figures.draw import draw_runs

        draw_runs([run], folder, "default")
    return run

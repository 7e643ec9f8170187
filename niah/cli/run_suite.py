"""Run a suite from its settings to its figures, and return the exit code.

The records come from `niah.run`; the table, the figures and the summary are made from them.
"""

from __future__ import annotations

from collections.abc import Sequence
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


def run_sweep(config: RunConfig, sweep: Sweep, arguments: Sequence[str] = ()) -> int:
    """Run a suite with each combination of settings, and draw accuracy over what it cost; the highest exit code.

    Ctrl-C ends the run it hits, and no later one begins.
    """
    runs, worst = list(sweep_runs(config, sweep)), DONE
    for one in runs:
        to_stderr(f"{one.folder().name}\n")
        code = run_suite(one, arguments)
        worst = max(worst, code)
        if code == INTERRUPTED:
            return INTERRUPTED
    if config.figures and not config.dry_run:
        from niah.analysis.load import read_run
        from niah.figures.trade_off import draw_trade_off

        for path in draw_trade_off([read_run(one.folder()) for one in runs], config.folder()):
            to_stderr(f"{path}\n")
    return worst


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

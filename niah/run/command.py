"""One run from its settings to its figures, and what its exit code says."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from niah.cli.guard import DONE, INCOMPLETE, INTERRUPTED, guarded
from niah.io import cache_folder
from niah.media.container import STALL_VARIABLE
from niah.run.arguments import parse
from niah.run.case_runner import CaseRunner
from niah.run.config import RunConfig
from niah.run.engine import Engine, opened
from niah.run.environment import collect_environment
from niah.run.estimate import estimate
from niah.run.folder import append_run, locked, prepare, put_in_order, write_run
from niah.run.plan import Plan, make_plan
from niah.run.pool import ask_all
from niah.run.process import Worker
from niah.run.progress import Progress, summary
from niah.run.records import FINAL, Records, read_records
from niah.run.registry import find_adapter
from niah.run.worker import WorkerConfig
from niah.types import Record

AFAR = 3  # times the grace: for git and nvidia-smi, which may lie on a network share or wake a device


def main(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code; what went wrong is said on stderr."""
    return guarded(lambda: run(parse(arguments), arguments))


def run(config: RunConfig, arguments: Sequence[str] = (), answerer: Callable[..., Worker] | None = None) -> int:
    """Ask everything `config` names; return 0 if every record is ok or oom, 3 otherwise, 130 after Ctrl-C.

    An `answerer`, made from the generated cases and `config.model_args`, is asked instead of a worker with the
    adapter `config.model` names: it sees whole cases, needles included, as no model may.
    Raises UserError for what the user can mend, CannotWrite where the disk is full.
    """
    if config.stall_timeout is not None:
        os.environ[STALL_VARIABLE] = f"{config.stall_timeout:g}"  # for this process and every worker
    target = find_adapter(config.model) if answerer is None else f"{answerer.__module__}:{answerer.__qualname__}"
    plan = make_plan(config)
    folder = config.folder()
    if config.dry_run:
        records = read_records(folder / "records.jsonl")
        sys.stdout.write(estimate(config, plan, records, _renders()) + "\n")
        return DONE
    with locked(folder):
        done = prepare(folder, config, plan)
        ran_on = collect_environment(arguments, AFAR * config.grace)
        write_run(folder, {"suite": plan.generated.suite.name, "target": target, **ran_on})
        hashes = {name: source.sha256 for name, source in plan.generated.sources.items()}
        begun, stopped, stopping = time.time(), False, threading.Event()
        if answerer is None:
            engine = opened(config, _loading(config, plan, target), folder, stopping)
        else:
            engine = nullcontext(Engine(partial(answerer, plan.generated, **config.settings())))
        with engine as answering:
            asker = CaseRunner(answering.start, config.model, hashes, stopping=stopping)
            try:
                _ask(plan, done, asker, folder, answering.width)
            except KeyboardInterrupt:
                stopped = True
        records = read_records(folder / "records.jsonl")
        append_run(folder, begun, done, records, asker)
        put_in_order(folder, plan)
        return _conclude(config, plan, records, folder, stopped)


def _ask(plan: Plan, done: list[Record], asker: CaseRunner, folder: Path, width: int | None) -> None:
    """Ask the cases that are left; a batch system's SIGTERM is like Ctrl-C."""
    earlier = signal.signal(signal.SIGTERM, signal.default_int_handler)
    records = Records(folder / "records.jsonl")
    try:
        with Progress(plan, done) as progress:
            ask_all(plan, done, asker, records, progress.tell, width)
    finally:
        records.close()
        signal.signal(signal.SIGTERM, earlier)


def _loading(config: RunConfig, plan: Plan, target: str) -> WorkerConfig:
    """Return what every worker is told before its first question."""
    generated = plan.generated
    sampling = generated.suite.sampling
    return WorkerConfig(target, config.settings(), generated.sources, sampling, config.decoder, str(_renders()))


def _conclude(config: RunConfig, plan: Plan, records: list[Record], folder: Path, stopped: bool) -> int:
    """Draw and sum up what there is, and return the exit code."""
    if records:
        _draw(config, folder)
    sys.stderr.write(summary(plan, records, folder) + "\n")
    if stopped:
        sys.stderr.write("stopped; the same command goes on from here\n")
        return INTERRUPTED
    failed = sum(record.status not in FINAL for record in records)
    if failed:
        sys.stderr.write(f"{failed} cases failed; the same command asks them again\n")
    return INCOMPLETE if failed or len(records) < len(plan.ordered) else DONE


def _draw(config: RunConfig, folder: Path) -> None:
    """Write table.csv and the figures."""
    from niah.analysis.table import (
        write_table,  # here, because pandas and seaborn take seconds that a refused command need not
    )

    write_table(folder)
    if config.figures:
        from niah.figures.draw import draw_runs

        draw_runs([folder], folder, "default")


def _renders() -> Path:
    """Return the folder of rendered videos, which runs share: their names say what they show."""
    return cache_folder() / "rendered"

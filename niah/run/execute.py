"""One run from its settings to its records.

Plan the cases, open the output folder, start workers, ask every case that has no final record yet, and put
the records in order. Tables and figures are made from the folder afterwards, by `niah.cli.run_suite`.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from niah.io import cache_folder
from niah.media.bounds import STALL_VARIABLE
from niah.run.before_asking import warn_before_asking
from niah.run.before_loading import refuse_early
from niah.run.case_runner import CaseRunner
from niah.run.config import RunConfig
from niah.run.environment import collect_environment
from niah.run.estimate import estimate
from niah.run.folder import append_run, locked, open_run, put_in_order
from niah.run.messages import WorkerConfig
from niah.run.metadata import update_metadata
from niah.run.plan import Plan, make_plan
from niah.run.pool import ask_all
from niah.run.process import Worker, start_worker
from niah.run.progress import Progress
from niah.run.records import Records, read_records
from niah.run.registry import find_adapter
from niah.run.repeated_errors import RepeatedError, RepeatedErrors
from niah.run.same_model import ModelCheck, identity_before_loading, nothing_asked
from niah.suite.folder import cases_sha256
from niah.suite.known_places import remember_suite
from niah.terminal import to_stderr
from niah.types import Case, Record

PATIENCE = 3  # times the grace: for git and nvidia-smi, which may lie on a network share or wake a device
MakeWorker = Callable[..., Worker]  # called with the generated cases and, by keyword, the settings of the adapter
StartWorker = Callable[[], Worker]


@dataclass(frozen=True)
class FinishedRun:
    """What a run leaves: the records of its folder, those of earlier runs included."""

    plan: Plan
    folder: Path
    records: list[Record]  # without the frames kept where it was interrupted
    interrupted: bool  # by Ctrl-C or SIGTERM
    stopped_by: str = ""  # the error that came too often in a row


@contextmanager
def execute(
    config: RunConfig, arguments: Sequence[str] = (), make_worker: MakeWorker | None = None
) -> Iterator[FinishedRun]:
    """Ask every case that has no final record yet; yield the finished run while its folder is still locked.

    Args:
        config: the settings of the run.
        arguments: the command line, for run.json.
        make_worker: makes what is asked instead of a worker with the adapter `config.model` names. It is given
            whole cases, needles included, as no model may be. Its `target`, where it has one, is the
            "module:function" whose sources and settings make its identity.

    Raises UserError for what the user can fix, CannotWrite where the disk is full.
    """
    if config.stall_timeout is not None:
        os.environ[STALL_VARIABLE] = f"{config.stall_timeout:g}"  # for this process and every worker
    target = _target(config, make_worker)
    if make_worker is None:
        refuse_early(config, target)
    plan = make_plan(config)
    folder = config.folder()
    with locked(folder):
        identity: Callable[[], Mapping[str, str]] = partial(identity_before_loading, config, target)
        if make_worker is not None and not hasattr(make_worker, "target"):
            identity = dict  # which adapter it loads, it alone knows
        done = open_run(folder, config, plan, identity)
        environment = collect_environment(arguments, PATIENCE * config.grace)
        update_metadata(folder, {"suite": plan.generated.suite.name, "target": target, **environment})
        _remember_suite(config, plan)
        began = time.time()
        stopping = threading.Event()
        hashes = {name: source.sha256 for name, source in plan.generated.sources.items()}
        check = ModelCheck(folder, len(done), config.accept_changed_model)
        if len(done) == len(plan.ordered):
            to_stderr(nothing_asked(folder, len(done), len(plan.ordered), identity()) + "\n")
        with _workers(config, plan, target, stopping, make_worker) as (start, num_workers):
            start = warn_before_asking(start, plan, config.model)
            case_runner = CaseRunner(start, config.model, hashes, stopping=stopping, check_model=check)
            asked: list[Record] = []
            interrupted, stopped_by = False, ""
            try:
                _ask(plan, done, case_runner, config, num_workers, asked)
            except KeyboardInterrupt:
                interrupted = True
            except RepeatedError as error:
                stopped_by = str(error)
        # Whoever presses Ctrl-C does not wait until a hundred thousand records have been read again.
        records = [*done, *asked] if interrupted else read_records(folder / "records.jsonl")
        append_run(folder, began, done, records, case_runner)
        if not interrupted:
            put_in_order(folder, plan, records)
        yield FinishedRun(plan, folder, records, interrupted, stopped_by)


def _target(config: RunConfig, make_worker: MakeWorker | None) -> str:
    """Return the "module:function" of what is asked; what makes workers may name that of their adapters (`target`)."""
    if make_worker is None:
        return find_adapter(config.model)
    return getattr(make_worker, "target", None) or f"{make_worker.__module__}:{make_worker.__qualname__}"


def _remember_suite(config: RunConfig, plan: Plan) -> None:
    """Keep where a suite on the user's own videos lies, for reports of this run and of all its shards together."""
    if plan.generated.suite.footage is None:
        for cases in (plan.generated.cases, *([plan.shard.whole] if plan.shard is not None else [])):
            remember_suite(cases_sha256(cases), config.suite)


def dry_run(config: RunConfig, memory: Callable[[Plan], str | None] = lambda plan: None) -> str:
    """Return what a run would cost, for a person to read. Raises UserError for what the user can fix.

    `memory` returns a line on the card's memory, where something is known of it.
    """
    plan = make_plan(config)
    records = read_records(config.folder() / "records.jsonl")
    lines = [estimate(config, plan, records, _render_folder()), memory(plan)]
    return "\n".join(line for line in lines if line)


@contextmanager
def _workers(
    config: RunConfig, plan: Plan, target: str, stopping: threading.Event, make_worker: MakeWorker | None
) -> Iterator[tuple[StartWorker, int | None]]:
    """Yield what starts a loaded worker, and how many are to answer at once; None for the adapter's `concurrency`.

    The engine decides who answers and when, never what a record says.
    Raises UserError where a Ray cluster cannot be reached, or Ray is not installed.
    """
    if make_worker is not None:
        yield partial(make_worker, plan.generated, **config.settings()), None
        return
    generated = plan.generated
    worker_config = WorkerConfig(
        target,
        config.settings(),
        generated.sources,
        generated.suite.sampling,
        config.decoder,
        str(_render_folder()),
    )
    log = (config.folder() / "worker.log").absolute()
    if config.engine == "local":
        yield partial(start_worker, config, worker_config, log, stopping), config.num_workers
    else:
        from niah.run.ray import connect  # here, because Ray is an extra

        with connect(config) as cluster:
            start = partial(cluster.start_worker, worker_config, config.python, config.limits(), log, stopping)
            yield start, cluster.num_workers


def _ask(
    plan: Plan,
    done: list[Record],
    case_runner: CaseRunner,
    config: RunConfig,
    num_workers: int | None,
    asked: list[Record],
) -> None:
    """Ask the cases that are left, and add their records, without frames, to `asked`; SIGTERM is like Ctrl-C."""
    earlier = signal.signal(signal.SIGTERM, signal.default_int_handler)
    records = Records(config.folder() / "records.jsonl")
    try:
        repeated = RepeatedErrors(config.stop_after_errors)
        with Progress(plan, done, config.model) as progress:

            def on_record(case: Case, record: Record) -> None:
                asked.append(dataclasses.replace(record, frames_kept=()))
                progress.add(case, record)
                repeated.add(record)

            ask_all(plan, done, case_runner, records, on_record, num_workers)
    finally:
        records.close()
        signal.signal(signal.SIGTERM, earlier)


def _render_folder() -> Path:
    """Return the folder of rendered videos, which runs share: their names say what they show."""
    return cache_folder() / "rendered"

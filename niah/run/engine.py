"""Where questions are answered: in this process, in worker processes of this machine, or on a Ray cluster.

Whatever the engine, one asker puts one question at a time to one worker that has loaded the model once, and the
runner writes the records: an engine can change who answers and when, never what a record says.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from niah.run.config import RunConfig
from niah.run.process import InProcessWorker, Limits, ProcessWorker, Worker
from niah.run.worker import WorkerConfig


@dataclass(frozen=True)
class Engine:
    """`start` makes a loaded worker; `width` is how many are to answer at once, None for as many as the model says."""

    start: Callable[[], Worker]
    width: int | None = None


@contextmanager
def opened(config: RunConfig, loading: WorkerConfig, folder: Path, stopping: threading.Event) -> Iterator[Engine]:
    """Hold the engine that `config` names; its workers give up once `stopping` is set.

    Raises UserError where a Ray cluster cannot be reached, or Ray is not installed.
    """
    gib = config.memory_limit_gib
    limits = Limits(config.timeout, None if gib is None else int(gib * 2**30), config.load_timeout, config.grace)
    log = (folder / "worker.log").absolute()
    if config.in_process:
        yield Engine(lambda: InProcessWorker(loading))
    elif config.engine == "local":
        yield Engine(lambda: ProcessWorker(loading, config.python, limits, log, stopping), config.num_workers)
    else:
        from niah.run.ray import cluster  # here, because Ray is an extra

        with cluster(config) as found:
            yield Engine(lambda: found.worker(loading, config.python, limits, log, stopping), found.width)

"""Workers on a Ray cluster: one actor for each, which keeps one worker process on its node.

Ray finds the place, hands out devices and notices dead nodes. The actor keeps the same worker process as a
local run does, so limits, crashes, other interpreters and records are the same. Ray restarts and retries
nothing: the asker does, as it does for a process. The model is loaded once per actor.
"""

from __future__ import annotations

import importlib
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from niah.media.container import STALL_VARIABLE
from niah.run.config import RunConfig
from niah.run.process import Limits, NoCapacityError, ProcessWorker, WorkerLostError, WorkerResult
from niah.run.worker import WorkerConfig
from niah.types import Case, UserError

POLL_SECONDS = 1.0
LATE = 6  # times the grace: an actor keeps the limits itself; when it is this late, it or its node is gone
AFAR = 3  # times the grace: to end, or to be connected to, on another machine


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster, what one worker is given of it, and how many workers it is to have."""

    ray: Any
    gpus: float  # of one worker
    width: int

    def worker(
        self, loading: WorkerConfig, python: str | None, limits: Limits, log: Path, stopping: threading.Event
    ) -> RayWorker:
        """Return a loaded worker on some node.

        Raises NoCapacityError, WorkerLostError, or UserError where the model does not load.
        """
        kind = self.ray.remote(num_cpus=1, num_gpus=self.gpus, max_restarts=0, max_task_retries=0)(WorkerActor)
        here = _Here(os.getcwd(), os.environ.get("OMP_NUM_THREADS"), os.environ.get(STALL_VARIABLE))
        return RayWorker(self.ray, kind.remote(here), (loading, python, limits, log), stopping)


@contextmanager
def cluster(config: RunConfig) -> Iterator[Cluster]:
    """Hold a connection to the cluster that `config.engine` names; "ray" alone is what `ray.init()` finds or starts.

    A connection that was there before is used and kept. Raises UserError where none can be had.
    """
    ray = _ray()
    ours = not ray.is_initialized()
    if ours:
        _connect(ray, config.engine.partition(":")[2] or None, min(config.load_timeout, AFAR * config.grace))
    try:
        found = ray.cluster_resources()
        gpus = config.gpus_per_worker
        if gpus is None:
            gpus = 1.0 if found.get("GPU") else 0.0
        width = config.num_workers or (max(1, int(found.get("GPU", 0) / gpus)) if gpus else 1)
        sys.stderr.write(
            f"Ray cluster of {found.get('CPU', 0):g} CPUs and {found.get('GPU', 0):g} GPUs: {width} worker"
            f"{'s' if width > 1 else ''} of 1 CPU and {gpus:g} GPUs\n"
        )
        yield Cluster(ray, gpus, width)
    finally:
        if ours:
            ray.shutdown()


class RayWorker:
    """A worker on some node of a cluster, kept by an actor of its own."""

    def __init__(self, ray: Any, actor: Any, made_of: tuple[Any, ...], stopping: threading.Event) -> None:
        self._ray, self._actor, self._stopping = ray, actor, stopping
        self._limits: Limits = made_of[2]
        try:
            self.metadata = self._load(made_of)
        except BaseException:
            ray.kill(actor)
            raise

    def ask(self, case: Case) -> WorkerResult:
        """Put one case to the adapter; an actor that is gone, or silent beyond the limit, has died of it."""
        try:
            outcome = self._wait(self._actor.ask.remote(case), self._limits.seconds + LATE * self._limits.grace)
            if outcome.gone:
                self._ray.kill(self._actor)
            return outcome
        except TimeoutError:
            detail = "the Ray actor has not answered: its node is gone or cannot be reached"
        except self._ray.exceptions.RayActorError:
            detail = "the Ray actor or its node died"
        except BaseException:  # Ctrl-C must leave no worker behind
            self._ray.kill(self._actor)
            raise
        self._ray.kill(self._actor)
        return WorkerResult("error", detail, died=True, gone=True)

    def close(self) -> None:
        """Let the worker end by itself, and take its place on the node back."""
        ended = self._actor.close.remote()
        self._ray.wait([ended], timeout=AFAR * self._limits.grace)  # an actor that has died is ready at once
        self._ray.kill(self._actor)

    def _load(self, made_of: tuple[Any, ...]) -> Mapping[str, Any]:
        """Wait until the actor has a place, then until the model is loaded there."""
        seconds = self._limits.loading_seconds
        try:
            self._wait(self._actor.ready.remote(), seconds)
        except TimeoutError:
            raise NoCapacityError(
                f"no node of the Ray cluster had room for a worker within {seconds:g} seconds (--load_timeout); "
                "see what it lacks with: ray status"
            ) from None
        except self._ray.exceptions.RayActorError:  # its own words name the machine, and details are published
            raise WorkerLostError("a Ray actor or its node died before it started") from None
        try:
            return self._wait(self._actor.load.remote(*made_of), seconds + LATE * self._limits.grace)
        except (TimeoutError, self._ray.exceptions.RayActorError):
            raise WorkerLostError("a Ray actor or its node died while the model was loaded there") from None

    def _wait(self, reference: Any, seconds: float) -> Any:
        """Return what a call to the actor returns.

        Raises TimeoutError, WorkerLostError once the run is stopped, or whatever the call raised.
        """
        deadline = time.monotonic() + seconds
        while True:
            left = deadline - time.monotonic()
            if self._ray.wait([reference], timeout=max(0.0, min(POLL_SECONDS, left)))[0]:
                break
            if self._stopping.is_set():
                raise WorkerLostError("interrupted")
            if left <= 0:
                raise TimeoutError
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None  # as it would reach the runner from a process


@dataclass(frozen=True)
class _Here:
    """What the runner's surroundings lend a worker."""

    folder: str
    threads: str | None  # OMP_NUM_THREADS
    stall: str | None  # VIDEONIAH_STALL_SECONDS


class WorkerActor:
    """The actor: one worker process on the node that Ray chose."""

    def __init__(self, here: _Here) -> None:
        if os.path.isdir(here.folder):  # a model in development is imported from there
            os.chdir(here.folder)
        # Ray sets one thread; sums over another count differ in their last bits from those of a local run.
        os.environ.pop("OMP_NUM_THREADS", None)
        if here.threads is not None:
            os.environ["OMP_NUM_THREADS"] = here.threads
        if here.stall is not None:
            os.environ[STALL_VARIABLE] = here.stall
        self._worker: ProcessWorker | None = None

    def ready(self) -> None:
        """Return as soon as there is an actor to return."""

    def load(self, loading: WorkerConfig, python: str | None, limits: Limits, log: Path) -> Mapping[str, Any]:
        """Load the model, once, and return what the worker says of itself."""
        self._worker = ProcessWorker(loading, python, limits, log)
        return self._worker.metadata

    def ask(self, case: Case) -> WorkerResult:
        """Put one case to the worker."""
        assert self._worker is not None
        return self._worker.ask(case)

    def close(self) -> None:
        """End the worker, if there is one."""
        if self._worker is not None:
            self._worker.close()


def _connect(ray: Any, address: str | None, seconds: float) -> None:
    """Connect to a cluster, or start one here where that is what the address means."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster we start tells nobody
    try:
        host, _, port = (address or "").rpartition("/")[2].rpartition(":")  # host:port or ray://host:port
        if host and port.isdigit():  # Ray itself takes more than five minutes to find nobody there
            socket.create_connection((host, int(port)), timeout=seconds).close()
        ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level="WARNING")
    except (OSError, ValueError, RuntimeError) as error:  # not there, not an address, not this version
        raise UserError(
            f"no Ray cluster at {address or 'this machine'}: {error}; start one with: ray start --head, "
            "or leave the address out to run on this machine alone"
        ) from error


def _ray() -> Any:
    """Import Ray, which is an extra."""
    try:
        return importlib.import_module("ray")
    except ModuleNotFoundError:
        raise UserError("--engine ray needs Ray, which is not installed: pip install 'videoniah[ray]'") from None

"""Workers on a Ray cluster: one actor for each, which keeps one worker process on its node.

Ray finds the node, hands out devices and notices dead nodes. The actor keeps the same worker process as a
local run does, so limits, crashes, other interpreters and records are the same. Ray restarts and retries
nothing: the case runner does, as it does for a local process. The model is loaded once per actor.
"""

from __future__ import annotations

import importlib
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from niah.media.bounds import VARIABLES
from niah.run.config import Limits, RunConfig
from niah.run.messages import WorkerConfig, WorkerResult
from niah.run.process import NoCapacityError, ProcessWorker, WorkerLostError
from niah.terminal import to_stderr
from niah.types import Case, UserError

POLL_SECONDS = 1.0
OVERDUE = 6  # times the grace: the actor keeps the limits itself; when it is this late, it or its node is gone
REMOTE = 3  # times the grace: to end, or to be connected to, on another machine


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster, the share of it that one worker gets, and how many workers it is to have."""

    ray: Any
    gpus_per_worker: float
    num_workers: int

    def start_worker(
        self, config: WorkerConfig, python: str | None, limits: Limits, log: Path, stopping: threading.Event
    ) -> RayWorker:
        """Return a loaded worker on some node; the arguments are those of `ProcessWorker`.

        Raises NoCapacityError, WorkerLostError, or UserError where the model does not load.
        """
        options = {"num_cpus": 1, "num_gpus": self.gpus_per_worker, "max_restarts": 0, "max_task_retries": 0}
        bounds = {name: os.environ[name] for name in VARIABLES if name in os.environ}
        environment = _RunnerEnvironment(os.getcwd(), os.environ.get("OMP_NUM_THREADS"), bounds)
        actor = self.ray.remote(**options)(WorkerActor).remote(environment)
        return RayWorker(self.ray, actor, (config, python, limits, log), stopping)


@contextmanager
def connect(config: RunConfig) -> Iterator[Cluster]:
    """Connect to the cluster that `config.engine` names; "ray" alone is what `ray.init()` finds or starts.

    An existing connection is used and kept. Raises UserError where there is no cluster.
    """
    ray = _import_ray()
    ours = not ray.is_initialized()
    if ours:
        _connect(ray, config.engine.partition(":")[2] or None, min(config.load_timeout, REMOTE * config.grace))
    try:
        resources = ray.cluster_resources()
        cpus, gpus = resources.get("CPU", 0), resources.get("GPU", 0)
        per_worker = config.gpus_per_worker
        if per_worker is None:
            per_worker = 1.0 if gpus else 0.0
        num_workers = config.num_workers
        if num_workers is None:
            num_workers = max(1, int(gpus / per_worker)) if per_worker else 1
        to_stderr(
            f"Ray cluster of {cpus:g} CPUs and {gpus:g} GPUs: {num_workers} worker"
            f"{'s' if num_workers > 1 else ''} of 1 CPU and {per_worker:g} GPUs\n"
        )
        yield Cluster(ray, per_worker, num_workers)
    finally:
        if ours:
            ray.shutdown()


class RayWorker:
    """A worker on some node of a cluster, kept by an actor of its own."""

    def __init__(self, ray: Any, actor: Any, arguments: tuple[Any, ...], stopping: threading.Event) -> None:
        self._ray = ray
        self._actor = actor
        self._stopping = stopping
        self._limits: Limits = arguments[2]
        try:
            self.metadata = self._load(arguments)
        except BaseException:
            ray.kill(actor)
            raise

    def ask(self, case: Case) -> WorkerResult:
        """Ask the adapter one case; an actor that is gone, or silent beyond the limit, counts as a crash."""
        try:
            result = self._wait(self._actor.ask.remote(case), self._limits.seconds + OVERDUE * self._limits.grace)
            if result.worker_gone:
                self._ray.kill(self._actor)
            return result
        except TimeoutError:
            detail = "the Ray actor has not answered: its node is gone or cannot be reached"
        except self._ray.exceptions.RayActorError:
            detail = "the Ray actor or its node died"
        except BaseException:  # Ctrl-C must leave no worker behind
            self._ray.kill(self._actor)
            raise
        self._ray.kill(self._actor)
        return WorkerResult("error", detail, crashed=True, worker_gone=True)

    def close(self) -> None:
        """Let the worker end by itself, and give its place on the node back."""
        closed = self._actor.close.remote()
        self._ray.wait([closed], timeout=REMOTE * self._limits.grace)  # an actor that has died is ready at once
        self._ray.kill(self._actor)

    def _load(self, arguments: tuple[Any, ...]) -> Mapping[str, Any]:
        """Wait until the actor has a node, then until the model is loaded there; return the worker metadata."""
        seconds = self._limits.loading_seconds
        try:
            self._wait(self._actor.ready.remote(), seconds)
        except TimeoutError:
            raise NoCapacityError(
                f"no node of the Ray cluster had room for a worker within {seconds:g} seconds (--load_timeout); "
                "see what it lacks with: ray status"
            ) from None
        except self._ray.exceptions.RayActorError:  # its own message names the machine, and details are published
            raise WorkerLostError("a Ray actor or its node died before it started") from None
        try:
            return self._wait(self._actor.load.remote(*arguments), seconds + OVERDUE * self._limits.grace)
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
class _RunnerEnvironment:
    """What a worker on another node takes over from the runner's environment."""

    folder: str
    omp_num_threads: str | None
    bounds: Mapping[str, str]  # those that are set of `niah.media.bounds`


class WorkerActor:
    """The actor: one worker process on the node that Ray chose."""

    def __init__(self, environment: _RunnerEnvironment) -> None:
        if os.path.isdir(environment.folder):  # a model in development is imported from there
            os.chdir(environment.folder)
        # Ray sets one thread; sums over another count differ in their last bits from those of a local run.
        os.environ.pop("OMP_NUM_THREADS", None)
        if environment.omp_num_threads is not None:
            os.environ["OMP_NUM_THREADS"] = environment.omp_num_threads
        os.environ.update(environment.bounds)
        self._worker: ProcessWorker | None = None

    def ready(self) -> None:
        """Return as soon as the actor runs."""

    def load(self, config: WorkerConfig, python: str | None, limits: Limits, log: Path) -> Mapping[str, Any]:
        """Load the model, once, and return the worker metadata."""
        self._worker = ProcessWorker(config, python, limits, log)
        return self._worker.metadata

    def ask(self, case: Case) -> WorkerResult:
        """Ask the worker one case."""
        assert self._worker is not None
        return self._worker.ask(case)

    def close(self) -> None:
        """End the worker, if there is one."""
        if self._worker is not None:
            self._worker.close()


def _connect(ray: Any, address: str | None, seconds: float) -> None:
    """Connect to a cluster, or start one here where that is what the address means."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster that we start reports nothing to anybody
    try:
        host, _, port = (address or "").rpartition("/")[2].rpartition(":")  # host:port or ray://host:port
        if host and port.isdigit():  # Ray itself takes more than five minutes to find nobody there
            socket.create_connection((host, int(port)), timeout=seconds).close()
        ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level="WARNING")
    except Exception as error:  # not there, not an address, not this version; a bare Exception for a node that is late
        raise UserError(
            f"no Ray cluster at {address or 'this machine'}: {error}; start one with: ray start --head, "
            "or leave the address out to run on this machine alone"
        ) from error


def _import_ray() -> Any:
    """Import Ray, which is an extra."""
    try:
        return importlib.import_module("ray")
    except ModuleNotFoundError:
        raise UserError("--engine ray needs Ray, which is not installed: pip install 'videoniah[ray]'") from None

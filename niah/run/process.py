"""Keep one worker process, and survive whatever it does.

A worker may crash, hang, write nonsense or use up the machine's memory: each becomes a
`WorkerResult`, and the worker is then killed with every process it started. `InProcessWorker`
has the same methods without a process, for a debugger: nothing protects the runner from it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from niah.io import refuse_link
from niah.run.config import Limits, RunConfig
from niah.run.family import MARK, end_guard, kill_family, start_guard
from niah.run.memory import oom_kills, resident_bytes
from niah.run.messages import WorkerConfig, WorkerResult, case_request
from niah.run.worker import AdapterServer
from niah.run.worker_log import copy_to_log
from niah.types import Case, UserError

MAX_RESULT_BYTES = 1 << 26  # a reply that names a million frames is smaller
POLL_SECONDS = 0.1
ROOT = Path(__file__).resolve().parents[2]


class Worker(Protocol):
    """A loaded adapter, wherever it runs."""

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What answers: decoder, interpreter, package versions, concurrency, the model's identity."""
        ...

    def ask(self, case: Case) -> WorkerResult:
        """Ask the adapter one case."""
        ...

    def close(self) -> None:
        """End the adapter and free what it holds."""
        ...


class WorkerLostError(UserError):
    """A worker died while it was starting, which is not known to be the model's fault."""


class NoCapacityError(UserError):
    """No machine has room for another worker."""


class _WorkerGoneError(Exception):
    """The worker cannot be used again; `result` says why."""

    def __init__(self, result: WorkerResult) -> None:
        super().__init__(result.detail)
        self.result = result


def start_worker(
    config: RunConfig, worker_config: WorkerConfig, log: Path, stopping: threading.Event | None = None
) -> Worker:
    """Start a loaded worker on this machine: a process, or with `in_process` the adapter in this one."""
    if config.in_process:
        return InProcessWorker(worker_config)
    return ProcessWorker(worker_config, config.python, config.limits(), log, stopping)


class InProcessWorker:
    """The adapter in the runner's own process; limits of time and memory do not hold here."""

    def __init__(self, config: WorkerConfig) -> None:
        self._server = AdapterServer(config)
        self.metadata = {**self._server.metadata(), "concurrency": 1}  # a debugger wants one thread

    def ask(self, case: Case) -> WorkerResult:
        """Ask the adapter one case."""
        return self._server.answer(case_request(case))

    def close(self) -> None:
        """Free the adapter."""
        del self._server


class ProcessWorker:
    """One `python -m niah.run.worker`, loaded and ready.

    Args:
        config: the adapter to load and the media library.
        python: the worker's interpreter; None is this one.
        limits: what the worker may use before it is killed.
        log: where its stdout and stderr are appended.
        stopping: once set, the worker is killed whatever it does.

    Raises UserError where the interpreter or the adapter cannot be started, WorkerLostError where the
    process died while it was loading.
    """

    def __init__(
        self,
        config: WorkerConfig,
        python: str | None,
        limits: Limits,
        log: Path,
        stopping: threading.Event | None = None,
    ) -> None:
        refuse_link(log)
        self._limits = limits
        self._stopping = stopping if stopping is not None else threading.Event()
        self._numbers = itertools.count()
        self._buffer = bytearray()
        self._ended = False
        self._oom_kills = oom_kills()
        self._mark = uuid4().hex
        self._guard = start_guard(self._mark, limits.grace / 2, worker_environment())
        try:
            self._child = _start(python or sys.executable, self._mark)
        except BaseException:
            end_guard(self._guard)
            raise
        self._log = threading.Thread(target=copy_to_log, args=(self._child.stderr, log), name="worker.log", daemon=True)
        self._log.start()
        try:
            self.metadata = self._call({"do": "load", "loading": config.to_json()}, limits.loading_seconds)
        except _WorkerGoneError as error:
            kind = WorkerLostError if error.result.crashed else UserError
            raise kind(
                f"the model did not load: {error.result.detail}; what it printed is at the end of {log}"
            ) from None
        except BaseException:
            self.close()
            raise
        if self.metadata["status"] != "ready":
            self.close()
            raise UserError(f"the model did not load: {self.metadata['detail']}")

    def ask(self, case: Case) -> WorkerResult:
        """Ask the adapter one case, and wait no longer than the limit."""
        try:
            result = WorkerResult.from_json(
                self._call({"do": "answer", "asked": case_request(case)}, self._limits.seconds)
            )
        except _WorkerGoneError as error:
            return error.result
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:  # it bypassed `check_reply`
            return WorkerResult("error", f"the worker sent what is no reply: {error!r:.500}")
        if result.worker_gone:  # it lost its device, and ends
            self.close()
        return result

    def close(self) -> None:
        """Let the worker end by itself; kill what is left of it and its children."""
        if self._child.stdin is not None and not self._child.stdin.closed:
            self._child.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):  # killed next
            self._child.wait(self._limits.grace)
        self._kill()

    def _call(self, message: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Send a request and return the response; raises _WorkerGoneError, with the worker killed, if none comes."""
        deadline = time.monotonic() + seconds
        number = message["number"] = next(self._numbers)
        try:
            self._send(json.dumps(message).encode() + b"\n", deadline)
            response = json.loads(self._receive(deadline))  # of a process that may write anything
            if not isinstance(response, dict) or response.get("number") != number:
                raise ValueError
        except (ValueError, RecursionError):
            self._kill()
            detail = "the worker wrote something that is no reply to the runner's descriptor"
            raise _WorkerGoneError(WorkerResult("error", detail, crashed=True, worker_gone=True)) from None
        except TimeoutError:
            self._kill()
            detail = f"no answer within {seconds:g} seconds"
            raise _WorkerGoneError(WorkerResult("timeout", detail, worker_gone=True)) from None
        except BaseException:  # _WorkerGoneError, and Ctrl-C must leave no worker behind
            self._kill()
            raise
        return response

    def _send(self, data: bytes, deadline: float) -> None:
        """Write a whole request, however slowly it is read."""
        assert self._child.stdin is not None
        descriptor = self._child.stdin.fileno()
        while data:
            _, ready, _ = select.select([], [descriptor], [], POLL_SECONDS)
            if ready:
                try:
                    data = data[os.write(descriptor, data[: select.PIPE_BUF]) :]
                except BrokenPipeError:
                    raise _WorkerGoneError(self._cause_of_death()) from None
            self._check_limits(deadline)

    def _receive(self, deadline: float) -> bytes:
        """Read up to the end of a line, and check the limits meanwhile."""
        assert self._child.stdout is not None
        descriptor = self._child.stdout.fileno()
        end = self._buffer.find(b"\n")
        while end < 0:
            ready, _, _ = select.select([descriptor], [], [], POLL_SECONDS)
            if ready:
                data = os.read(descriptor, 1 << 16)
                if not data:
                    raise _WorkerGoneError(self._cause_of_death())
                self._buffer += data
                end = self._buffer.find(b"\n", len(self._buffer) - len(data))
                if len(self._buffer) > MAX_RESULT_BYTES:
                    raise ValueError("a result without an end")
            elif self._child.poll() is not None:  # a child that it forked may still hold the descriptor
                raise _WorkerGoneError(self._cause_of_death())
            self._check_limits(deadline)
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def _check_limits(self, deadline: float) -> None:
        """Raise TimeoutError past the deadline, _WorkerGoneError past the memory limit or once the run is stopped."""
        if self._stopping.is_set():
            raise _WorkerGoneError(WorkerResult("error", "interrupted", worker_gone=True))
        if time.monotonic() > deadline:
            raise TimeoutError
        limit = self._limits.host_bytes
        if limit is not None and resident_bytes(self._child.pid) > limit:
            detail = f"host memory passed the limit of {limit / 2**30:g} GiB"
            raise _WorkerGoneError(WorkerResult("oom", detail, worker_gone=True))

    def _cause_of_death(self) -> WorkerResult:
        """Return what the worker died of."""
        try:
            code = self._child.wait(self._limits.grace)
        except subprocess.TimeoutExpired:
            return WorkerResult("error", "the worker closed its descriptor", crashed=True, worker_gone=True)
        if code == -signal.SIGKILL and oom_kills() > self._oom_kills:
            detail = "the kernel killed the worker: the machine's memory did not suffice"
            return WorkerResult("oom", detail, worker_gone=True)
        how = f"died of {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        return WorkerResult("error", f"the worker {how}", crashed=True, worker_gone=True)

    def _kill(self) -> None:
        """Kill the worker and what it started, and collect it; once, as its number may later be another's."""
        if self._ended:
            return
        self._ended = True
        kill_family(self._child.pid, self._mark)
        end_guard(self._guard)
        with contextlib.suppress(subprocess.TimeoutExpired):  # it hangs in the kernel, on a lost share, and dies later
            self._child.wait(self._limits.grace)
        self._log.join(self._limits.grace)
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()


def _start(python: str, mark: str) -> subprocess.Popen[bytes]:
    """Start a worker at the head of its own process group."""
    environment = {**worker_environment(), MARK: mark}
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen(
            [python, "-m", "niah.run.worker"],
            stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, env=environment, start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise UserError(f"{python} does not start ({error.strerror}); --python names a Python interpreter") from None


def worker_environment() -> dict[str, str]:
    """Return the environment of a process that runs `niah` in the worker's interpreter."""
    # Waiting threads must not spin: on a machine that others use too, that made a model five times slower.
    environment = {"OMP_WAIT_POLICY": "passive", **os.environ}
    if (ROOT / "pyproject.toml").is_file():  # a checkout, whose niah another interpreter would not find
        paths = [str(ROOT), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return environment


def _signal_name(number: int) -> str:
    """Return a signal's name; most real-time signals have none."""
    return signal.Signals(number).name if number in list(signal.Signals) else f"signal {number}"

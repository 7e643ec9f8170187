"""Keep one worker, and survive whatever it does.

A worker may crash, hang, write nonsense or eat the machine's memory: each becomes
a `WorkerResult`, and the worker is then gone with every process it started. `InProcessWorker`
has the same methods without the process, for debugging: nothing protects from it.
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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from niah.io import open_to_append, refuse_link
from niah.run.memory import oom_kills, resident_bytes
from niah.run.worker import AdapterServer, WorkerConfig, case_request
from niah.types import Case, UserError

REPLY_BYTES = 1 << 26  # a reply naming a million frames is smaller
LOG_BYTES = 1 << 20  # of worker.log, and of worker.log.1
POLL_SECONDS = 0.1
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class WorkerResult:
    """What became of one question: a record's `status`, and whether a fresh worker may do better."""

    status: str
    detail: str = ""
    reply: Mapping[str, Any] | None = None
    measured: Mapping[str, Any] = field(default_factory=dict)
    died: bool = False  # the worker ended by itself or lost its way; a retry is worthwhile
    gone: bool = False  # no worker is left to ask


class Worker(Protocol):
    """Whoever puts questions to an adapter."""

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What answers: decoder, interpreter, versions."""
        ...

    def ask(self, case: Case) -> WorkerResult:
        """Put one case to the adapter."""
        ...

    def close(self) -> None:
        """End the adapter and free what it held."""
        ...


class WorkerLostError(UserError):
    """A worker went away while it was being made, by no fault of the model's."""


class NoCapacityError(UserError):
    """No machine has room for another worker."""


class InProcessWorker:
    """The adapter in the runner's own process; time and memory limits do not hold here."""

    def __init__(self, loading: WorkerConfig) -> None:
        self._served = AdapterServer(loading)
        self.metadata = {**self._served.metadata(), "concurrency": 1}  # a debugger wants one thread

    def ask(self, case: Case) -> WorkerResult:
        """Put one case to the adapter."""
        said = self._served.answer(case_request(case))
        return WorkerResult(said["status"], said["detail"], said["reply"], said["measured"])

    def close(self) -> None:
        """Forget the adapter."""
        del self._served


@dataclass(frozen=True)
class Limits:
    """What a worker may take before it is stopped."""

    seconds: float  # for one question
    host_bytes: int | None = None  # resident memory of the worker and its children together
    loading_seconds: float = 3600.0  # weights come over slow networks; this only ends a hang
    grace: float = 10.0  # seconds to end by itself


class _WorkerGoneError(Exception):
    """The worker cannot go on; the outcome says why."""

    def __init__(self, outcome: WorkerResult) -> None:
        super().__init__(outcome.detail)
        self.outcome = outcome


class ProcessWorker:
    """One `python -m niah.run.worker`, loaded and ready.

    It is killed as soon as `stopping` is set, whatever it does. Raises UserError where
    the interpreter or the adapter does not come up, Lost where it died while loading.
    """

    def __init__(
        self,
        loading: WorkerConfig,
        python: str | None,
        limits: Limits,
        log: Path,
        stopping: threading.Event | None = None,
    ) -> None:
        self._limits = limits
        self._stopping = stopping if stopping is not None else threading.Event()
        self._numbers = itertools.count()
        self._buffer = bytearray()
        self._ended = False
        self._kills = oom_kills()
        refuse_link(log)
        self._child = _start(python or sys.executable, limits.grace / 2)
        self._log = threading.Thread(target=_copy, args=(self._child.stderr, log), name="worker.log", daemon=True)
        self._log.start()
        try:
            self.metadata = self._call({"do": "load", "loading": loading.to_json()}, limits.loading_seconds)
        except _WorkerGoneError as gone:
            kind = WorkerLostError if gone.outcome.died else UserError
            raise kind(
                f"the model did not load: {gone.outcome.detail}; what it printed is at the end of {log}"
            ) from None
        except BaseException:
            self.close()
            raise
        if self.metadata["status"] != "ready":
            self.close()
            raise UserError(f"the model did not load: {self.metadata['detail']}")

    def ask(self, case: Case) -> WorkerResult:
        """Put one case to the adapter, and wait no longer than the limit."""
        try:
            said = self._call({"do": "answer", "asked": case_request(case)}, self._limits.seconds)
        except _WorkerGoneError as gone:
            return gone.outcome
        return WorkerResult(said["status"], said["detail"], said["reply"], said["measured"])

    def close(self) -> None:
        """Let the worker end by itself; kill what is left of it and its children."""
        if self._child.stdin is not None and not self._child.stdin.closed:
            self._child.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):  # killed next
            self._child.wait(self._limits.grace)
        self._kill()

    def _call(self, message: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Send a request and return its reply; raises _WorkerGoneError, with the worker killed, where none comes."""
        deadline = time.monotonic() + seconds
        number = message["number"] = next(self._numbers)
        try:
            self._send(json.dumps(message).encode() + b"\n", deadline)
            line = self._receive(deadline)
            said = json.loads(line)
            if not isinstance(said, dict) or said.get("number") != number:
                raise ValueError
        except ValueError:
            self._kill()
            detail = "the worker wrote something that is no reply to the runner's descriptor"
            raise _WorkerGoneError(WorkerResult("error", detail, died=True, gone=True)) from None
        except TimeoutError:
            self._kill()
            raise _WorkerGoneError(
                WorkerResult("timeout", f"no answer within {seconds:g} seconds", gone=True)
            ) from None
        except BaseException:  # _WorkerGoneError, and Ctrl-C must leave no worker behind
            self._kill()
            raise
        return said

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
                    raise _WorkerGoneError(self._death()) from None
            self._watch(deadline)

    def _receive(self, deadline: float) -> bytes:
        """Read up to the end of a line, watching clock and memory meanwhile."""
        assert self._child.stdout is not None
        descriptor = self._child.stdout.fileno()
        end = self._buffer.find(b"\n")
        while end < 0:
            ready, _, _ = select.select([descriptor], [], [], POLL_SECONDS)
            if ready:
                data = os.read(descriptor, 1 << 16)
                if not data:
                    raise _WorkerGoneError(self._death())
                self._buffer += data
                end = self._buffer.find(b"\n", len(self._buffer) - len(data))
                if len(self._buffer) > REPLY_BYTES:
                    raise ValueError("a reply without an end")
            elif self._child.poll() is not None:  # a child it forked may still hold the descriptor
                raise _WorkerGoneError(self._death())
            self._watch(deadline)
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def _watch(self, deadline: float) -> None:
        """Raise TimeoutError past the deadline, _Gone past the limit of memory or where somebody stops the run."""
        if self._stopping.is_set():
            raise _WorkerGoneError(WorkerResult("error", "interrupted", gone=True))
        if time.monotonic() > deadline:
            raise TimeoutError
        limit = self._limits.host_bytes
        if limit is not None and resident_bytes(self._child.pid) > limit:
            detail = f"host memory passed the limit of {limit / 2**30:g} GiB"
            raise _WorkerGoneError(WorkerResult("oom", detail, gone=True))

    def _death(self) -> WorkerResult:
        """Say what the worker died of."""
        try:
            code = self._child.wait(self._limits.grace)
        except subprocess.TimeoutExpired:
            return WorkerResult("error", "the worker closed its descriptor", died=True, gone=True)
        if code == -signal.SIGKILL and oom_kills() > self._kills:
            return WorkerResult("oom", "the kernel killed the worker: the machine's memory did not suffice", gone=True)
        if code < 0:
            return WorkerResult("error", f"the worker died of {_name(-code)}", died=True, gone=True)
        return WorkerResult("error", f"the worker ended with exit code {code}", died=True, gone=True)

    def _kill(self) -> None:
        """Kill the worker's whole group and collect it; once, as its number may then be another's."""
        if self._ended:
            return
        self._ended = True
        with contextlib.suppress(ProcessLookupError):  # nobody is left
            os.killpg(self._child.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):  # it hangs in the kernel, on a lost share, and dies later
            self._child.wait(self._limits.grace)
        self._log.join(self._limits.grace)
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()


def _start(python: str, alone: float) -> subprocess.Popen[bytes]:
    """Start a worker at the head of its own process group; `alone` is how many seconds it outlives the runner."""
    # Threads that wait must not spin: on a machine others use too, that made a model five times slower.
    environment = {"OMP_WAIT_POLICY": "passive", **os.environ}
    if (ROOT / "pyproject.toml").is_file():  # a checkout, whose niah another interpreter would not find
        paths = [str(ROOT), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    try:
        return subprocess.Popen(
            [python, "-m", "niah.run.worker", f"{alone:g}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        raise UserError(f"{python} does not start ({error.strerror}); --python names a Python interpreter") from None


def _name(number: int) -> str:
    """Return a signal's name; most real-time signals have none."""
    return signal.Signals(number).name if number in list(signal.Signals) else f"signal {number}"


def _copy(stream: BinaryIO, log: Path) -> None:
    """Append what a worker writes to its log, and go on reading so that it never blocks.

    A full log becomes worker.log.1: a worker's last words are kept, its chatter is bounded.
    """
    with stream:
        while data := stream.read(1 << 13):
            with contextlib.suppress(
                OSError, UserError
            ):  # a full disk costs the log, not the run: records have their own check
                if log.exists() and log.stat().st_size > LOG_BYTES:
                    os.replace(log, log.with_name(f"{log.name}.1"))
                with os.fdopen(open_to_append(log), "ab") as file:
                    file.write(data)

"""Every process that a worker started, detached ones too: inference servers leave its session and would outlive it.

A worker adopts what loses its parent, so that all are its descendants while it lives. Its environment holds a mark that
whatever it starts inherits: by that they are found once it is dead. Where the runner is killed, a guard that it started
beside the worker kills them: `python -m niah.run.family MARK SECONDS`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

MARK = "VIDEONIAH_WORKER"  # environment variable
ROUNDS = 5  # a process may start another while it is killed
POLL_SECONDS = 0.2
PR_SET_CHILD_SUBREAPER = 36  # of linux/prctl.h


def kill_family(pid: int, mark: str) -> None:
    """Kill the process group that `pid` leads, its descendants, and every process that carries the mark."""
    import psutil  # here, because a worker's interpreter may lack it

    found = _descendants(pid)  # first: of the dead nobody knows them
    with contextlib.suppress(ProcessLookupError):  # the group is already gone
        os.killpg(pid, signal.SIGKILL)
    for _ in range(ROUNDS):
        for process in found:
            with contextlib.suppress(psutil.Error):  # it ended meanwhile; another of its number is not killed
                process.kill()
        found = list(_marked(mark))
        if not found:
            return


def adopt_orphans() -> None:
    """Become the parent of processes whose own parent ends, so that their memory counts as this one's; Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def start_guard(mark: str, grace_seconds: float, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a process that outlives this one, however it ends, and then kills what carries the mark.

    What is marked has `grace_seconds` to end by itself.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "niah.run.family", mark, f"{grace_seconds:g}"],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=environment, start_new_session=True,
    )  # fmt: skip


def end_guard(guard: subprocess.Popen[bytes]) -> None:
    """End a guard that nothing is left for."""
    assert guard.stdin is not None
    guard.kill()
    guard.wait()
    guard.stdin.close()


def _guard(mark: str, grace_seconds: float) -> None:
    """Wait until stdin ends, as it does with whoever holds its other end; then kill what carries the mark."""
    sys.stdin.read()
    deadline = time.monotonic() + grace_seconds
    while (found := list(_marked(mark))) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    for process in found:
        kill_family(process.pid, mark)


def _descendants(pid: int) -> list[psutil.Process]:
    import psutil

    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def _marked(mark: str) -> Iterator[psutil.Process]:
    """Yield the living processes whose environment holds the mark."""
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):  # it ended meanwhile, or is another user's
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == mark:
                yield process


if __name__ == "__main__":
    _guard(sys.argv[1], float(sys.argv[2]))

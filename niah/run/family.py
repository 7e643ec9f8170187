"""Every process that a worker started, detached ones too: inference servers leave its session and would outlive it.

A worker adopts what loses its parent, so that all are its descendants while it lives. Its environment holds a mark that
whatever it starts inherits: by that they are found once it is dead.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

MARK = "VIDEONIAH_WORKER"  # environment variable
ROUNDS = 5  # a process may start another while it is killed
END_SECONDS = 0.05  # for a killed process to end
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
        found = list(_marked(mark, without=pid))
        if not found:
            return


def adopt_orphans() -> None:
    """Become the parent of processes whose own parent ends, so that their memory counts as this one's; Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_children() -> None:
    """Kill what this process started or adopted, as nobody knows it where the runner is gone, too; Linux only."""
    for _ in range(ROUNDS):  # those of the killed are adopted
        children = [int(pid) for file in Path("/proc/self/task").glob("*/children") for pid in file.read_text().split()]
        if not children:
            return
        for pid in children:
            with contextlib.suppress(OSError):  # it ended meanwhile, or is another user's
                os.kill(pid, signal.SIGKILL)
        time.sleep(END_SECONDS)
        with contextlib.suppress(ChildProcessError):  # there is none any more
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _descendants(pid: int) -> list[psutil.Process]:
    import psutil

    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def _marked(mark: str, without: int) -> Iterator[psutil.Process]:
    """Yield the living processes whose environment holds the mark."""
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):  # it ended meanwhile, or is another user's
            ended = process.pid == without or process.status() == psutil.STATUS_ZOMBIE
            if not ended and process.environ().get(MARK) == mark:
                yield process

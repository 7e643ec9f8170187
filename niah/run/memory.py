"""Host memory as the operating system reports it: peaks, what a process holds, and kills for lack of memory.

A worker imports this file, so it needs nothing but Python 3.9.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path


def reset_peak() -> bool:
    """Reset the peak of this process; False where it cannot be reset, so that peaks are of the whole process."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:  # not Linux, or not allowed in this container
        return False
    return True


def peak_bytes(since_reset: bool = True) -> int | None:
    """Return the peak of this process's resident memory, since `reset_peak` if that worked; None if unknown."""
    if since_reset:
        with open("/proc/self/status") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process and its children, 0 once it has ended."""
    import psutil  # here, because a worker's interpreter may lack it

    total = 0
    try:
        parent = psutil.Process(pid)
        family = [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended between the two calls
            total += process.memory_info().rss
    return total


def oom_kills() -> int:
    """Return how many processes the kernel has killed for lack of memory since boot; 0 where it does not say."""
    try:
        text = Path("/proc/vmstat").read_text()
    except OSError:  # not Linux
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill ")), 0)

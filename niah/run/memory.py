"""What the kernel says about memory: how much processes hold, and whether it killed one for it."""

from __future__ import annotations

from pathlib import Path

import psutil


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process and its children, 0 once it has gone."""
    total = 0
    try:
        parent = psutil.Process(pid)
        family = [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for process in family:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue  # it ended between the two calls
    return total


def oom_kills() -> int:
    """Return how many processes the kernel has killed for memory since boot; 0 where it does not say."""
    try:
        text = Path("/proc/vmstat").read_text()
    except OSError:  # not Linux
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill ")), 0)

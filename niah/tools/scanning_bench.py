"""Measure what scanning files in several processes saves, against one; the two take turns, each with an empty cache."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from niah.media.errors import MediaError
from niah.media.scan_many import MOST_PROCESSES, ScanProcesses
from niah.tools.decoder_bench import VIDEO_SUFFIXES, time_apart
from niah.types import UserError


def scanning_lines(folder: Path, repeats: int, seconds: float) -> Iterator[str]:
    """Yield a line for each number of processes: wall time as a ratio to one, medians over turns.

    Raises UserError for a folder without videos, and where one run takes longer than `seconds`.
    """
    files = len(_videos(folder))
    if not files:
        raise UserError(f"{folder} holds no video; name a folder of videos")
    most = min(os.cpu_count() or 1, MOST_PROCESSES)
    turns = [{count: _run(folder, count, seconds) for count in sorted({1, most})} for _ in range(repeats)]
    yield f"{files} files; ratios within a turn, medians of {repeats}"
    for count in turns[0]:
        ratio = statistics.median(turn[count] / turn[1] for turn in turns)
        wall = statistics.median(turn[count] for turn in turns)
        yield f"scanned by {count} at a time: {wall:.1f} s, {ratio:.2f}"


def time_scanning(folder: Path, count: int) -> dict[str, float]:
    """Scan a folder in so many processes; return the wall seconds."""
    began = time.perf_counter()
    with ScanProcesses(count) as processes:
        videos = _videos(folder)
        processes.announce(videos)
        for path in videos:
            try:
                processes.scan(path)
            except MediaError:  # a broken file takes time, too
                continue
    return {"wall": time.perf_counter() - began}


def _videos(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES)


def _run(folder: Path, count: int, seconds: float) -> float:
    """Return the wall seconds of scanning in so many processes, with an empty cache."""
    with tempfile.TemporaryDirectory() as cache:
        return time_apart(str(folder), f"scanning/{count}", seconds, VIDEONIAH_CACHE=cache)["wall"]

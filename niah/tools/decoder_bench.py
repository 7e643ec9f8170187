"""Time the video decoders on what users do, and count the files that each reads correctly.

Every timed run is a fresh process, the decoders take turns, and the median is reported.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np

from niah.media.decoders.base import INSTALL_HINTS, load_decoder
from niah.media.errors import MediaError
from niah.media.index import Index
from niah.media.scan import scan
from niah.run.memory import peak_bytes
from niah.types import Sampling, UserError

VIDEO_SUFFIXES = frozenset((".mp4", ".mov", ".mkv", ".webm", ".avi", ".wmv", ".ts", ".m4v", ".ogv", ".flv", ".mpg"))
SIZE = 384  # width and height of the frames read
TASKS = ("1 frame/s", "dense", "seek")
DENSE_FRAMES = 3000
SEEKS = 40
LONG_FRAMES = 20_000  # of the video made by repeating another
CHUNK = 64  # frames read at a time
MAX_DIFFERENCE = 1.0  # mean, of 256 levels: ten-bit colour is read this far apart, a wrong frame much farther


def benchmark_lines(folder: Path, repeats: int, seconds: float) -> Iterator[str]:
    """Yield the lines of two Markdown tables: times of each decoder, and the files that each reads.

    Raises UserError where the folder holds no readable video, and where one run takes longer than `seconds`.
    """
    names = [name for name in INSTALL_HINTS if _usable(name)]
    indices, refused = _some_readable(folder)
    yield f"{', '.join(load_decoder(name).name for name in names)}; medians of {repeats}, {os.cpu_count()} cores"
    yield from _rows(("file and task", *(f"{n}: wall s, CPU s, peak MiB" for n in names)))
    with tempfile.TemporaryDirectory() as scratch:
        for index in videos_to_time(indices, Path(scratch)):
            for task in TASKS:
                runs = timed_runs(names, task, index, repeats, seconds)
                title = f"{Path(index.path).name} ({len(index.times):,} frames), {task}"
                yield from _rows((title, *(_medians(runs[name]) for name in names)), head=False)
    yield ""
    total = len(indices) + len(refused)
    yield f"{total} files; {len(refused)} are refused before any decoder: {', '.join(sorted(refused))}"
    yield from _rows(("decoder", "reads", "same pixels as pyav", "cannot read"))
    for name in names:
        yield from _rows((name, *_readable(name, indices, folder)), head=False)


def longest(folder: Path) -> Index:
    """Return the video with the most frames of a folder. Raises UserError where none can be read."""
    return max(_some_readable(folder)[0], key=lambda index: len(index.times))


def _some_readable(folder: Path) -> tuple[list[Index], list[str]]:
    """Scan a folder. Raises UserError where it holds no video that can be read."""
    indices, refused = scan_folder(folder)
    if not indices:
        raise UserError(f"{folder} holds no video that can be read; name a folder of videos")
    return indices, refused


def scan_folder(folder: Path) -> tuple[list[Index], list[str]]:
    """Scan every file that looks like a video; return their indices, and the names of the files that were refused."""
    indices: list[Index] = []
    refused: list[str] = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES):
        try:
            indices.append(scan(path))
        except MediaError:
            refused.append(path.name)
    return indices, refused


def videos_to_time(indices: list[Index], scratch: Path) -> list[Index]:
    """Return the two longest videos, and one of LONG_FRAMES made by repeating the second, packet by packet."""
    longest = sorted(indices, key=lambda index: len(index.times))[-2:][::-1]
    repeated = scratch / f"{Path(longest[-1].path).stem}_20k.mp4"
    repeat_packets(longest[-1], repeated, -(-LONG_FRAMES // len(longest[-1].times)))
    return [*longest, scan(repeated)]


def repeat_packets(index: Index, target: Path, times: int) -> None:
    """Write a video `times` times in a row into one file, without encoding it again."""
    duration = index.end - index.times[0]
    with av.open(str(target), "w") as output:
        output_stream: Any = None
        for turn in range(times):
            with av.open(index.path) as source:
                stream = source.streams.video[0]
                output_stream = output_stream or output.add_stream_from_template(stream)
                for packet in source.demux(stream):
                    if packet.dts is not None and packet.pts is not None:
                        packet.pts += turn * duration
                        packet.dts += turn * duration
                        packet.stream = output_stream
                        output.mux(packet)


def timed_runs(
    names: list[str], task: str, index: Index, repeats: int, seconds: float
) -> dict[str, list[dict[str, float]]]:
    """Time each decoder `repeats` times, in turns, so that a busy minute affects all of them."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(repeats):
        for name in names:
            runs[name].append(time_apart(index.path, f"{name}/{task}", seconds))
    return runs


def time_apart(path: str, run: str, seconds: float, *flags: str, **variables: str) -> dict[str, float]:
    """Do one timed run in a process of its own, with more flags and environment variables; return what it printed.

    Raises UserError where it fails or takes longer than `seconds`.
    """
    command = [sys.executable, "-m", "niah", "bench_media", path, "--one", run, *flags]
    environment = {**os.environ, **variables}
    try:
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=seconds, env=environment)
    except subprocess.TimeoutExpired:
        raise UserError(f"{run} took longer than {seconds:g} s; give it more: --timeout") from None
    except subprocess.CalledProcessError:
        raise UserError(f"{run} cannot be timed; the reason is printed above") from None
    return json.loads(done.stdout)


def time_task(name: str, task: str, path: Path) -> dict[str, float]:
    """Do one task in this process; return wall and CPU seconds, and by how many MiB peak memory grew."""
    index = scan(path)
    decoder = load_decoder(name)
    sampling = Sampling("native", SIZE, SIZE)
    idle = peak_mib()
    wall = time.perf_counter()
    processor = time.process_time()
    for ordinals in _reads(task, index):
        for _ in decoder.read(index, ordinals, sampling):
            pass
    spent = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - processor}
    return {**spent, "mib": peak_mib() - idle}


def peak_mib() -> float:
    """Return the peak resident memory of this process; not a number on other systems than Linux.

    `resource.getrusage` would do there, but its ru_maxrss begins at the size of the parent process.
    """
    try:
        peak = peak_bytes()
    except FileNotFoundError:  # no /proc
        return float("nan")
    return float("nan") if peak is None else peak / 2**20


def _reads(task: str, index: Index) -> Iterator[list[int]]:
    """Yield the ordinals of the frames that each call to the decoder reads."""
    count = len(index.times)
    if task == "seek":
        chance = random.Random(f"{index.sha256}/seek")
        for _ in range(SEEKS):
            yield [chance.randrange(count)]
        return
    if task == "1 frame/s":
        ordinals = list(index.ordinals(0, index.count("1"), "1"))
    else:
        ordinals = list(range(min(DENSE_FRAMES, count)))
    for start in range(0, len(ordinals), CHUNK):
        yield ordinals[start : start + CHUNK]


def _readable(name: str, indices: list[Index], folder: Path) -> tuple[str, str, str]:
    """Return how many files a decoder reads, how many as PyAV does (by three frames), and which it cannot read."""
    same = 0
    reads = 0
    unreadable = []
    for index in indices:
        last = len(index.times) - 1
        ordinals = sorted({0, last // 2, last})
        try:
            theirs = _frames(name, index, ordinals)
        except MediaError:
            unreadable.append(str(Path(index.path).relative_to(folder.absolute())))
            continue
        reads += 1
        ours = _frames("pyav", index, ordinals)
        differences = [float(np.abs(a.astype(int) - b).mean()) for a, b in zip(ours, theirs, strict=True)]
        same += max(differences) <= MAX_DIFFERENCE
    return f"{reads} of {len(indices)}", str(same), ", ".join(unreadable) or "-"


def _frames(name: str, index: Index, ordinals: list[int]) -> list[np.ndarray]:
    """Return some frames as a decoder reads them, small."""
    decoder = load_decoder(name)
    frames = list(decoder.read(index, ordinals, Sampling("native", 64, 64)))
    decoder.close()
    return frames


def _medians(runs: list[dict[str, float]]) -> str:
    """Return a cell of the first table: the medians of some runs."""
    middle = {key: statistics.median(run[key] for run in runs) for key in ("wall", "cpu", "mib")}
    return f"{middle['wall']:.1f}, {middle['cpu']:.1f}, {middle['mib']:.0f}"


def _usable(name: str) -> bool:
    """Return True if a decoder is installed."""
    try:
        load_decoder(name)
    except UserError:
        return False
    return True


def _rows(cells: tuple[str, ...], head: bool = True) -> Iterator[str]:
    """Yield a row of a Markdown table, with the line that follows a heading."""
    yield f"| {' | '.join(cells)} |"
    if head:
        yield "|" + "---|" * len(cells)

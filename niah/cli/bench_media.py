"""`niah bench_media FOLDER`: time the decoders on what users do, and count the files each reads correctly.

Every run is a fresh process, decoders take turns, and what is printed is the median.
"""

from __future__ import annotations

import argparse
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

from niah.cli.command import Command
from niah.media.decoders.base import INSTALL_HINTS, load_decoder
from niah.media.errors import MediaError
from niah.media.index import Index
from niah.media.scan import scan
from niah.types import Sampling, UserError

EXAMPLES = """\
examples:
  niah bench_media ../shared/videos
      the tables of docs/decoders.md, in about eight minutes on two cores

The two longest videos are timed, and one of 20,000 frames made from the second.
"""
SIZE = 384
TASKS = ("1 frame/s", "dense", "seek")
DENSE_FRAMES = 3000
SEEKS = 40
SAME = 1.0  # of 256 levels, mean: ten-bit colour comes out this far apart, a wrong frame much farther


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a folder of videos, searched to any depth")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="runs per number; the median is printed")
    parser.add_argument("--timeout", type=float, default=900.0, metavar="SECONDS", help="for one run")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # one timed run, as JSON, in a process of its own


def run(options: argparse.Namespace) -> int:
    """Print both tables."""
    if options.one:
        decoder, task = options.one.split("/", 1)
        sys.stdout.write(json.dumps(timed(decoder, task, options.folder)))
        return 0
    return _print(options.folder, options.repeats, options.timeout)


def _print(folder: Path, repeats: int, seconds: float) -> int:
    """Print each line as soon as it is known."""
    for line in report(folder, repeats, seconds):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    return 0


def report(folder: Path, repeats: int, seconds: float) -> Iterator[str]:
    """Yield the lines of the two tables. Raises UserError where one run takes longer than `seconds`."""
    names = [name for name in INSTALL_HINTS if _usable(name)]
    indices, refused = measured(folder)
    if not indices:
        raise UserError(f"{folder} holds no video that can be read; name a folder of videos")
    yield f"{', '.join(load_decoder(name).name for name in names)}; medians of {repeats}, {os.cpu_count()} cores"
    yield from _rows(("file and task", *(f"{n}: wall s, CPU s, peak MiB" for n in names)))
    with tempfile.TemporaryDirectory() as scratch:
        for index in chosen(indices, Path(scratch)):
            for task in TASKS:
                runs = interleaved(names, task, index, repeats, seconds)
                title = f"{Path(index.path).name} ({len(index.times):,} frames), {task}"
                yield from _rows((title, *(_medians(runs[name]) for name in names)), head=False)
    yield ""
    total = len(indices) + len(refused)
    yield f"{total} files; {len(refused)} are refused before any decoder: {', '.join(sorted(refused))}"
    yield from _rows(("decoder", "reads", "same pixels as pyav", "cannot read"))
    for name in names:
        yield from _rows((name, *_readable(name, indices, folder)), head=False)


def measured(folder: Path) -> tuple[list[Index], list[str]]:
    """Measure every file that looks like a video; return the indices and the names of those refused."""
    indices: list[Index] = []
    refused: list[str] = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES):
        try:
            indices.append(scan(path))
        except MediaError:
            refused.append(path.name)
    return indices, refused


VIDEO_SUFFIXES = frozenset((".mp4", ".mov", ".mkv", ".webm", ".avi", ".wmv", ".ts", ".m4v", ".ogv", ".flv", ".mpg"))


def chosen(indices: list[Index], scratch: Path) -> list[Index]:
    """Return the two longest videos and one of 20,000 frames made from the second, packet by packet."""
    longest = sorted(indices, key=lambda index: len(index.times))[-2:][::-1]
    twice = scratch / f"{Path(longest[-1].path).stem}_20k.mp4"
    repeat_packets(longest[-1], twice, -(-20_000 // len(longest[-1].times)))
    return [*longest, scan(twice)]


def repeat_packets(index: Index, target: Path, times: int) -> None:
    """Write a video several times over into one file without encoding it anew."""
    with av.open(str(target), "w") as after:
        new: Any = None
        for turn in range(times):
            with av.open(index.path) as before:
                old = before.streams.video[0]
                new = new or after.add_stream_from_template(old)
                for packet in before.demux(old):
                    if packet.dts is not None and packet.pts is not None:
                        packet.pts += turn * (index.end - index.times[0])
                        packet.dts += turn * (index.end - index.times[0])
                        packet.stream = new
                        after.mux(packet)


def interleaved(
    names: list[str], task: str, index: Index, repeats: int, seconds: float
) -> dict[str, list[dict[str, float]]]:
    """Run each decoder `repeats` times, taking turns, so that a busy minute hits all of them."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(repeats):
        for name in names:
            command = [sys.executable, "-m", "niah", "bench_media", index.path, "--one", f"{name}/{task}"]
            try:
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=seconds)
            except subprocess.TimeoutExpired:
                raise UserError(f"{name} took longer than {seconds:g} s for {task}; give it more: --timeout") from None
            runs[name].append(json.loads(done.stdout))
    return runs


def timed(name: str, task: str, path: Path) -> dict[str, float]:
    """Do one task in this process: wall and CPU seconds, and MiB of peak memory over the idle process."""
    index, decoder = scan(path), load_decoder(name)
    sampling = Sampling("native", SIZE, SIZE)
    idle = peak_mib()
    wall, processor = time.perf_counter(), time.process_time()
    for ordinals in _reads(task, index):
        for _ in decoder.read(index, ordinals, sampling):
            pass
    spent = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - processor}
    return {**spent, "mib": peak_mib() - idle}


def peak_mib() -> float:
    """Return this process's peak resident memory, from Linux's own account; elsewhere not a number.

    `resource.getrusage` will not do: a child's ru_maxrss begins at its parent's size.
    """
    status = Path("/proc/self/status")
    if not status.is_file():
        return float("nan")
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def _reads(task: str, index: Index) -> Iterator[list[int]]:
    """Yield the ordinals of each call."""
    if task == "seek":
        chance = random.Random(f"{index.sha256}/seek")
        yield from ([chance.randrange(len(index.times))] for _ in range(SEEKS))
        return
    count = index.count("1") if task == "1 frame/s" else min(DENSE_FRAMES, len(index.times))
    wanted = index.ordinals(0, count, "1") if task == "1 frame/s" else list(range(count))
    yield from (wanted[start : start + 64] for start in range(0, count, 64))


def _readable(name: str, indices: list[Index], folder: Path) -> tuple[str, str, str]:
    """Compare three frames of every file with PyAV's."""
    same, reads, cannot = 0, 0, []
    for index in indices:
        last = len(index.times) - 1
        ordinals = sorted({0, last // 2, last})
        try:
            theirs = _frames(name, index, ordinals)
        except MediaError:
            cannot.append(str(Path(index.path).relative_to(folder.absolute())))
            continue
        reads += 1
        ours = _frames("pyav", index, ordinals)
        same += max(float(np.abs(a.astype(int) - b).mean()) for a, b in zip(ours, theirs, strict=True)) <= SAME
    return f"{reads} of {len(indices)}", str(same), ", ".join(cannot) or "-"


def _frames(name: str, index: Index, ordinals: list[int]) -> list[np.ndarray]:
    decoder = load_decoder(name)
    frames = list(decoder.read(index, ordinals, Sampling("native", 64, 64)))
    decoder.close()
    return frames


def _medians(runs: list[dict[str, float]]) -> str:
    middle = {key: statistics.median(run[key] for run in runs) for key in ("wall", "cpu", "mib")}
    return f"{middle['wall']:.1f}, {middle['cpu']:.1f}, {middle['mib']:.0f}"


def _usable(name: str) -> bool:
    try:
        load_decoder(name)
    except UserError:
        return False
    return True


def _rows(cells: tuple[str, ...], head: bool = True) -> Iterator[str]:
    yield f"| {' | '.join(cells)} |"
    if head:
        yield "|" + "---|" * len(cells)


COMMAND = Command(run, EXAMPLES, add_arguments)

"""Measure what skipping, threads and reading ahead save: each way of reading against decoding every frame, in turns.

Every timed run is a process of its own. The ways take turns, and ratios are formed within a turn, so that a busy minute
affects both sides of a ratio; the median over turns is reported.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from niah.media.decoders.pyav import PyavDecoder
from niah.media.index import Index
from niah.media.scan import scan
from niah.media.video import SplicedVideo
from niah.types import Sampling, Source, Span, UserError

RATE = "1"
SIZE = 384  # width and height of the frames read
CHUNK = 64  # frames that a model asks for at a time
WAYS = {  # how a file was read before, then what each step adds
    "every frame": lambda: PyavDecoder(skips=False, most_readers=1),
    "skipping": lambda: PyavDecoder(most_readers=1),
    "skipping, threads": lambda: PyavDecoder(),
}
SERIAL, AHEAD = "model after reading", "model beside reading"


def reading_lines(index: Index, repeats: int, seconds: float) -> Iterator[str]:
    """Yield the lines of a Markdown table: wall and CPU of each way of reading a film, as ratios.

    The model of the last two rows sleeps as long as reading takes. Raises UserError where one run takes longer than
    `seconds`.
    """
    turns = [_turn(index, seconds) for _ in range(repeats)]
    frames = index.count(RATE)
    yield f"{Path(index.path).name}, {frames:,} frames at {RATE} per second; ratios within a turn, medians of {repeats}"
    yield "| way of reading | wall | CPU |"
    yield "|---|---|---|"
    for way in WAYS:
        yield f"| {way} | {_ratio(turns, way, 'wall')} | {_ratio(turns, way, 'cpu')} |"
    yield ""
    yield "| a model that sleeps as long as reading takes | total / reading alone |"
    yield "|---|---|"
    for way in (SERIAL, AHEAD):
        ratios = [turn[way]["wall"] / max(turn["skipping, threads"]["wall"], turn[way]["slept"]) for turn in turns]
        yield f"| {way} | {statistics.median(ratios):.2f} |"


def time_reading(way: str, path: Path, sleep: float) -> dict[str, float]:
    """Read a film in one way in this process; return wall, CPU and slept seconds. `sleep` seconds follow each chunk."""
    index = scan(path)
    decoder = WAYS.get(way, WAYS["skipping, threads"])()
    name = Path(path).name
    source = Source(name, name, index.path, index.sha256, index.count(RATE), index.seconds)
    whole = (Span(name, 0, source.frames),)
    video = SplicedVideo(whole, {name: source}, Sampling(RATE, SIZE, SIZE), decoder, 1.0, Path("."))
    starts = range(0, len(video), CHUNK)
    wall, processor = time.perf_counter(), time.process_time()
    if way == AHEAD:
        video.announce(range(len(video)))
    slept = 0.0
    for start in starts:
        video.frames(range(start, min(start + CHUNK, len(video))))
        began = time.perf_counter()
        time.sleep(sleep)
        slept += time.perf_counter() - began
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - processor, "slept": slept}


def _turn(index: Index, seconds: float) -> dict[str, dict[str, float]]:
    """Time every way once."""
    turn = {way: _run(way, index, 0.0, seconds) for way in WAYS}
    sleep = turn["skipping, threads"]["wall"] / -(-index.count(RATE) // CHUNK)
    return {**turn, **{way: _run(way, index, sleep, seconds) for way in (SERIAL, AHEAD)}}


def _run(way: str, index: Index, sleep: float, seconds: float) -> dict[str, float]:
    """Time one way in a process of its own."""
    command = [sys.executable, "-m", "niah", "bench_media", index.path, "--one", f"reading/{way}/{sleep}"]
    try:
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise UserError(f"{way} took longer than {seconds:g} s; give it more: --timeout") from None
    return json.loads(done.stdout)


def _ratio(turns: list[dict[str, dict[str, float]]], way: str, what: str) -> str:
    """Return the median ratio of one way to decoding every frame."""
    return f"{statistics.median(turn[way][what] / turn['every frame'][what] for turn in turns):.2f}"

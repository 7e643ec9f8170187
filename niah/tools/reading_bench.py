"""Measure what skipping, threads, kept frames and reading ahead save: each against decoding every frame, in turns.

Every timed run is a process of its own. The ways take turns, and ratios are formed within a turn, so that a busy minute
affects both sides of a ratio; the median over turns is reported.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from niah.io import cache_folder
from niah.media.decoders.pyav import PyavDecoder
from niah.media.index import Index
from niah.media.scan import scan
from niah.media.video import SplicedVideo
from niah.tools.decoder_bench import time_apart
from niah.types import Sampling, Source, Span

SIZE = 384  # width and height of the frames read
CHUNK = 64  # frames that a model asks for at a time
THREADS, KEEPING, KEPT = "skipping, threads", "skipping, threads, frames kept", "a second time"
WAYS = {  # how a file was read before, then what each step adds
    "every frame": lambda: PyavDecoder(skips=False, most_readers=1, keeps=False),
    "skipping": lambda: PyavDecoder(most_readers=1, keeps=False),
    THREADS: lambda: PyavDecoder(keeps=False),
    KEEPING: lambda: PyavDecoder(),
    KEPT: lambda: PyavDecoder(),
}
SERIAL, AHEAD = "model after reading", "model beside reading"


def reading_lines(index: Index, rate: str, repeats: int, seconds: float) -> Iterator[str]:
    """Yield the lines of Markdown tables: wall and CPU of each way of reading a film at a rate, as ratios.

    The model of the last two rows sleeps as long as reading takes. Raises UserError where one run takes longer than
    `seconds`.
    """
    frames = index.count(rate)
    turns = [_turn(index, rate, seconds) for _ in range(repeats)]
    yield f"{Path(index.path).name}, {frames:,} frames at rate {rate}; ratios within a turn, medians of {repeats}"
    yield "| way of reading | wall | CPU | frames decoded |"
    yield "|---|---|---|---|"
    for way in WAYS:
        wall, processor = (_ratio(turns, way, "every frame", what) for what in ("wall", "cpu"))
        yield f"| {way} | {wall} | {processor} | {turns[0][way]['decoded']:,} |"
    kept = turns[0][KEPT]["kept_bytes"]
    if kept:
        yield ""
        yield (
            f"second pass / first pass: wall {_ratio(turns, KEPT, KEEPING, 'wall')}, "
            f"CPU {_ratio(turns, KEPT, KEEPING, 'cpu')}; {kept / 1000 / frames:.0f} kB are kept of a frame"
        )
    yield ""
    yield "| a model that sleeps as long as reading takes | total / reading alone |"
    yield "|---|---|"
    for way in (SERIAL, AHEAD):
        ratios = [turn[way]["wall"] / max(turn[THREADS]["wall"], turn[way]["slept"]) for turn in turns]
        yield f"| {way} | {statistics.median(ratios):.2f} |"


def time_reading(way: str, path: Path, rate: str, sleep: float) -> dict[str, float]:
    """Read a film in one way in this process; return wall, CPU and slept seconds, frames decoded and bytes kept.

    `sleep` seconds follow each chunk.
    """
    index = scan(path)
    decoder = WAYS.get(way, WAYS[THREADS])()
    name = Path(path).name
    source = Source(name, name, index.path, index.sha256, index.count(rate), index.seconds)
    whole = (Span(name, 0, source.frames),)
    video = SplicedVideo(whole, {name: source}, Sampling(rate, SIZE, SIZE), decoder, 1.0, Path("."))
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
    spent = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - processor, "slept": slept}
    kept = sum(file.stat().st_size for file in (cache_folder() / "frames").glob("*/*"))
    return {**spent, "decoded": sum(decoder.decoded.values()), "kept_bytes": kept}


def _turn(index: Index, rate: str, seconds: float) -> dict[str, dict[str, float]]:
    """Time every way once, beginning with no frame kept."""
    with tempfile.TemporaryDirectory() as cache:
        (Path(cache) / "index").symlink_to(cache_folder() / "index")  # to scan the film takes longer than to read it
        turn: dict[str, dict[str, float]] = {}
        for way in (*WAYS, SERIAL, AHEAD):
            sleep = 0.0 if way in WAYS else turn[THREADS]["wall"] / -(-index.count(rate) // CHUNK)
            run = f"reading/{way}/{sleep}"
            turn[way] = time_apart(index.path, run, seconds, "--rate", rate, VIDEONIAH_CACHE=cache)
    return turn


def _ratio(turns: list[dict[str, dict[str, float]]], way: str, other: str, what: str) -> str:
    """Return the median ratio of one way to another."""
    return f"{statistics.median(turn[way][what] / turn[other][what] for turn in turns):.2f}"

"""`--dry_run`: what a run would cost, as far as that is known before it runs.

Decoding is measured for a moment on this machine. The model's own time is known
only where earlier records lie in the output folder; without them it is left open.
"""

from __future__ import annotations

import os
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from niah.media.decoders.base import load_decoder
from niah.media.video import SplicedVideo
from niah.run.config import RunConfig
from niah.run.plan import Plan
from niah.run.records import FINAL
from niah.types import CONDITIONS, Case, Record

MEASURE_SECONDS = 2.0
CHUNK = 16


def estimate(config: RunConfig, plan: Plan, records: Sequence[Record], renders: Path) -> str:
    """Return cases, frames, disk and time of a run, for a person to read."""
    counts = Counter(case.condition for case in plan.ordered)
    asked = sum(case.length for case in plan.ordered)
    distinct = distinct_frames(plan.ordered)
    cold = sum(case.length for case in plan.ordered if case.id in plan.cold)
    rate = _decode_rate(config, plan, renders)
    lines = [
        f"suite          {plan.generated.suite.name}, to {config.folder()}",
        f"cases          {len(plan.ordered)}: "
        + ", ".join(f"{counts[condition]} {condition}" for condition in CONDITIONS if counts[condition]),
        f"frames asked   {asked:,}",
        f"source frames  {distinct:,} distinct, and {cold:,} again for the {len(plan.cold)} cases with nothing stored",
        f"disk           {_size(_render_bytes(plan))} if every video were rendered; few adapters need that",
    ]
    if rate:
        lines.append(
            f"decoding       {_clock((distinct + cold) / rate)} where each source frame is decoded once, "
            f"{_clock(asked / rate)} where each case decodes its own ({rate:.0f} frames a second here)"
        )
    return "\n".join([*lines, f"model          {_model_time(plan, records)}"])


def distinct_frames(cases: Sequence[Case]) -> int:
    """Count the source frames that at least one of the cases shows."""
    ranges: dict[str, list[tuple[int, int]]] = {}
    for span in {span for case in cases for span in case.timeline}:
        ranges.setdefault(span.source, []).append((span.start, span.stop))
    total = 0
    for spans in ranges.values():
        reached = 0
        for start, stop in sorted(spans):
            total += max(0, stop - max(start, reached))
            reached = max(reached, stop)
    return total


def _decode_rate(config: RunConfig, plan: Plan, renders: Path) -> float:
    """Decode for a moment from the longest case, as the run would; return frames per second, 0 without frames."""
    case = max(plan.ordered, key=lambda case: case.length)
    generated = plan.generated
    decoder = load_decoder(config.decoder)
    video = SplicedVideo(case.timeline, generated.sources, generated.suite.sampling, decoder, case.fps, renders)
    begun, frames = time.monotonic(), 0
    for indices, _ in video.iterate(CHUNK):
        frames += len(indices)
        if time.monotonic() - begun > MEASURE_SECONDS:
            break
    decoder.close()
    return frames / (time.monotonic() - begun) if frames else 0.0


def _render_bytes(plan: Plan) -> float:
    """Return the size of all rendered videos, taking their frames to be as large as those of their sources."""
    sources = plan.generated.sources
    each = {name: os.path.getsize(source.path) / source.frames for name, source in sources.items()}
    return sum(len(span) * each[span.source] for case in plan.ordered for span in case.timeline)


def _model_time(plan: Plan, records: Sequence[Record]) -> str:
    """Return the time the cases still to be asked take, decoding included, going by the cases already asked."""
    lengths = {case.id: case.length for case in plan.ordered}
    own = [record for record in records if record.case in lengths]
    # A worker that was stopped or died told no time.
    timed = [record for record in own if "file_to_answer_seconds" in record.measured]
    if not timed:
        return "unknown until it has run; the bar of a run, which can be stopped and resumed, tells after some cases"
    seconds = [float(record.measured["file_to_answer_seconds"]) for record in timed]
    left = lengths.keys() - {record.case for record in own if record.status in FINAL}  # the others are asked again
    frames = sum(lengths[record.case] for record in timed)
    # Few frames (blind, needle_only) say nothing about long cases, so time goes by frame where there are frames.
    guess = sum(seconds) / frames * sum(lengths[name] for name in left) if frames else 0.0
    middle = statistics.median(seconds)
    return f"{_clock(max(guess, 0.0))} for {len(left)} cases left (median {middle:.1f} s over {len(timed)} asked)"


def _size(count: float) -> str:
    """Return bytes as a person says them."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"


def _clock(seconds: float) -> str:
    """Return seconds as a person says them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

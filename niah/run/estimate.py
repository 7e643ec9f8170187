"""`--dry_run`: what a run would cost, as far as that is known before it runs.

The decoding rate is measured on this machine for two seconds. The model's own time is
known only from earlier records in the output folder.
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
from niah.run.time_left import duration
from niah.types import CONDITIONS, Case, Record

MEASURE_SECONDS = 2.0
CHUNK = 16


def estimate(config: RunConfig, plan: Plan, records: Sequence[Record], renders: Path) -> str:
    """Return cases, frames, disk space and time of a run, for a person to read."""
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
        f"source frames  {distinct:,} distinct, and {cold:,} again for the {len(plan.cold)} cold cases",
        f"disk           {_size(_render_bytes(plan))} if every video were rendered; few adapters need that",
    ]
    if rate:
        lines.append(
            f"decoding       {duration((distinct + cold) / rate)} where each source frame is decoded once, "
            f"{duration(asked / rate)} where each case decodes its own ({rate:.0f} frames a second here)"
        )
    return "\n".join([*lines, f"model          {_model_time(plan, records)}"])


def distinct_frames(cases: Sequence[Case]) -> int:
    """Count the source frames that at least one of the cases shows."""
    ranges: dict[str, list[tuple[int, int]]] = {}
    for span in {span for case in cases for span in case.timeline}:
        ranges.setdefault(span.source, []).append((span.start, span.stop))
    total = 0
    for spans in ranges.values():
        counted_to = 0  # frames before this one are counted
        for start, stop in sorted(spans):
            total += max(0, stop - max(start, counted_to))
            counted_to = max(counted_to, stop)
    return total


def _decode_rate(config: RunConfig, plan: Plan, renders: Path) -> float:
    """Decode from the longest case for MEASURE_SECONDS; return frames per second, 0 without frames."""
    case = max(plan.ordered, key=lambda case: case.length)
    generated = plan.generated
    decoder = load_decoder(config.decoder)
    sampling = generated.suite.sampling
    video = SplicedVideo(case.timeline, generated.sources, sampling, decoder, case.fps, renders, case.canvas)
    began = time.monotonic()
    frames = 0
    for indices, _ in video.iterate(CHUNK):
        frames += len(indices)
        if time.monotonic() - began > MEASURE_SECONDS:
            break
    decoder.close()
    return frames / (time.monotonic() - began) if frames else 0.0


def _render_bytes(plan: Plan) -> float:
    """Return the size of all rendered videos, if their frames are as large as those of their sources."""
    sources = plan.generated.sources
    per_frame = {name: os.path.getsize(source.path) / source.frames for name, source in sources.items()}
    return sum(len(span) * per_frame[span.source] for case in plan.ordered for span in case.timeline)


def _model_time(plan: Plan, records: Sequence[Record]) -> str:
    """Return the time for the cases that are left, decoding included, extrapolated from the cases already asked."""
    lengths = {case.id: case.length for case in plan.ordered}
    planned = [record for record in records if record.case in lengths]
    # A worker that was killed or crashed has measured no time.
    timed = [record for record in planned if "file_to_answer_seconds" in record.measured]
    if not timed:
        return "unknown until some cases were asked; a run shows it in its progress bar, and can be stopped and resumed"
    seconds = [float(record.measured["file_to_answer_seconds"]) for record in timed]
    left = lengths.keys() - {record.case for record in planned if record.status in FINAL}  # the others are asked again
    frames = sum(lengths[record.case] for record in timed)
    # Short cases (blind, needle_only) do not predict long ones, so the time is taken per frame.
    expected = sum(seconds) / frames * sum(lengths[name] for name in left) if frames else 0.0
    median = statistics.median(seconds)
    return f"{duration(max(expected, 0.0))} for {len(left)} cases left (median {median:.1f} s over {len(timed)} asked)"


def _size(byte_count: float) -> str:
    """Return a number of bytes in MiB or GiB."""
    return f"{byte_count / 2**30:.1f} GiB" if byte_count >= 2**30 else f"{byte_count / 2**20:.1f} MiB"

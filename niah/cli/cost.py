"""`niah cost RUN`: print time and memory of a run; write nothing."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import pandas as pd

from niah.analysis.cost import MemoryFit, ReuseComparison, breakdown, compare_reuse, costs, fit_memory, in_total
from niah.analysis.load import RunData, read_run
from niah.cli.command import Command
from niah.cli.flags import add_runs
from niah.types import UserError

EXAMPLES = """\
examples:
  niah cost runs/default-vilamp
      seconds a case by stage, over lengths, with and without reused frames
  niah cost runs/default-vilamp runs/without-reuse
      the same cases with and without reuse (--model_args reuse=False): time, ratio, answers that differ
  niah cost --memory runs/long-vilamp --documented 2320
      bytes that one more frame costs, beside what the model's documentation says

exit codes: 0, 1 where answers differ or the documented bytes are off by more than a tenth, 2 a mistake in the command
"""
TOLERANCE = 0.1  # of the documented bytes a frame
TARGET = 8  # times less time with reuse
MIB = 2**20
TWO = "{:.2f}".format


def run(options: argparse.Namespace) -> int:
    """Read the runs, print, and return the exit code."""
    text, code = _say([read_run(folder) for folder in options.runs], options.memory, options.documented)
    sys.stdout.write(text + "\n")
    return code


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    add_runs(parser, "a folder of a run, or two: the second without reuse")
    parser.add_argument("--memory", action="store_true", help="fit peak host memory over length by a line")
    told = "with --memory: bytes a frame to check the fit against"
    parser.add_argument("--documented", type=float, metavar="BYTES", help=told)


def _say(runs: list[RunData], memory: bool, documented: float | None) -> tuple[str, int]:
    """Return what to print, and the exit code. Raises UserError for what does not go together."""
    if len(runs) > 2 or (memory and len(runs) > 1):
        raise UserError(f"name one run, or two to compare (one for --memory); got {len(runs)}")
    if documented is not None and not (memory and documented > 0):
        raise UserError("--documented is a positive number of bytes a frame, and goes with --memory")
    if memory:
        return _line(runs[0], fit_memory(runs[0]), documented)
    if len(runs) == 2:
        return _side_by_side(runs, compare_reuse(*runs))
    return _stages(runs[0]), 0


def _stages(run: RunData) -> str:
    """Return the breakdown of one run in words."""
    frame: Any = costs(run)
    if frame.empty:
        raise UserError(f"{run.folder} holds no answer yet; run it first")
    total = in_total(frame)
    failed = sum(record.status != "ok" for record in run.records.values())
    return "\n".join(
        [
            f"{run.model} on {run.suite}: seconds a case, means",
            breakdown(frame).to_string(float_format="{:.3f}".format),
            "",
            "seconds in total",
            pd.DataFrame([total, total / total["total"]], index=["seconds", "share"]).to_string(float_format=TWO),
            "",
            f"{len(frame)} cases, {60 * len(frame) / total['total']:.1f} a minute from file to answer"
            + (f"; {failed} without an answer are left out" if failed else ""),
            f"frames asked {frame['frames'].sum():,}, decoded {frame['decoded'].sum():,}",
            f"peak host memory {frame['host_bytes'].max() / MIB:,.0f} MiB",
        ]
    )


def _side_by_side(runs: list[RunData], found: ReuseComparison) -> tuple[str, int]:
    """Return a comparison in words; 1 where answers differ."""
    seconds = found.seconds.to_string(float_format=TWO)
    verdict = "reached" if found.ratio >= TARGET else "missed"
    lines = [
        f"with: {runs[0].model} ({runs[0].folder.name}); without: {runs[1].model} ({runs[1].folder.name})",
        "seconds over all cases",
        seconds,
        f"cases a minute: {60 * found.cases / found.seconds.loc['total', 'with']:.1f} with, "
        f"{60 * found.cases / found.seconds.loc['total', 'without']:.1f} without",
        f"frames decoded: {found.decoded[0]:,} with, {found.decoded[1]:,} without",
        f"reuse takes {found.ratio:.1f} times less time (target {TARGET}: {verdict})",
        f"records equal but for what was measured: {found.cases - len(found.differing)} of {found.cases}, "
        f"{len(found.differing)} differ; largest difference of an option's score {found.score_gap:g}",
        *(f"  differs: {name}" for name in found.differing[:10]),
    ]
    return "\n".join(lines), int(bool(found.differing))


def _line(run: RunData, line: MemoryFit, documented: float | None) -> tuple[str, int]:
    """Return a line of memory in words; 1 where it is not what was documented."""
    rows = [
        f"{frames:>8,} frames  {peak / MIB:10,.1f} MiB  line {line.at(frames) / MIB:10,.1f} MiB"
        for frames, peak in zip(line.frames, line.peak_bytes, strict=True)
    ]
    lines = [
        f"{run.model} on {run.suite}: peak host memory of cold cases",
        *rows,
        f"slope {line.slope:,.0f} bytes a frame from {line.start / MIB:,.1f} MiB at no frame",
    ]
    if documented is None:
        return "\n".join(lines), 0
    ratio = line.slope / documented
    lines.append(
        f"documented {documented:,.0f} bytes a frame, measured / documented {ratio:.3f} (wanted within {TOLERANCE:.0%})"
    )
    return "\n".join(lines), int(abs(ratio - 1) > TOLERANCE)


COMMAND = Command(run, EXAMPLES, add_arguments)

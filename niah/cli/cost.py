"""`niah cost RUN [RUN]`: print time and memory of a run, with and without reuse; write nothing."""

from __future__ import annotations

import argparse
from typing import Any

import pandas as pd

from niah.analysis.cost import MemoryFit, ReuseComparison, breakdown, compare_reuse, costs, fit_memory, in_total
from niah.analysis.load import RunData, read_run
from niah.cli.command import Command
from niah.cli.flags import add_runs
from niah.terminal import to_stdout
from niah.types import UserError

EXAMPLES = """\
examples:
  niah cost runs/default-vilamp
      seconds per case by stage and length, with and without reused frames
  niah cost runs/default-vilamp runs/without-reuse
      the same cases with and without reuse (--model_args reuse=False): times, their ratio, answers that differ
  niah cost --memory runs/long-vilamp --documented 2320
      bytes of host memory per further frame, beside the number that the model's documentation gives

exit codes: 0, 1 where answers differ or the documented bytes are off by more than a tenth, 2 a mistake in the command
"""
TOLERANCE = 0.1  # relative, of the documented bytes per frame
TARGET = 8  # speed-up by reuse that the project aims at
MIB = 2**20
TWO_DIGITS = "{:.2f}".format


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    add_runs(parser, "one folder of a run, or two: the second without reuse")
    parser.add_argument("--memory", action="store_true", help="fit a line to peak host memory over length")
    help_text = "with --memory: bytes per frame to check the fit against"
    parser.add_argument("--documented", type=float, metavar="BYTES", help=help_text)


def run(options: argparse.Namespace) -> int:
    """Read the runs, print their costs, and return the exit code."""
    text, code = _format_costs([read_run(folder) for folder in options.runs], options.memory, options.documented)
    to_stdout(text + "\n")
    return code


def _format_costs(runs: list[RunData], memory: bool, documented: float | None) -> tuple[str, int]:
    """Return what to print, and the exit code. Raises UserError for flags that do not go together."""
    if len(runs) > 2 or (memory and len(runs) > 1):
        raise UserError(f"name one run, or two to compare (one for --memory); got {len(runs)}")
    if documented is not None and not (memory and documented > 0):
        raise UserError("--documented is a positive number of bytes per frame, and needs --memory")
    if memory:
        return _format_memory(runs[0], fit_memory(runs[0]), documented)
    if len(runs) == 2:
        return _format_reuse(runs, compare_reuse(*runs))
    return _format_stages(runs[0]), 0


def _format_stages(run: RunData) -> str:
    """Return the costs of one run by stage, as text."""
    frame: Any = costs(run)
    if frame.empty:
        raise UserError(f"{run.folder} has no answers yet; run it first")
    total: Any = in_total(frame)
    if not total["total"] > 0:
        raise UserError(f"{run.folder} holds no measured seconds; name a run that niah run made")
    failed = sum(record.status != "ok" for record in run.records.values())
    return "\n".join(
        [
            f"{run.model} on {run.suite}: mean seconds per case",
            breakdown(frame).to_string(float_format="{:.3f}".format),
            "",
            "total seconds",
            pd.DataFrame([total, total / total["total"]], index=["seconds", "share"]).to_string(
                float_format=TWO_DIGITS
            ),
            "",
            f"{len(frame)} cases, {60 * len(frame) / total['total']:.1f} per minute, from file to answer"
            + (f"; {failed} without an answer are left out" if failed else ""),
            f"frames asked {frame['frames'].sum():,}, decoded {frame['decoded'].sum():,}",
            f"peak host memory {frame['host_bytes'].max() / MIB:,.0f} MiB",
        ]
    )


def _format_reuse(runs: list[RunData], found: ReuseComparison) -> tuple[str, int]:
    """Return a comparison with and without reuse as text, and exit code 1 where answers differ."""
    seconds = found.seconds.to_string(float_format=TWO_DIGITS)
    verdict = "reached" if found.ratio >= TARGET else "missed"
    lines = [
        f"with: {runs[0].model} ({runs[0].folder.name}); without: {runs[1].model} ({runs[1].folder.name})",
        "seconds over all cases",
        seconds,
        f"cases per minute: {60 * found.cases / found.seconds.loc['total', 'with']:.1f} with, "
        f"{60 * found.cases / found.seconds.loc['total', 'without']:.1f} without",
        f"frames decoded: {found.decoded[0]:,} with, {found.decoded[1]:,} without",
        f"reuse is {found.ratio:.1f} times as fast (target {TARGET}: {verdict})",
        f"records equal but for `measured`: {found.cases - len(found.differing)} of {found.cases}, "
        f"{len(found.differing)} differ; largest difference of an option's score {found.score_gap:g}",
        *(f"  differs: {name}" for name in found.differing[:10]),
    ]
    return "\n".join(lines), int(bool(found.differing))


def _format_memory(run: RunData, line: MemoryFit, documented: float | None) -> tuple[str, int]:
    """Return the fit of memory over length as text, and exit code 1 where it differs from the documented slope."""
    rows = [
        f"{frames:>8,} frames  {peak / MIB:10,.1f} MiB  line {line.at(frames) / MIB:10,.1f} MiB"
        for frames, peak in zip(line.frames, line.peak_bytes, strict=True)
    ]
    lines = [
        f"{run.model} on {run.suite}: peak host memory of cold cases",
        *rows,
        f"slope {line.slope:,.0f} bytes per frame from {line.start / MIB:,.1f} MiB without frames",
    ]
    if documented is None:
        return "\n".join(lines), 0
    ratio = line.slope / documented
    lines.append(
        f"documented {documented:,.0f} bytes per frame, measured / documented {ratio:.3f} "
        f"(allowed: within {TOLERANCE:.0%})"
    )
    return "\n".join(lines), int(abs(ratio - 1) > TOLERANCE)


COMMAND = Command(run, EXAMPLES, add_arguments)

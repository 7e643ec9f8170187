"""Traced memory and FLOPs of models over lengths: how they are stored, and what they say about other lengths.

A peak is the largest of several stages' needs, each of which grows with frames at least as fast as a straight line, so
between two traced lengths the straight line lies above the curve: what is read off it is not too little. Beyond the
longest traced length it would be, so nothing is read off there.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from niah.io import replace_file
from niah.types import UserError

GIB = 2**30
CONTEXT_BYTES = round(1.3 * GIB)  # what a card's driver holds besides: its context and the workspaces of kernels
MARGINS = {"streamed": 0.01, "as_released": 0.10}  # of the trace: uncounted, and lost between storages (fragmentation)


@dataclass(frozen=True)
class TracedCosts:
    """What one model needs for a video of so many frames, by its own code under fake tensors; measured by no card."""

    model: str
    size: str  # "7b" or "tiny"
    execution: str  # "streamed" as this project runs it, "as_released" as its release does
    frames: int
    tokens: int  # that the answer can attend to
    weight_bytes: int
    peak_bytes: int  # weights included
    flops: int  # two for a multiplication with its addition
    torch: str  # versions the trace was made with
    transformers: str

    @property
    def multiply_adds(self) -> int:
        """Return multiplications with their additions."""
        return self.flops // 2


FIELDS = {field.name: {"int": int, "str": str}[str(field.type)] for field in dataclasses.fields(TracedCosts)}


@dataclass(frozen=True)
class TracedLine:
    """The straight line between two traced lengths of one model and execution."""

    below: TracedCosts
    above: TracedCosts

    def peak_bytes(self, frames: int) -> int:
        """Return the line's value."""
        below, above = self.below, self.above
        if below.frames == above.frames:
            return below.peak_bytes
        share = (frames - below.frames) / (above.frames - below.frames)
        return round(below.peak_bytes + share * (above.peak_bytes - below.peak_bytes))


@dataclass(frozen=True)
class MemoryVerdict:
    """Whether a model fits into a card's memory: `fits` is None where the margin leaves it open."""

    fits: bool | None
    traced_bytes: int
    needed_bytes: int  # with the margin


def judge(rows: Sequence[TracedCosts], frames: int, memory_bytes: float) -> MemoryVerdict:
    """Compare a length's memory, with its margin, with a card's. Raises UserError where no fit covers the length.

    It fits where trace, margin and context fit; it does not where the trace less 1 % is more than there is.
    """
    traced = find_fit(rows, frames).peak_bytes(frames)
    margin = MARGINS[rows[0].execution]
    needed = round(traced * (1 + margin)) + CONTEXT_BYTES
    fits = True if needed <= memory_bytes else False if traced * (1 - MARGINS["streamed"]) > memory_bytes else None
    return MemoryVerdict(fits, traced, needed)


def longest_fitting(rows: Sequence[TracedCosts], memory_bytes: float) -> int | None:
    """Return the most frames, among all lengths the fits cover, that certainly fit; None where none does."""
    low, high = min(row.frames for row in rows), max(row.frames for row in rows)
    if judge(rows, low, memory_bytes).fits is not True:
        return None
    while low < high:
        middle = (low + high + 1) // 2
        if judge(rows, middle, memory_bytes).fits is True:
            low = middle
        else:
            high = middle - 1
    return low


def find_fit(rows: Sequence[TracedCosts], frames: int) -> TracedLine:
    """Return the fit that covers a length. Raises UserError where none does.

    Args:
        rows: traced costs of one model, size and execution.
        frames: the length.
    """
    ordered = sorted(rows, key=lambda row: row.frames)
    pairs = [(row, row) for row in ordered] + list(zip(ordered, ordered[1:], strict=False))
    for below, above in pairs:
        if below.frames <= frames <= above.frames:
            return TracedLine(below, above)
    first = ordered[0]
    raise UserError(
        f"no stored fit of {first.model}, {first.execution}, covers {frames:,} frames: {first.frames:,} to "
        f"{ordered[-1].frames:,} were traced. Trace that length: "
        f"niah bench {first.model} --traced --execution {first.execution} --lengths {frames}"
    )


def write_traced(file: Path, rows: Sequence[TracedCosts]) -> None:
    """Write rows as CSV, ordered, with columns in GiB and units of 1e12 for readers."""
    out = io.StringIO()
    fields = [*FIELDS, "peak_gib", "tera_flops", "tera_multiply_adds"]
    writer = csv.DictWriter(out, fields, lineterminator="\n")
    writer.writeheader()
    for row in sorted(rows, key=lambda row: (row.model, row.size, row.execution != "streamed", row.frames)):
        read: dict[str, Any] = {
            "peak_gib": f"{row.peak_bytes / GIB:.2f}",
            "tera_flops": f"{row.flops / 1e12:.1f}",
            "tera_multiply_adds": f"{row.multiply_adds / 1e12:.1f}",
        }
        writer.writerow({**dataclasses.asdict(row), **read})
    replace_file(file, out.getvalue())


def read_traced(file: Path) -> list[TracedCosts]:
    """Return the rows of a file. Raises UserError where it is none of traced costs."""
    try:
        with open(file, newline="", encoding="utf-8") as text:
            return [
                TracedCosts(**{name: kind(row[name]) for name, kind in FIELDS.items()}) for row in csv.DictReader(text)
            ]
    except FileNotFoundError:
        raise UserError(f"no file {str(file)!r}: niah bench NAME --traced writes one") from None
    except (KeyError, ValueError, TypeError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is no file of traced costs ({error}): niah bench NAME --traced writes one") from None

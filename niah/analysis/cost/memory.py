"""Peak host memory over length as a line: what one more frame costs.

Only `full` cases that ran in a worker of their own count: memory that earlier answers left behind
would lie in the others' peaks. One case of each length does (`niah.run.plan`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from niah.analysis.load import Run
from niah.types import UserError

LENGTHS = 3  # at least: two points lie on a line whatever they are


@dataclass(frozen=True)
class Line:
    """A least-squares line through (frames, peak bytes)."""

    frames: tuple[int, ...]
    peak_bytes: tuple[int, ...]
    slope: float  # bytes a frame
    start: float  # bytes at no frame

    def at(self, frames: int) -> float:
        """Return the line's bytes at a length."""
        return self.start + self.slope * frames


def memory_line(run: Run) -> Line:
    """Fit peak host memory of a run. Raises UserError where it has fewer than three lengths."""
    points = []
    for case in run.cases:
        record = run.records.get(case.id)
        if record is None or record.status != "ok" or case.condition != "full" or not record.measured.get("cold"):
            continue
        peak = record.measured.get("peak_host_bytes")
        if peak is not None and not record.measured.get("reused_frames"):
            points.append((case.length, int(peak)))
    lengths = {frames for frames, _ in points}
    if len(lengths) < LENGTHS:
        raise UserError(
            f"{run.folder} has peaks of full cases with nothing stored at {len(lengths)} lengths, {LENGTHS} are "
            "needed; run a suite with more lengths, for instance --suite long"
        )
    frames, peaks = zip(*sorted(points), strict=True)
    slope, start = np.polyfit(np.array(frames, dtype=float), np.array(peaks, dtype=float), 1)
    return Line(frames, peaks, float(slope), float(start))

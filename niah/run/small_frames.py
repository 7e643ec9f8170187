"""Warn, before the first case is asked, where a model reads larger pictures than its cases show.

A worker that has loaded knows the side of the squares its model reads (`frame_side`, which an adapter may have).
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path

from niah.media.resize import case_sampling
from niah.media.scan import scan
from niah.run.plan import Plan
from niah.run.process import Worker


def warn_of_small_frames(start: Callable[[], Worker], plan: Plan, model: str) -> Callable[[], Worker]:
    """Return what starts a worker like `start`; the first warns on stderr where the plan's frames are small for it."""
    first = threading.Lock()  # taken by the first worker, and kept

    def start_and_warn() -> Worker:
        worker = start()
        side = worker.metadata.get("frame_side")
        if side is not None and first.acquire(blocking=False):
            warning = small_frames(plan, model, int(side))
            if warning:
                sys.stderr.write(warning + "\n")
        return worker

    return start_and_warn


def small_frames(plan: Plan, model: str, side: int) -> str | None:
    """Return the warning for a model that reads squares of `side` pixels; None where every case's frames are as large.

    In a suite of native pixels each case has its haystack's size, which is that of the file's scan.
    """
    sampling, sources = plan.generated.suite.sampling, plan.generated.sources
    reads = f"warning: {model} reads pictures of {side}x{side} pixels"
    remedy = "what it could see in its own size is not tested"
    if not sampling.of_case:
        if min(sampling.height, sampling.width) >= side:
            return None
        return (
            f"{reads}, and suite {plan.generated.suite.name} shows {sampling.height}x{sampling.width}, enlarged: "
            f"{remedy}. Ask a suite with sampling: {{fit: native}}, or of that size"
        )
    names = dict.fromkeys(case.canvas for case in plan.ordered if case.canvas is not None)
    small = []
    for name in names:
        source = sources[name]
        shown = case_sampling(sampling, scan(Path(source.path)).cropped(source.crop))
        if min(shown.height, shown.width) < side:
            small.append(f"{name} {shown.height}x{shown.width}")
    if not small:
        return None
    return f"{reads}, and of {len(names)} videos these are smaller and enlarged for it: {', '.join(small)}; {remedy}"

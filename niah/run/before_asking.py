"""Warn, before the first case is asked, of footage that a model cannot read: drawn for another, or too small.

A worker that has loaded knows the side of the squares its model reads (`frame_side`), and whether it was trained on
built-in footage alone (`built_in_footage_only`); an adapter may have both.
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


def warn_before_asking(start: Callable[[], Worker], plan: Plan, model: str) -> Callable[[], Worker]:
    """Return what starts a worker like `start`; the first warns on stderr of what its model cannot read in the plan."""
    first = threading.Lock()  # taken by the first worker, and kept

    def start_and_warn() -> Worker:
        worker = start()
        if first.acquire(blocking=False):
            side = worker.metadata.get("frame_side")
            warnings = [
                foreign_footage(plan, model) if worker.metadata.get("built_in_footage_only") else None,
                None if side is None else small_frames(plan, model, int(side)),
            ]
            sys.stderr.write("".join(f"{warning}\n" for warning in warnings if warning))
        return worker

    return start_and_warn


def foreign_footage(plan: Plan, model: str) -> str | None:
    """Return the warning for a model that was trained on built-in footage; None where the suite's is built in."""
    suite = plan.generated.suite
    if suite.footage is not None:
        return None
    return (
        f"warning: {model} was trained on built-in, drawn footage alone, and suite {suite.name} has videos of its own: "
        "what it answers there says nothing. Ask a model that was trained on real video"
    )


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

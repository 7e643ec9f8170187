"""Trace the models of `niah bench` instead of measuring them: the same code, run the same way, on fake tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from niah.adapters.bench import WARM_UP, Build, Job, NoiseVideo
from niah.adapters.trace import Repeat, trace
from niah.analysis.traced import GIB, TracedCosts, read_traced, write_traced


class EmptyVideo(NoiseVideo):
    """Frames that nobody wrote and nobody reads: memory is reserved for them and never touched."""

    def frames(self, indices: Sequence[int]) -> np.ndarray:
        """Return as many frames, (frames, side, side, 3)."""
        return np.empty((len(indices), *self._frames.shape[1:]), np.uint8)


def trace_jobs(jobs: Sequence[Job], build: Build, report: Callable[[TracedCosts], None], repeats: bool = True) -> None:
    """Build the model of jobs that differ in length alone, once, and trace each as `measure` would run it.

    Raises UserError naming the operator where the model does not trace.

    Args:
        jobs: what to trace; their device is the fake one.
        build: makes the model.
        report: gets the costs of each length as soon as they are known.
        repeats: whether what costs the same every time is traced once.
    """
    first = jobs[0]
    with trace(first.device) as counted, torch.inference_mode():
        subject: Any = build(first.size, first.device)
        weights = counted.live
        if repeats:
            found: Sequence[Repeat] = getattr(subject, "repeats", ())  # a model of somebody else may name none
            counted.repeat(found)
        subject.run(EmptyVideo(WARM_UP, subject.side), first.execution)
        for job in jobs:
            counted.reset()
            stages = subject.run(EmptyVideo(job.frames, subject.side), job.execution)
            costs = TracedCosts(
                job.model, job.size, job.execution, job.frames, stages.tokens, weights, counted.peak, counted.flops,
                torch.__version__.partition("+")[0], transformers.__version__,
            )  # fmt: skip
            report(costs)


def trace_all(jobs: Sequence[Job], build: Build, file: Path, report: Callable[[TracedCosts], None]) -> None:
    """Trace every job that `file` does not have, and write the file anew after each."""
    rows = read_traced(file) if file.is_file() else []
    known = {(row.model, row.size, row.execution, row.frames) for row in rows}
    left = [job for job in jobs if (job.model, job.size, job.execution, job.frames) not in known]
    file.parent.mkdir(parents=True, exist_ok=True)

    def keep(costs: TracedCosts) -> None:
        rows.append(costs)
        write_traced(file, rows)
        report(costs)

    for execution in dict.fromkeys(job.execution for job in left):
        trace_jobs([job for job in left if job.execution == execution], build, keep)


def format_traced(costs: TracedCosts) -> str:
    """Return one result as a line to print."""
    return (
        f"{costs.model} {costs.execution} {costs.size}, {costs.frames:,} frames, traced: "
        f"{costs.peak_bytes / GIB:.2f} GiB with {costs.weight_bytes / GIB:.2f} GiB of weights, "
        f"{costs.flops / 1e12:,.1f} TFLOP ({costs.multiply_adds / 1e12:,.1f}T multiply-adds), {costs.tokens:,} tokens"
    )

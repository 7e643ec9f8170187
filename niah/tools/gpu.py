"""What to measure while a GPU is at hand for some minutes: steps in order of importance, each a process of its own.

Outcomes are appended to a file as they come. The same command goes on where the last one stopped: steps that are done
are not repeated, and a benchmark repeats no length that has a line.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from niah.io import open_to_append, read_json_lines, to_json_lines

SHORT = {"7b": (64, 1024), "tiny": (16, 48)}  # frames at which measured memory is compared with traced
LONG = {"7b": 10_000, "tiny": 96}
STEPS = {"7b": "200", "tiny": "3"}  # of training a micro model
LEAST_SECONDS = 5.0  # a step is not begun with less
DETAIL = 2000  # characters of output that are kept


@dataclass(frozen=True)
class Step:
    """One thing to measure."""

    name: str
    command: tuple[str, ...]  # arguments of this Python


@dataclass(frozen=True)
class Outcome:
    """What came of a step; status is done, failed or left out."""

    step: str
    status: str
    seconds: float = 0.0
    detail: str = ""


def plan_steps(models: Sequence[str], size: str, folder: Path) -> list[Step]:
    """Return the steps: faults of the device, short videos with every model, then long ones, overlap, training.

    How much of reading is hidden is asked of the first model, after its long video.
    """
    device = "cpu" if size == "tiny" else "cuda"
    faults = Step("faults of the device", ("-m", "niah.adapters.device_faults", device))
    short = [_bench(model, size, SHORT[size], folder) for model in models]
    first, *others = [_bench(model, size, (LONG[size],), folder) for model in models]
    frames = str(SHORT[size][-1])
    beside = ("-m", "niah", "bench", models[0], "--size", size, "--lengths", frames, "--overlap")
    overlap = Step(f"{models[0]} beside a source that sleeps", beside)
    training = Step("training of a micro model", ("-m", "vilamp.train.micro.step_rate", device, STEPS[size]))
    return [faults, *short, first, overlap, *others, training]


def run_steps(steps: Sequence[Step], file: Path, seconds: float) -> Iterator[Outcome]:
    """Run the steps that are not done yet within some seconds; yield each outcome after it was appended to `file`."""
    until = time.monotonic() + seconds
    known = [outcome for _, outcome in read_json_lines(file, _outcome, "delete it")] if file.exists() else []
    done = {outcome.step for outcome in known if outcome.status == "done"}
    for step in steps:
        if step.name in done:
            continue
        outcome = _run(step, until - time.monotonic())
        with os.fdopen(open_to_append(file), "a", encoding="utf-8") as out:
            out.write(to_json_lines([dataclasses.asdict(outcome)]))
        yield outcome


def _outcome(row: Mapping[str, Any]) -> Outcome:
    """Read a line of the file."""
    return Outcome(**row)


def _run(step: Step, left: float) -> Outcome:
    """Run one step in the seconds that are left."""
    if left < LEAST_SECONDS:
        return Outcome(step.name, "left out")
    began = time.monotonic()
    child = subprocess.Popen(
        [sys.executable, *step.command],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        said, complained = child.communicate(timeout=left)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)  # with what it started: a benchmark's child would keep the GPU
        child.communicate()
        return Outcome(step.name, "left out", time.monotonic() - began, "it was begun, and time ran out")
    status = "failed" if child.returncode else "done"
    detail = (said + complained if child.returncode else said)[-DETAIL:]
    return Outcome(step.name, status, time.monotonic() - began, detail)


def _bench(model: str, size: str, lengths: Sequence[int], folder: Path) -> Step:
    """Return the step that measures a model at some lengths."""
    frames = ",".join(map(str, lengths))
    command = ("-m", "niah", "bench", model, "--size", size, "--execution", "streamed", "--lengths", frames)
    return Step(f"{model} at {frames} frames", (*command, "--output", str(folder)))

"""Measure peak memory and time to the first token over lengths, each in a fresh process.

Memory and time do not depend on values, so models are built with random weights. A line of
JSON is appended after every length, so a machine that is taken away leaves what was measured.
"streamed" is how this project runs a method, "as_released" how its release does; the second
may run out of memory, which is a result: what is the method, and what its implementation?
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from niah.adapters.meter import clock, peaks, reset_peak
from niah.io import numbered_lines, open_to_append, read_json_lines
from niah.run.memory import peak_bytes
from niah.types import FrameKey, UserError

LENGTHS = (64, 256, 1024, 2048, 4096, 8192, 10000)
EXECUTIONS = ("streamed", "as_released")
SIZES = ("7b", "tiny")
A100_GIB = 79.0  # what an 80 GB A100 leaves a process
WARM_UP = 16  # frames run first, so that loading kernels is not counted


@dataclass(frozen=True)
class StageCosts:
    """What one run reports: seconds of each stage up to the first token, and tokens the answer can attend to."""

    seconds: Mapping[str, float]
    tokens: int


class BenchModel(Protocol):
    """A model with random weights."""

    device: torch.device
    side: int  # pixels along the edge of the frames it is given, so that none is resized
    # and `repeats`, if it has any: methods whose memory depends on shapes alone, traced once (niah.adapters.trace)

    def run(self, video: NoiseVideo, execution: str) -> StageCosts:
        """Read a video and a question up to the first logits, which reach the host."""
        ...


Build = Callable[[str, str], BenchModel]  # size, device -> model


@dataclass(frozen=True)
class Bench:
    """What a package registers under `videoniah.bench` so that `niah bench NAME` can measure its model."""

    build: Build
    cached: bool = False  # what is streamed is also run with its frames' features cached: an execution of its own
    write_table: Callable[[Sequence[Measurement], Path], None] | None = None  # from all results, beside them


@dataclass(frozen=True)
class Job:
    """One length to measure."""

    model: str
    size: str
    execution: str
    frames: int
    device: str
    cap_gib: float | None = None  # device memory the process may take

    @property
    def title(self) -> str:
        """Name model, execution and memory, as a figure's legend does; a cap is never left unsaid."""
        capped = "" if self.cap_gib is None else f", {self.cap_gib:g} GiB"
        return f"{self.model} {self.execution}{capped}" + ", simulated A100" * (self.cap_gib == A100_GIB)


@dataclass(frozen=True)
class Measurement:
    """A line of results; status is ok, oom or error."""

    job: Job
    status: str
    detail: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    seconds_to_first_token: float | None = None
    tokens: int | None = None
    peak_allocated_bytes: int | None = None
    peak_reserved_bytes: int | None = None
    peak_host_bytes: int | None = None
    machine: str = ""
    peak_device_bytes: int | None = None  # reserved on the fullest card: what a card must have

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Measurement:
        """Read a line. Raises UserError for one of another version."""
        try:
            return cls(**{**row, "job": Job(**row["job"])})
        except (KeyError, TypeError) as error:
            raise UserError(f"a measurement of another version ({error}): measure again") from None


class NoiseVideo:
    """A video of `count` frames that takes no memory to speak of: sixteen frames of noise, over and over."""

    fps, decode_seconds = 1.0, 0.0

    def __init__(self, count: int, side: int) -> None:
        self.count = count
        self.handed_out: set[int] = set()
        self._frames = np.random.default_rng(0).integers(0, 256, (16, side, side, 3), dtype=np.uint8)

    def __len__(self) -> int:
        return self.count

    def frames(self, indices: Sequence[int]) -> np.ndarray:
        """Return the named frames, (frames, side, side, 3)."""
        return self._frames[np.asarray(indices, dtype=int) % 16]

    def announce(self, indices: Sequence[int]) -> None:
        """Do nothing: noise need not be decoded."""

    def iterate(self, chunk: int) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
        """Yield (indices, frames) of at most `chunk` frames."""
        for start in range(0, self.count, chunk):
            indices = tuple(range(start, min(start + chunk, self.count)))
            yield indices, self.frames(indices)

    def keys(self, start: int, stop: int) -> list[FrameKey]:
        """Name the frames."""
        return [FrameKey("noise", str(number), "", "", number) for number in range(start, stop)]

    def path(self) -> str:
        """Raise NotImplementedError: noise lies in no file."""
        raise NotImplementedError("a video of noise lies in no file")


def cap_memory(device: str, gib: float) -> None:
    """Limit what this process may take of a device. Raises UserError for one that is no GPU."""
    if not device.startswith("cuda"):
        raise UserError(f"a cap of device memory needs a GPU, got device {device!r}")
    index = torch.device(device).index  # "cuda" has none, and the cap needs one
    number = torch.cuda.current_device() if index is None else index
    total = torch.cuda.get_device_properties(number).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, gib * 2**30 / total), number)


def measure(job: Job, build: Build) -> Measurement:
    """Build the model and run one length in this process; running out of memory is a result."""
    if job.cap_gib is not None:
        cap_memory(job.device, job.cap_gib)
    machine = describe_machine(job.device)
    try:
        subject = build(job.size, job.device)
        with torch.inference_mode():
            subject.run(NoiseVideo(min(WARM_UP, job.frames), subject.side), job.execution)
            reset_peak(subject.device)
            began = clock(subject.device)
            stages = subject.run(NoiseVideo(job.frames, subject.side), job.execution)
            elapsed = clock(subject.device) - began
    except (torch.OutOfMemoryError, MemoryError) as error:
        return Measurement(
            job, "oom", str(error).split("\n")[0][:300], peak_host_bytes=peak_bytes(since_reset=False), machine=machine
        )
    peak = peaks(subject.device)
    return Measurement(
        job,
        "ok",
        "",
        dict(stages.seconds),
        elapsed,
        stages.tokens,
        peak.allocated,
        peak.reserved,
        peak_bytes(since_reset=False),
        machine,
        peak.largest_reserved,
    )


def measure_all(
    jobs: Sequence[Job],
    command: Sequence[str],
    file: Path,
    report: Callable[[Measurement], None],
    seconds: float = 3600.0,
) -> None:
    """Measure every job in a process of its own and append a line to `file` after each.

    `command`, with the job as JSON after it, must print a `Measurement` as its last line (`measure` does the
    work). A job that `file` has already is not run again; one that takes longer than `seconds` is given up.
    """
    known = {measured.job for measured in read(file)} if file.is_file() else set()
    file.parent.mkdir(parents=True, exist_ok=True)
    for job in jobs:
        if job not in known:
            measured = _in_process(job, command, seconds)
            with os.fdopen(open_to_append(file), "a", encoding="utf-8") as out:
                out.write(json.dumps(dataclasses.asdict(measured)) + "\n")
                out.flush()
                os.fsync(out.fileno())
            report(measured)


def read(file: Path) -> list[Measurement]:
    """Return the lines of a file of results. Raises UserError for a line that is none."""
    return [measured for _, measured in read_json_lines(file, Measurement.from_json, "remove that line")]


def plan_jobs(
    model: str,
    size: str,
    executions: Sequence[str] | None,
    lengths: Sequence[int] | None,
    device: str | None,
    cap_gib: float | None,
) -> list[Job]:
    """Return the jobs to measure, shortest first. Raises UserError for a length below 1, and where there is no GPU.

    Args:
        model: the name that results carry.
        size: one of SIZES.
        executions: some of EXECUTIONS; None is all of them.
        lengths: frames; None is LENGTHS, or two short ones for the tiny size.
        device: None is the GPU, or the CPU for the tiny size.
        cap_gib: device memory the process may take; None is all of it.
    """
    device = device or ("cpu" if size == "tiny" else "cuda")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError("no GPU is at hand: use --size tiny, name another device, or count without one: --traced")
    return jobs_of(model, size, executions, lengths, device, cap_gib)


def jobs_of(
    model: str,
    size: str,
    executions: Sequence[str] | None,
    lengths: Sequence[int] | None,
    device: str,
    cap_gib: float | None,
) -> list[Job]:
    """Return the jobs of `plan_jobs` on a device that nobody looks for. Raises UserError for a length below 1."""
    lengths = lengths or ((16, 48) if size == "tiny" else LENGTHS)
    if min(lengths) < 1:
        raise UserError(f"lengths are frames from 1 up, got {list(lengths)}")
    return [
        Job(model, size, execution, frames, device, cap_gib)
        for execution in executions or EXECUTIONS
        for frames in sorted(lengths)
    ]


def format_measurement(measured: Measurement) -> str:
    """Return one result as a line to print."""
    job = measured.job
    head = f"{job.title} {job.size}, {job.frames:,} frames: "
    if measured.status != "ok" or measured.seconds_to_first_token is None:
        return head + f"{measured.status}: {measured.detail}"
    kinds = {
        "allocated": measured.peak_allocated_bytes,
        "reserved": measured.peak_reserved_bytes,
        "on the fullest card": measured.peak_device_bytes,
    }
    held = ", ".join(f"{size / 2**30:.2f} GiB {kind}" for kind, size in kinds.items() if size is not None)
    return (
        head
        + f"{held or f'{(measured.peak_host_bytes or 0) / 2**30:.2f} GiB of the host'}, first token after "
        + (f"{measured.seconds_to_first_token:.2f} s, {measured.tokens:,} tokens")
    )


def describe_machine(device: str) -> str:
    """Return the machine in words."""
    where = torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.processor() or "CPU"
    return f"{where}, torch {torch.__version__}"


def _in_process(job: Job, command: Sequence[str], seconds: float) -> Measurement:
    """Run one job; a process that the system ended for its memory counts as out of memory."""
    try:
        done = subprocess.run(
            [*command, json.dumps(dataclasses.asdict(job))], capture_output=True, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return Measurement(job, "error", f"took longer than {seconds:g} s (--timeout)")
    if done.returncode == 0:
        return Measurement.from_json(json.loads([line for _, line in numbered_lines(done.stdout)][-1]))
    words = done.stderr.strip().splitlines()
    killed = done.returncode == -9
    detail = "ended by the system, most likely for its memory" if killed else (words[-1] if words else "no output")
    return Measurement(job, "oom" if killed else "error", f"exit code {done.returncode}: {detail[:300]}")

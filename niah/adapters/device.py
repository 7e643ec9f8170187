"""What adapters do with a device alike: read a dtype's name, tell the time once it is done, read its peak of memory."""

from __future__ import annotations

import time

import torch

from niah.types import UserError

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def dtype_named(name: str, device: str, on_gpu: torch.dtype) -> torch.dtype:
    """Return a dtype; "auto" is `on_gpu` there and float32 elsewhere. Raises UserError for an unknown name."""
    if name == "auto":
        return on_gpu if device.startswith("cuda") else torch.float32
    if name not in DTYPES:
        raise UserError(f"dtype is auto, {', '.join(DTYPES)}; got {name!r}")
    return DTYPES[name]


def checked_device(name: str) -> str:
    """Return a device's name. Raises UserError for one that is none, or not at hand."""
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch was built without it
        raise UserError(f"no device {name!r} is at hand ({str(error).splitlines()[0]}): use cpu, or cuda") from None
    return name


def clock(device: torch.device) -> float:
    """Return the time once the device has done what it was given, in seconds."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def reset_peak(device: torch.device) -> None:
    """Measure peaks from here on, of every GPU this process sees if the device is one: a model may be spread."""
    if device.type == "cuda":
        for number in range(torch.cuda.device_count()):
            torch.cuda.reset_peak_memory_stats(number)


def peaks(device: torch.device) -> tuple[int | None, int | None]:
    """Return the bytes allocated and reserved at most since `reset_peak`, as a `Reply` has them: None on a CPU.

    They are the sums over the GPUs this process sees; one it does not use adds nothing.
    """
    if device.type != "cuda":
        return None, None
    numbers = range(torch.cuda.device_count())
    return sum(map(torch.cuda.max_memory_allocated, numbers)), sum(map(torch.cuda.max_memory_reserved, numbers))

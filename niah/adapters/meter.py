"""Measure what an answer costs: seconds by stage without the wait for the decoder, the first token, peak memory."""

from __future__ import annotations

import time
from typing import Any, NamedTuple, TypedDict

import torch

from niah.types import Video


class Costs(TypedDict):
    """The fields of a `Reply` that a `Meter` fills."""

    seconds: dict[str, float]
    seconds_to_first_token: float | None
    peak_allocated_bytes: int | None
    peak_reserved_bytes: int | None
    peak_device_bytes: int | None


class Peaks(NamedTuple):
    """Peaks of device memory, in bytes, over the GPUs this process sees; one that it does not use adds nothing."""

    allocated: int | None  # the sum over GPUs
    reserved: int | None  # likewise
    largest_reserved: int | None  # of one GPU: what a card must have


class Meter:
    """Measures one answer from the moment it is made; the time a video spends decoding is a stage of its own."""

    def __init__(self, device: torch.device, video: Video) -> None:
        reset_peak(device)
        self._device, self._video = device, video
        self._start = self._stage_start = clock(device)
        self._decoded_before = self._stage_decoded = video.decode_seconds
        self._first_token: float | None = None
        self._seconds: dict[str, float] = {}

    def stage(self, name: str, **within: float) -> None:
        """End a stage; `within` are seconds of it that belong to other stages, by their names."""
        now = clock(self._device)
        decoded = self._video.decode_seconds
        self._seconds.update(within)
        self._seconds[name] = now - self._stage_start - (decoded - self._stage_decoded) - sum(within.values())
        self._stage_start, self._stage_decoded = now, decoded

    def first_token(self) -> None:
        """Note that the first logits are on the host."""
        self._first_token = clock(self._device) - self._start - (self._video.decode_seconds - self._decoded_before)

    def costs(self) -> Costs:
        """Return the fields of a reply, to be passed on with two asterisks."""
        peak = peaks(self._device)
        seconds: dict[str, Any] = {"decode": self._video.decode_seconds - self._decoded_before, **self._seconds}
        return Costs(
            seconds=seconds,
            seconds_to_first_token=self._first_token,
            peak_allocated_bytes=peak.allocated,
            peak_reserved_bytes=peak.reserved,
            peak_device_bytes=peak.largest_reserved,
        )


class Stopwatch:
    """Adds up the seconds spent inside `with stopwatch:` blocks, the device's work included."""

    def __init__(self, device: torch.device) -> None:
        self.seconds = 0.0
        self._device = device
        self._start = 0.0

    def __enter__(self) -> None:
        self._start = clock(self._device)

    def __exit__(self, *error: object) -> None:
        self.seconds += clock(self._device) - self._start


def clock(device: torch.device) -> float:
    """Return the time in seconds once the device has finished what it was given."""
    if device.type == "cuda" and torch.cuda.is_initialized():  # not where a card is only traced
        torch.cuda.synchronize(device)
    return time.perf_counter()


def reset_peak(device: torch.device) -> None:
    """Restart the measurement of peak memory, on every GPU this process sees: a model may be spread over several.

    What earlier answers left in the allocator's cache is given back first: it would count as reserved.
    """
    if device.type == "cuda":
        torch.cuda.empty_cache()
        for number in range(torch.cuda.device_count()):
            torch.cuda.reset_peak_memory_stats(number)


def peaks(device: torch.device) -> Peaks:
    """Return the peaks of allocated and of reserved bytes since `reset_peak`; all are None on a CPU."""
    if device.type != "cuda":
        return Peaks(None, None, None)
    numbers = range(torch.cuda.device_count())
    reserved = [torch.cuda.max_memory_reserved(number) for number in numbers]
    return Peaks(sum(map(torch.cuda.max_memory_allocated, numbers)), sum(reserved), max(reserved))

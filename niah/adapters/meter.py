"""What one answer cost: seconds by stage without the wait for the decoder, the first token, the device's peaks."""

from __future__ import annotations

from typing import Any, TypedDict

import torch

from niah.adapters.device import clock, peaks, reset_peak
from niah.types import Video


class Costs(TypedDict):
    """The fields of a `Reply` that a `Meter` fills."""

    seconds: dict[str, float]
    seconds_to_first_token: float | None
    peak_allocated_bytes: int | None
    peak_reserved_bytes: int | None


class Meter:
    """Starts when made, with the frames about to be handed over."""

    def __init__(self, device: torch.device, video: Video) -> None:
        reset_peak(device)
        self._device, self._video = device, video
        self._began = self._last = clock(device)
        self._waited = self._heard = video.decode_seconds
        self._first: float | None = None
        self._seconds: dict[str, float] = {}

    def stage(self, name: str, **within: float) -> None:
        """End a stage; `within` are seconds of it that belong to other stages."""
        now, heard = clock(self._device), self._video.decode_seconds
        self._seconds.update(within)
        self._seconds[name] = now - self._last - (heard - self._heard) - sum(within.values())
        self._last, self._heard = now, heard

    def first_token(self) -> None:
        """Note that the first logits are on the host."""
        self._first = clock(self._device) - self._began - (self._video.decode_seconds - self._waited)

    def costs(self) -> Costs:
        """Return the fields of a reply, to be handed over with two asterisks."""
        allocated, reserved = peaks(self._device)
        seconds: dict[str, Any] = {"decode": self._video.decode_seconds - self._waited, **self._seconds}
        return Costs(
            seconds=seconds,
            seconds_to_first_token=self._first,
            peak_allocated_bytes=allocated,
            peak_reserved_bytes=reserved,
        )

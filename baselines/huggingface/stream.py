"""A processor's video processor that reads frames in chunks: a video never lies whole in memory at its own size.

What a processor makes of a video depends on how many frames it has: Qwen-VL's and GLM-V's divide a budget of pixels
among them. So the whole video is processed first as tensors without data (torch's meta device), which gives every
shape; then the frames pass in chunks, at the size that the whole video is shown at, and are written into place.
A processor that reads data to know its shapes, or makes more than pixels, gets its video whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from transformers import BatchFeature
from transformers.image_utils import SizeDict
from transformers.video_processing_utils import BaseVideoProcessor

from niah.types import UserError

CHUNK = 32  # frames: a multiple of every temporal patch
GRID = "video_grid_thw"
OF_FRAMES = ("pixel_values_videos", "pixel_values", "pixel_attention_mask", "video_position_ids")
ReadFrames = Callable[[int, int], np.ndarray]  # (start, stop) -> (frames, height, width, 3) uint8


class StreamedVideoProcessor:
    """Stands in for a video processor during one call; everything but the call is the original's."""

    def __init__(self, original: Any, read: ReadFrames | None, budget: int | None, dtype: torch.dtype) -> None:
        """`read` None makes tensors without data; `budget` is in pixels of a frame, None for the original's own."""
        self._original, self._read, self._budget, self._dtype = original, read, budget, dtype

    def __getattr__(self, name: str) -> Any:
        if name == "_original":  # of a copy that is being made, for instance to name the processor in an error
            raise AttributeError(name)
        return getattr(self._original, name)

    def __call__(self, videos: Any, **settings: Any) -> BatchFeature:
        """Return what the original makes of one video. `videos` holds a placeholder of its shape, (frames, H, W, 3)."""
        (placeholder,) = videos
        count, height, width, _ = placeholder.shape
        settings = {**settings, **self._pinned(settings)}
        size = None if self._budget is None else fit(height, width, self._budget, self._factor())
        try:
            whole = self._process(_without_data(count, *(size or (height, width))), settings, size is not None)
        except NotImplementedError:  # torch's word for what needs data
            if self._read is None:
                raise
            return self._process(self._frames(0, count, size), settings, size is not None)
        if self._read is None:
            return whole
        shapes = {name: value for name, value in whole.items() if isinstance(value, torch.Tensor) and value.is_meta}
        if count <= CHUNK or not set(shapes) <= set(OF_FRAMES):
            return self._process(self._frames(0, count, size), settings, size is not None)
        if GRID in whole:
            side = self._original.patch_size
            size = tuple(side * int(patches) for patches in whole[GRID][0, 1:])  # the same for every chunk
        for name, value in self._filled(shapes, count, size, settings).items():
            whole[name] = value
        return whole

    def _filled(
        self, shapes: Mapping[str, torch.Tensor], count: int, size: Any, settings: Mapping[str, Any]
    ) -> dict[str, torch.Tensor]:
        """Return tensors of these shapes, written chunk by chunk."""
        assert self._read is not None
        filled = {name: torch.empty(one.shape, dtype=self._kept_as(one.dtype)) for name, one in shapes.items()}
        written = dict.fromkeys(filled, 0)
        axis = dict.fromkeys(filled, 0)
        for start in range(0, count, CHUNK):
            stop = min(start + CHUNK, count)
            part = self._process(self._frames(start, stop, size), _of_chunk(settings, start, stop), size is not None)
            for name, value in filled.items():
                differing = [
                    number
                    for number, (one, all_) in enumerate(zip(part[name].shape, value.shape, strict=True))
                    if one != all_
                ]
                axis[name] = differing[0]
                value.narrow(axis[name], written[name], part[name].shape[axis[name]]).copy_(part[name])
                written[name] += part[name].shape[axis[name]]
        for name, value in filled.items():
            if written[name] != value.shape[axis[name]]:
                raise ValueError(f"{name} has {value.shape[axis[name]]} rows, and its chunks {written[name]}")
        return filled

    def _process(self, video: torch.Tensor, settings: Mapping[str, Any], resized: bool) -> BatchFeature:
        """Return what the original makes of frames (frames, 3, height, width), which may have their size already."""
        return self._original([video], **settings, **({"do_resize": False} if resized else {}))

    def _frames(self, start: int, stop: int, size: tuple[int, int] | None) -> torch.Tensor:
        """Return frames (frames, 3, height, width), resized as the original resizes where a size is given."""
        assert self._read is not None
        frames = torch.from_numpy(self._read(start, stop)).permute(0, 3, 1, 2)
        if size is None or tuple(frames.shape[-2:]) == size:
            return frames.contiguous()
        to = SizeDict(height=size[0], width=size[1])
        return BaseVideoProcessor.resize(self._original, frames, to, resample=self._original.resample)

    def _pinned(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings that would otherwise be a default of the library, which is about to change."""
        name = "cap_pixels_per_frame"
        asked = settings.get(name)
        capped = getattr(self._original, name, None) if asked is None else asked
        return {name: bool(capped)} if name in self._original.valid_kwargs.__annotations__ else {}

    def _factor(self) -> int:
        """Return the pixels that a side is a multiple of. Raises UserError where all frames have one size."""
        patch, merged = (vars(self._original).get(name) for name in ("patch_size", "merge_size"))
        if not isinstance(patch, int) or not isinstance(merged, int):
            sides = {name: value for name, value in dict(self._original.size).items() if value is not None}
            raise UserError(
                f"{type(self._original).__name__} reads frames of one size, {sides}: leave frame_pixels and "
                "video_pixels out"
            )
        return patch * merged

    def _kept_as(self, dtype: torch.dtype) -> torch.dtype:
        return self._dtype if dtype.is_floating_point else dtype


def fit(height: int, width: int, pixels: int, factor: int) -> tuple[int, int]:
    """Return the largest size of at most so many pixels, sides multiples of `factor`; no larger than the frame is.

    A side is at least `factor`, whatever the budget.
    """
    scale = min(1.0, math.sqrt(pixels / (height * width)))
    sides = (max(factor, math.floor(side * scale / factor) * factor) for side in (height, width))
    return next(sides), next(sides)


def placeholder(count: int, height: int, width: int) -> np.ndarray:
    """Return an array of a video's shape that takes no memory."""
    return np.broadcast_to(np.zeros((), np.uint8), (count, height, width, 3))


def _without_data(count: int, height: int, width: int) -> torch.Tensor:
    return torch.empty((count, 3, height, width), dtype=torch.uint8, device="meta")


def _of_chunk(settings: Mapping[str, Any], start: int, stop: int) -> dict[str, Any]:
    """Return the settings of a call with the metadata of these frames only."""
    (metadata,) = settings["video_metadata"]
    return {**settings, "video_metadata": [{**metadata, "frames_indices": metadata["frames_indices"][start:stop]}]}

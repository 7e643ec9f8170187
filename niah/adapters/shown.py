"""How a model was shown frames: the fields of a `Reply` that say at which size, and whether with their times.

A budget of pixels or tokens that is shared by all frames shows each of them smaller as a video gets longer, and a
model that knows times answers other questions. Neither can be seen in a reply, so adapters report both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypedDict

GRIDS = {"video_grid_thw": "video_processor", "image_grid_thw": "image_processor"}  # Qwen-VL's kind: sides in patches
PIXELS = ("pixel_values_videos", "pixel_values")


class FramesShown(TypedDict):
    """The fields of a `Reply` that say how frames were shown; both are None where there was no frame."""

    frame_size: tuple[int, int] | None
    frame_times: bool | None


def shown_square(count: int, side: int, times: bool = False) -> FramesShown:
    """Return the fields for `count` frames shown as squares of `side` pixels.

    `times` says whether the model was given the times of the frames, or what they follow from.
    """
    if not count:
        return FramesShown(frame_size=None, frame_times=None)
    return FramesShown(frame_size=(side, side), frame_times=times)


def size_in_inputs(inputs: Mapping[str, Any], processor: Any, count: int) -> tuple[int, int] | None:
    """Return height and width in pixels of the frames in what a processor of `transformers` made.

    None where they cannot be told from tiles, of which a frame may be cut into several.

    Args:
        inputs: What the processor returned.
        processor: The processor, which knows how large a patch is.
        count: How many frames it was given.
    """
    for grid, part in GRIDS.items():
        if grid in inputs:
            rows, columns = inputs[grid][0, 1:].tolist()
            side = vars(processor)[part].patch_size
            return rows * side, columns * side
    for name in PIXELS:
        if name in inputs:
            *pictures, _, height, width = inputs[name].shape
            return (height, width) if math.prod(pictures) == count else None
    return None


def frames_in_inputs(inputs: Mapping[str, Any], processor: Any) -> int | None:
    """Return how many frames of one video a processor of `transformers` kept; None where that cannot be told.

    A last frame that was repeated to fill a temporal patch counts.
    """
    if "video_grid_thw" in inputs:
        patch = vars(processor.video_processor).get("temporal_patch_size")
        return int(inputs["video_grid_thw"][0, 0]) * patch if isinstance(patch, int) else None
    pixels = inputs.get("pixel_values_videos")
    return None if pixels is None or pixels.ndim != 5 else int(pixels.shape[1])


def time_line(seconds: float) -> str:
    """Return the line of text that stands before a frame where a model takes frames as images without times."""
    return f"Frame at {seconds:.1f} s:"

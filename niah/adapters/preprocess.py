"""Frames to standardised pixels as CLIP's image processor makes them, one frame at a time.

Resizing is Pillow's, on uint8: what releases preprocess with, and a resize of tensors differs from it by a grey level
here and there, which parity would notice. The Pillow of their time resized rows and then columns; a newer one takes
columns first where that is less work, in portrait pictures for example, and rounds otherwise.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from niah.adapters.to_device import to_device

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def centre_square(frames: np.ndarray, side: int) -> np.ndarray:
    """Resize the shorter side of (frames, height, width, 3) uint8 to `side`, bicubic, and cut out the middle.

    Returns (frames, side, side, 3) uint8; frames of that size come back as they are. The longer
    side is cut to a whole number, not rounded.
    """
    height, width = frames.shape[1:3]
    if (height, width) == (side, side):
        return frames
    shorter = min(height, width)
    new_height, new_width = side * height // shorter, side * width // shorter
    top, left = (new_height - side) // 2, (new_width - side) // 2
    square = np.empty((len(frames), side, side, 3), np.uint8)
    for place, frame in zip(square, frames, strict=True):
        place[:] = resize_bicubic(frame, new_width, new_height)[top : top + side, left : left + side]
    return square


def stretch_to_square(frames: np.ndarray, side: int) -> np.ndarray:
    """Return (frames, side, side, 3) uint8, bicubic, aspect not kept; frames of that size come back as they are."""
    if frames.shape[1:3] == (side, side):
        return frames
    square = np.empty((len(frames), side, side, 3), np.uint8)
    for place, frame in zip(square, frames, strict=True):
        place[:] = resize_bicubic(frame, side, side)
    return square


def resize_bicubic(frame: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resize (height, width, 3) uint8 as the releases' Pillow does: all rows to their new width, then the columns."""
    across = Image.fromarray(frame).resize((width, len(frame)), Image.Resampling.BICUBIC)
    return np.asarray(across.resize((width, height), Image.Resampling.BICUBIC))


def standardise(
    frames: np.ndarray,
    mean: tuple[float, ...] = CLIP_MEAN,
    std: tuple[float, ...] = CLIP_STD,
    device: str | torch.device = "cpu",
) -> Tensor:
    """Return (frames, 3, height, width) float32 of (frames, height, width, 3) uint8: /255, less mean, over std.

    Bytes travel to the device, which does the rest.
    """
    scaled = to_device(torch.from_numpy(np.ascontiguousarray(frames)), device).permute(0, 3, 1, 2) / 255
    return (scaled - torch.tensor(mean, device=device).view(3, 1, 1)) / torch.tensor(std, device=device).view(3, 1, 1)

"""Frames as the tower takes them: the full square, bicubic, ImageNet mean and deviation."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from niah.adapters.preprocess import standardise

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def prepare(frames: np.ndarray, size: int, device: str | torch.device = "cpu") -> Tensor:
    """Return pixel values (frames, 3, size, size), fp32; the aspect ratio is not kept.

    `frames` are (frames, height, width, 3) uint8 RGB. Holds 12 bytes a pixel of what it returns.
    Raises ValueError for anything else than such frames.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise ValueError(f"frames are (frames, height, width, 3) uint8, got {frames.shape} {frames.dtype}")
    if frames.shape[1:3] != (size, size):
        resized = [Image.fromarray(frame).resize((size, size), Image.Resampling.BICUBIC) for frame in frames]
        frames = np.stack([np.asarray(frame) for frame in resized])
    return standardise(frames, MEAN, DEVIATION, device)

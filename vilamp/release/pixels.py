"""A frame through both preprocessors of the release."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from niah.adapters.preprocess import centre_square, standardise, stretch_to_square
from niah.types import UserError
from vilamp.release.tower_sizes import PictureSizes


def siglip_pixels(
    frames: np.ndarray, picture: PictureSizes, device: str | torch.device = "cpu"
) -> Float[Tensor, "frames 3 side side"]:
    """Resize (frames, height, width, 3) uint8 straight to a square, aspect ratio not kept, and scale its colours."""
    return standardise(stretch_to_square(checked(frames), picture.side), picture.mean, picture.std, device)


def clip_pixels(
    frames: np.ndarray, picture: PictureSizes, device: str | torch.device = "cpu"
) -> Float[Tensor, "frames 3 side side"]:
    """Resize the shorter side, cut out the middle, and scale its colours."""
    return standardise(centre_square(checked(frames), picture.side), picture.mean, picture.std, device)


def checked(frames: np.ndarray) -> np.ndarray:
    """Return frames as they are. Raises UserError unless they are (frames, height, width, 3) uint8 of one size."""
    if not isinstance(frames, np.ndarray) or frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
        what = f"{frames.dtype} {frames.shape}" if isinstance(frames, np.ndarray) else type(frames).__name__
        raise UserError(f"frames are one array (frames, height, width, 3) of uint8, all of one size, got {what}")
    if 0 in frames.shape[1:3]:
        raise UserError(f"frames need a height and a width, got {frames.shape[1]} x {frames.shape[2]}")
    return frames

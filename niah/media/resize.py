"""Turn a decoded frame into a picture of the sampling's size: the one path every pixel takes.

Two steps, both by swscale: to 8-bit RGB at the file's own size, then to the
sampling's size (bicubic). One step would be faster and would leave the two halves
inseparable: decord and torchcodec hand over RGB, and so joined all decoders agree to
the bit. Needle and haystack take the same path, so no seam tells them apart.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Tuple

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from niah.media.index import Index
from niah.types import Sampling


class Resizer:
    """Shapes the frames of one file; keeps swscale's tables from frame to frame."""

    def __init__(self, index: Index) -> None:
        self._rotation = index.rotation
        self._aspect = index.display_aspect
        self._to_rgb = VideoReformatter()
        self._to_size = VideoReformatter()

    def from_frame(self, frame: av.VideoFrame, sampling: Sampling) -> np.ndarray:
        """Return (height, width, 3) uint8 RGB of a frame as FFmpeg decoded it."""
        rgb = self._to_rgb.reformat(frame, format="rgb24")
        if self._rotation:
            return self.from_rgb(np.rot90(rgb.to_ndarray(), self._rotation // 90), sampling)
        return self._resize(rgb, sampling)

    def from_rgb(self, picture: np.ndarray, sampling: Sampling) -> np.ndarray:
        """Return (height, width, 3) uint8 RGB of a picture that is already RGB and the right way up."""
        return self._resize(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24"), sampling)

    def _resize(self, rgb: av.VideoFrame, sampling: Sampling) -> np.ndarray:
        width, height = fitted(self._aspect, sampling)
        small = self._to_size.reformat(rgb, width=width, height=height, interpolation="BICUBIC").to_ndarray()
        if (width, height) == (sampling.width, sampling.height):
            return small
        canvas = np.zeros((sampling.height, sampling.width, 3), dtype=np.uint8)
        top, left = (sampling.height - height) // 2, (sampling.width - width) // 2
        canvas[top : top + height, left : left + width] = small
        return canvas


def fitted(aspect: Fraction, sampling: Sampling) -> Tuple[int, int]:
    """Return the (width, height) that a picture of this display aspect takes up in the sampling's frame."""
    if sampling.fit == "stretch":
        return sampling.width, sampling.height
    if aspect * sampling.height >= sampling.width:  # wider than the frame: bars above and below
        return sampling.width, max(1, round(sampling.width / aspect))
    return max(1, round(sampling.height * aspect)), sampling.height

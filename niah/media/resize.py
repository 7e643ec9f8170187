"""Convert a decoded frame to RGB at the sampling's size; all frames of all decoders take this path.

swscale converts in two steps: to 8-bit RGB at the file's own size, then to the sampling's size
(bicubic). One step would be faster, but decord and torchcodec deliver RGB, and only the second
step is the same for all decoders: with two steps they agree bit for bit. Needle and haystack
take the same path, so resizing leaves no seam between them.
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
    """Resize the frames of one file; swscale's tables are kept between frames."""

    def __init__(self, index: Index) -> None:
        self._rotation = index.rotation
        self._size = (index.width, index.height)
        self._pixel_aspect = index.pixel_aspect
        self._aspect = index.display_aspect
        self._crop = index.crop
        self._to_rgb = VideoReformatter()
        self._to_size = VideoReformatter()

    def from_frame(self, frame: av.VideoFrame, sampling: Sampling) -> np.ndarray:
        """Return a frame as FFmpeg decoded it as (height, width, 3) uint8 RGB."""
        rgb = self._to_rgb.reformat(frame, format="rgb24")
        if self._rotation or self._crop:
            return self.from_rgb(np.rot90(rgb.to_ndarray(), self._rotation // 90), sampling)
        return self._resize(rgb, sampling, self._display_aspect(rgb.width, rgb.height))

    def from_rgb(self, picture: np.ndarray, sampling: Sampling) -> np.ndarray:
        """Return a picture that is already RGB and upright as (height, width, 3) uint8 RGB."""
        aspect = self._display_aspect(picture.shape[1], picture.shape[0])
        if self._crop:
            top, right, bottom, left = self._crop
            picture = picture[top : picture.shape[0] - bottom, left : picture.shape[1] - right]
        return self._resize(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24"), sampling, aspect)

    def _display_aspect(self, width: int, height: int) -> Fraction:
        """Return width over height as displayed; a file may change its resolution, and then each frame has its own."""
        if (width, height) == self._size or self._crop:
            return self._aspect
        return Fraction(width, height) * self._pixel_aspect

    def _resize(self, rgb: av.VideoFrame, sampling: Sampling, aspect: Fraction) -> np.ndarray:
        width, height = fitted_size(aspect, sampling)
        resized = self._to_size.reformat(rgb, width=width, height=height, interpolation="BICUBIC").to_ndarray()
        if (width, height) == (sampling.width, sampling.height):
            return resized
        canvas = np.zeros((sampling.height, sampling.width, 3), dtype=np.uint8)
        top = (sampling.height - height) // 2
        left = (sampling.width - width) // 2
        canvas[top : top + height, left : left + width] = resized
        return canvas


def case_sampling(sampling: Sampling, canvas: Index) -> Sampling:
    """Return the sampling of one case: where its size is the case's, that of the displayed picture of `canvas`.

    Where the shorter side is limited, a smaller picture is not enlarged.
    """
    if not sampling.of_case:
        return sampling
    top, _, bottom, _ = canvas.crop or (0, 0, 0, 0)
    height = canvas.height - top - bottom
    width = max(1, round(height * canvas.display_aspect))
    if sampling.fit == "shorter_side" and min(width, height) > sampling.height:
        shorter = min(width, height)
        width, height = (max(1, round(side * sampling.height / shorter)) for side in (width, height))
    return Sampling(sampling.rate, width, height, "pad")


def fitted_size(aspect: Fraction, sampling: Sampling) -> Tuple[int, int]:
    """Return the (width, height) that a picture of this display aspect fills in the sampling's frame."""
    if sampling.fit == "stretch":
        return sampling.width, sampling.height
    if aspect * sampling.height >= sampling.width:  # wider than the frame: bars above and below
        return sampling.width, max(1, round(sampling.width / aspect))
    return max(1, round(sampling.height * aspect)), sampling.height

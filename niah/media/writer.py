"""Write frames to an H.264 file; built-in footage and rendered cases are both encoded here.

One thread, fixed settings and no macroblock tree: one build of the encoder on one kind of
processor writes the same bytes every time. The file gets its name only when it is complete.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Iterable, Union

import av
import numpy as np

from niah.io import replacing


def write_mp4(
    path: Union[str, Path],
    frames: Iterable[np.ndarray],
    rate: Fraction,
    crf: int = 18,
    keyframe_interval: int = 48,
) -> int:
    """Encode frames at `rate` frames per second and return how many there were.

    Holds one frame at a time, besides the few that the encoder buffers. Raises ValueError if there is no frame.

    Args:
        path: The file to write; it is replaced if it exists.
        frames: Each (height, width, 3) uint8 RGB, all of one size.
        rate: Frames per second.
        crf: The quality of the encoder, from 0 (lossless) to 51.
        keyframe_interval: The largest distance between keyframes, in frames.
    """
    path = Path(path)
    count = 0
    with replacing(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        stream = None
        for picture in frames:
            if stream is None:
                stream = _add_stream(container, picture, rate, crf, keyframe_interval)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts = count
            frame.time_base = 1 / Fraction(rate)
            container.mux(stream.encode(frame))
            count += 1
        if stream is None:
            raise ValueError(f"no frames to write to {path.name}")
        container.mux(stream.encode(None))
    return count


def _add_stream(container, picture: np.ndarray, rate: Fraction, crf: int, keyframe_interval: int):
    """Add a video stream of the picture's size. Odd sizes need full-resolution colour."""
    height, width = picture.shape[:2]
    options = {"crf": str(crf), "preset": "veryfast", "g": str(keyframe_interval), "threads": "1"}
    options["x264-params"] = "mbtree=0"  # its lookahead differs between runs
    stream = container.add_stream("libx264", rate=Fraction(rate), options=options)
    stream.width, stream.height = width, height
    stream.pix_fmt = "yuv420p" if width % 2 == 0 and height % 2 == 0 else "yuv444p"
    stream.codec_context.time_base = 1 / Fraction(rate)
    return stream

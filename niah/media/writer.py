"""Write frames to an H.264 file: the one encoder path of built-in footage and rendered cases.

One thread, fixed settings and no macroblock tree, so that one build of the encoder on
one kind of processor gives the same bytes every time. The file appears under its name only when it is whole.
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
    """Encode `frames`, each (height, width, 3) uint8 RGB, at `rate` frames per second; return how many.

    Holds one frame at a time besides the encoder's own few. Raises ValueError where
    there is no frame.
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
    """Add a video stream of the picture's size; odd sizes need full-resolution colour."""
    height, width = picture.shape[:2]
    options = {"crf": str(crf), "preset": "veryfast", "g": str(keyframe_interval), "threads": "1"}
    options["x264-params"] = "mbtree=0"  # its lookahead is not the same from run to run
    stream = container.add_stream("libx264", rate=Fraction(rate), options=options)
    stream.width, stream.height = width, height
    stream.pix_fmt = "yuv420p" if width % 2 == 0 and height % 2 == 0 else "yuv444p"
    stream.codec_context.time_base = 1 / Fraction(rate)
    return stream

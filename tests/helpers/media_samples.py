"""Small videos whose every frame shows its own number in eight bars, and ways to maltreat them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from niah.media.writer import write_mp4

SHARED = Path(__file__).resolve().parents[3] / "shared" / "videos"
BARS = 8


def picture(number, width=64, height=48):
    """Return a frame with the bits of `number` as black and white bars, the lowest bit at the left."""
    bits = (number >> np.arange(BARS)) & 1
    row = np.repeat(bits * 220 + 16, -(-width // BARS))[:width].astype(np.uint8)
    return np.broadcast_to(row[None, :, None], (height, width, 3)).copy()


def number_in(frame):
    """Read the number back, at any size."""
    width = frame.shape[1] / BARS
    centres = [int((bar + 0.5) * width) for bar in range(BARS)]
    middle = frame.shape[0] // 2
    return sum(int(frame[middle, x].mean() > 128) << bar for bar, x in enumerate(centres))


def make(path, count, rate=Fraction(10), size=(64, 48), keyframe_interval=10):
    """Write frames 0 up to `count`; H.264 with B-frames, as libx264 makes it."""
    write_mp4(path, (picture(number, *size) for number in range(count)), Fraction(rate), 18, keyframe_interval)
    return path


def remux(source, target, keep=None, shift_seconds=Fraction(0), options=None, prepare=None):
    """Copy the packets for which `keep(position, packet)` holds, `shift_seconds` earlier, without encoding."""
    with av.open(str(source)) as before, av.open(str(target), "w", options=options or {}) as after:
        old = before.streams.video[0]
        new = after.add_stream_from_template(old)
        if prepare is not None:
            prepare(new)
        shift = int(Fraction(shift_seconds) / old.time_base)
        for position, packet in enumerate(before.demux(old)):
            if packet.dts is None or (keep is not None and not keep(position, packet)):
                continue
            packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, new
            after.mux(packet)
    return target


def coloured(path, codec, pixels, options, size=(96, 64), count=12):
    """Write coarse noise that moves, as a codec and a pixel format hold it; skip the test where FFmpeg lacks either."""
    noise = np.random.default_rng(0).integers(0, 256, (size[1] // 4, size[0] // 4, 3), dtype=np.uint8)
    base = noise.repeat(4, 0).repeat(4, 1)
    with av.open(str(path), "w") as container:
        try:
            stream = container.add_stream(codec, rate=25, options=options)
        except av.error.EncoderNotFoundError:
            pytest.skip(f"this FFmpeg has no {codec}")
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(np.roll(base, 3 * number, 1), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path

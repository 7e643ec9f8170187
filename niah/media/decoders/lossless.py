"""A decoded frame as bytes and back: the same conversion gives the same RGB, bit for bit, at any size.

What swscale makes of a frame depends on its planes, matrix and range, and, for other formats than `PLAIN`, odd sizes
and fields, on where its chroma lies, which PyAV does not tell. Such a frame is stored as the 8-bit RGB that it converts
to, which is the first of the two steps of `niah.media.resize`. The second scales the fields of interlaced frames apart.

MagicYUV codes each frame by itself. FFV1 takes half the bytes and three to five times as long: longer than decoding
some films.
"""

from __future__ import annotations

import struct
import zlib
from fractions import Fraction
from typing import Optional

import av
from av.error import FFmpegError
from av.filter import Graph

CODEC = "magicyuv"
PLAIN = frozenset(("yuv420p", "yuv422p", "yuv444p"))  # of progressive frames of even size
CHECKSUM = struct.Struct("<I")  # of what follows
SHOWN = struct.Struct("<hh?")  # matrix, range, interlaced


def to_bytes(frame: av.VideoFrame) -> bytes:
    """Return a frame without its times."""
    plain = frame.format.name in PLAIN and not frame.interlaced_frame and frame.width % 2 == frame.height % 2 == 0
    picture = frame if plain else frame.reformat(format="rgb24").reformat(format="gbrp")  # the second step only sorts
    encoder = av.CodecContext.create(CODEC, "w")
    encoder.width, encoder.height, encoder.pix_fmt = picture.width, picture.height, picture.format.name
    encoder.time_base = Fraction(1)
    encoder.thread_count = 1  # or it would wait for a second frame
    encoder.options = {"pred": "gradient"}
    (packet,) = encoder.encode(picture)
    stored = SHOWN.pack(picture.colorspace, picture.color_range, frame.interlaced_frame) + bytes(packet)
    return CHECKSUM.pack(zlib.crc32(stored)) + stored


def from_bytes(data: bytes) -> Optional[av.VideoFrame]:
    """Return the frame, or None for anything but what `to_bytes` returned."""
    stored = data[CHECKSUM.size :]
    if len(stored) <= SHOWN.size or CHECKSUM.pack(zlib.crc32(stored)) != data[: CHECKSUM.size]:
        return None
    decoder = av.CodecContext.create(CODEC, "r")
    decoder.thread_count = 1
    try:
        (frame,) = decoder.decode(av.Packet(stored[SHOWN.size :]))
    except (FFmpegError, ValueError):  # of another version, or of a stranger who knows checksums
        return None
    frame.colorspace, frame.color_range, interlaced = SHOWN.unpack_from(stored)
    return _interlaced(frame) if interlaced else frame


def _interlaced(frame: av.VideoFrame) -> av.VideoFrame:
    """Return a frame that says that it has fields; swscale does not ask which comes first."""
    graph = Graph()
    frame.time_base = Fraction(1)
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base)
    graph.link_nodes(source, graph.add("setfield", "tff"), graph.add("buffersink")).configure()
    graph.vpush(frame)
    return graph.vpull()

"""Write H.264 whose fields are pictures of their own (PAFF), which no encoder of FFmpeg's does.

Every macroblock is sent as it is (I_PCM), so a stream is headers and samples: ITU-T H.264, 7.3. Frame number n is of one
grey, its fields two steps apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

WIDTH, HEIGHT = 64, 64  # pixels of a frame
BLOCKS = (WIDTH // 16) * (HEIGHT // 32)  # macroblocks of a field
GROUP = 12  # frames from one IDR picture to the next
I_PCM, INTRA = 25, 7
TICKS = Fraction(1, 50)  # one field


class _Bits:
    """Bits that are written one after the other."""

    def __init__(self) -> None:
        self.text = ""

    def fixed(self, size: int, value: int) -> None:
        self.text += f"{value:0{size}b}"

    def golomb(self, *values: int) -> None:
        """Append ue(v) codes."""
        for value in values:
            code = f"{value + 1:b}"
            self.text += "0" * (len(code) - 1) + code

    def align(self) -> None:
        self.text += "0" * (-len(self.text) % 8)

    def samples(self, values: bytes) -> None:
        self.text += "".join(f"{value:08b}" for value in values)

    def unit(self, kind: int, referenced: int) -> bytes:
        """Return a NAL unit with its start code and its bytes of emulation prevention."""
        self.text += "1"
        self.align()
        payload = int(self.text, 2).to_bytes(len(self.text) // 8, "big")
        found, zeros = bytearray([referenced << 5 | kind]), 0
        for value in payload:
            if zeros >= 2 and value <= 3:
                found.append(3)
                zeros = 0
            found.append(value)
            zeros = zeros + 1 if value == 0 else 0
        return b"\0\0\0\1" + bytes(found)


@dataclass(frozen=True)
class Field:
    """A coded field: its bytes, the frame it belongs to as counted in playing order, and whether it is the lower."""

    data: bytes
    frame: int
    lower: bool


def parameter_sets() -> bytes:
    """Return the sequence and the picture parameter set: Main profile, fields allowed, no deblocking."""
    sequence = _Bits()
    for value in (77, 0, 30):
        sequence.fixed(8, value)
    sequence.golomb(0, 0, 0, 4, 1)  # ids; 4 bits of frame numbers; 8 bits of order; one reference
    sequence.fixed(1, 0)
    sequence.golomb(WIDTH // 16 - 1, HEIGHT // 32 - 1)
    sequence.fixed(5, 0b00100)  # frames may be fields; not by macroblock; 8x8 inference; whole picture; no VUI
    picture = _Bits()
    picture.golomb(0, 0)
    picture.fixed(2, 0)
    picture.golomb(0, 0, 0)
    picture.fixed(3, 0)
    picture.golomb(0, 0, 0)
    picture.fixed(3, 0b100)  # slices say how they are deblocked
    return sequence.unit(7, 3) + picture.unit(8, 3)


def fields(frames: int) -> Iterator[Field]:
    """Yield fields in coding order: of three frames the last comes first, and nothing refers to the other two."""
    number = 0  # frame_num
    for start in range(0, frames, GROUP):
        group = range(start, min(start + GROUP, frames))
        order = [group[0], *(frame for at in range(1, len(group), 3) for frame in _last_first(group[at : at + 3]))]
        for frame in order:
            is_first = frame == start
            referenced = int((frame - start) % 3 == 0 or frame == group[-1])
            number = 0 if is_first else number
            for lower in (False, True):
                yield Field(_slice(frame, start, number, lower, referenced, is_first and not lower), frame, lower)
            number = (number + referenced) % 16


def write(path: Path, frames: int, split: bool = False) -> Path:
    """Write a film at 25 frames a second; `split` makes each field a packet of its own."""
    coded = list(fields(frames))
    size = 1 if split else 2
    packets = [coded[at : at + size] for at in range(0, len(coded), size)]
    with av.open(str(path), "w") as output:
        stream = output.add_stream("h264", rate=25)
        stream.width, stream.height, stream.time_base = WIDTH, HEIGHT, TICKS
        stream.codec_context.extradata = parameter_sets()
        for number, parts in enumerate(packets):
            data = b"".join(part.data for part in parts)
            first = parts[0]
            is_key = data[4] & 31 == 5
            packet = av.Packet(parameter_sets() + data if is_key else data)
            packet.stream, packet.time_base = stream, TICKS
            packet.pts = 2 * first.frame + int(first.lower) + 4
            packet.dts = number * size
            packet.duration, packet.is_keyframe = size, is_key
            output.mux(packet)
    return path


def _last_first(frames: Sequence[int]) -> Sequence[int]:
    return [frames[-1], *frames[:-1]]


def _slice(frame: int, start: int, number: int, lower: bool, referenced: int, is_idr: bool) -> bytes:
    bits = _Bits()
    bits.golomb(0, INTRA, 0)
    bits.fixed(4, number)
    bits.fixed(2, 0b10 | lower)  # a field, and which
    if is_idr:
        bits.golomb(start // GROUP % 2)  # neighbours differ
    bits.fixed(8, 2 * (frame - start) + lower)  # place in playing order
    if referenced:
        bits.fixed(2 if is_idr else 1, 0)
    bits.golomb(0, 1)  # no change of quantiser; no deblocking
    grey = bytes([20 + 4 * frame % 200 + 2 * lower]) * 256 + bytes([128]) * 128
    for _ in range(BLOCKS):
        bits.golomb(I_PCM)
        bits.align()
        bits.samples(grey)
    return bits.unit(5 if is_idr else 1, referenced)

"""Bounds on what a video file may take: seconds without data, hours, pixels of a frame, damaged packets, and disk.

They are environment variables, so that every process that decodes sees them. Each has a default that no film
reaches, and the error names the variable where one bites.
"""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Union

from niah.media.errors import MediaError, reencode
from niah.types import UserError

# A file counts as unreadable after this many seconds without data from the disk or the network share.
STALL_VARIABLE = "VIDEONIAH_STALL_SECONDS"
HOURS_VARIABLE = "VIDEONIAH_MAX_HOURS"  # from the first frame of a file to its last
MEMORY_VARIABLE = "VIDEONIAH_SCAN_GIB"  # address space of the process that scans files
SCAN_VARIABLE = "VIDEONIAH_SCAN_SECONDS"  # for a file of a MiB or less; each further MiB gets a tenth of it
PIXELS_VARIABLE = "VIDEONIAH_MAX_PIXELS"  # of one frame, which is decoded whole
CORRUPT_VARIABLE = "VIDEONIAH_MAX_CORRUPT"  # share of the video's packets that FFmpeg flags as damaged
FRAMES_VARIABLE = "VIDEONIAH_FRAMES_GIB"  # of decoded frames in the cache; 0 keeps none
VARIABLES = (
    STALL_VARIABLE, HOURS_VARIABLE, MEMORY_VARIABLE, SCAN_VARIABLE, PIXELS_VARIABLE, CORRUPT_VARIABLE, FRAMES_VARIABLE
)  # fmt: skip


def stall_seconds() -> float:
    """Return how many seconds a file may deliver no data: $VIDEONIAH_STALL_SECONDS, else 60.

    Raises UserError unless it is positive.
    """
    return _positive(STALL_VARIABLE, "60", "a number of seconds above 0", " (--stall_timeout)")


def refuse_long(path: Union[str, Path], seconds: Fraction) -> None:
    """Raise MediaError where frames lie further apart than $VIDEONIAH_MAX_HOURS, else 100 hours."""
    hours = _positive(HOURS_VARIABLE, "100", "a number of hours above 0")
    if seconds > hours * 3600:
        raise MediaError(
            path,
            f"a frame is shown {float(seconds):,.0f} s after the first, the limit is {hours:g} hours",
            f"{reencode(path)}, or raise {HOURS_VARIABLE}",
        )


def scan_memory_bytes() -> int:
    """Return how much address space scanning may take: $VIDEONIAH_SCAN_GIB, else 8 GiB."""
    return int(_positive(MEMORY_VARIABLE, "8", "a number of GiB above 0") * 2**30)


def scan_seconds(file_bytes: int) -> float:
    """Return how long scanning a file may take: $VIDEONIAH_SCAN_SECONDS, else 600, and a tenth more for each MiB."""
    return _positive(SCAN_VARIABLE, "600", "a number of seconds above 0") * (1 + file_bytes / 2**20 / 10)


def frame_cache_bytes() -> int:
    """Return how many bytes of decoded frames are kept on disk: $VIDEONIAH_FRAMES_GIB, else 16 GiB."""
    if os.environ.get(FRAMES_VARIABLE, "").strip() == "0":
        return 0
    return int(_positive(FRAMES_VARIABLE, "16", "a number of GiB, or 0 to keep none") * 2**30)


def max_pixels() -> int:
    """Return how many pixels a frame may have: $VIDEONIAH_MAX_PIXELS, else 8192 x 8192."""
    return int(_positive(PIXELS_VARIABLE, str(8192 * 8192), "a number of pixels above 0"))


def refuse_large(path: Union[str, Path], width: int, height: int) -> None:
    """Raise MediaError for frames of more than `max_pixels`, before one is decoded."""
    if width * height > max_pixels():
        raise MediaError(
            path,
            f"its frames have {width}x{height} pixels, the limit is {max_pixels():,}",
            f"scale it down (ffmpeg -vf scale=...), or raise {PIXELS_VARIABLE}",
        )


def refuse_corrupt(path: Union[str, Path], corrupt: int, packets: int) -> None:
    """Raise MediaError where more than $VIDEONIAH_MAX_CORRUPT of the packets, else one in a hundred, are damaged."""
    share = _positive(CORRUPT_VARIABLE, "0.01", "a share above 0")
    if corrupt > share * packets:
        raise MediaError(
            path,
            f"it is damaged: {corrupt} of {packets} packets are flagged as corrupt",
            f"copy or download it again, or raise {CORRUPT_VARIABLE}",
        )


def _positive(variable: str, default: str, wanted: str, flag: str = "") -> float:
    """Return a setting from the environment. Raises UserError unless it is a finite number above 0."""
    setting = os.environ.get(variable) or default
    try:
        number = float(setting)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise UserError(f"{variable}{flag} must be {wanted}, got {setting!r}")
    return number

"""Open a video file and select its video stream.

FFmpeg opens more than videos: it draws the letters of a text file and fetches the files that
a playlist names. Both are refused, because their hash does not identify the frames.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Any, Tuple, Union

import av
from av.error import FFmpegError
from av.stream import Disposition

from niah.media.errors import MediaError
from niah.types import UserError

PLAYLISTS = frozenset(("hls", "concat", "dash", "imf", "image2", "webm_dash_manifest"))
# A file counts as unreadable after this many seconds without data from the disk or the network share.
STALL_VARIABLE = "VIDEONIAH_STALL_SECONDS"


def sha256_of(path: Union[str, Path]) -> str:
    """Return the SHA-256 of a file. Raises MediaError unless it is regular, readable and not empty."""
    path = Path(path)
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise MediaError(path, "it is a folder", "name a video file in it")
        if not stat.S_ISREG(status.st_mode):
            raise MediaError(path, "it is not a regular file", "copy the video to a file first")
        if status.st_size == 0:
            raise MediaError(path, "the file is empty (0 bytes)", "copy or download it again")
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
    except FileNotFoundError:
        raise MediaError(path, "there is no such file", "check the path") from None
    except PermissionError:
        raise MediaError(path, "permission denied", f"give yourself read access (chmod u+r {path.name})") from None
    except OSError as error:
        raise MediaError(path, f"it cannot be read ({error.strerror})", "copy it to a working disk") from error
    return digest.hexdigest()


def stall_seconds() -> float:
    """Return how many seconds a file may deliver no data: $VIDEONIAH_STALL_SECONDS, else 60.

    It is an environment variable so that every process that decodes sees it. Raises UserError unless it is positive.
    """
    setting = os.environ.get(STALL_VARIABLE) or "60"
    try:
        seconds = float(setting)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise UserError(f"{STALL_VARIABLE} (--stall_timeout) must be a number of seconds above 0, got {setting!r}")
    return seconds


def open_video(path: Union[str, Path]) -> Tuple[Any, Any]:
    """Open `path` and return (container, video stream); the caller closes the container.

    The stream is the first one that is not a cover picture. Raises MediaError.
    """
    path = Path(path)
    try:
        # FFmpeg never takes an absolute path for a protocol ("concat:..."), and the whitelist admits files only.
        container = av.open(
            str(path.absolute()), timeout=stall_seconds(), options={"protocol_whitelist": "file,crypto,data"}
        )
    except FFmpegError as error:
        raise MediaError(
            path,
            f"it is not a video, or its end is missing: FFmpeg cannot open it ({error.strerror})",
            "check that the file is complete and is a video",
        ) from error
    try:
        return container, _video_stream(path, container)
    except MediaError:
        container.close()
        raise


def _video_stream(path: Path, container: Any) -> Any:
    """Return the stream to decode. Raises MediaError naming what the file holds instead."""
    names = set(container.format.name.split(","))
    if names & PLAYLISTS:
        raise MediaError(path, "it is a playlist of other files", "join them into one video file with ffmpeg first")
    if "tty" in names:
        raise MediaError(path, "it is a text file, not a video", "name a video file")
    if any(name.endswith("_pipe") for name in names):
        raise MediaError(path, "it is a still picture, not a video", "name a video file")
    covers = Disposition.attached_pic
    streams = [stream for stream in container.streams.video if not stream.disposition & covers]
    if not streams:
        kinds = sorted({stream.type for stream in container.streams}) or ["nothing"]
        raise MediaError(
            path, f"it has no video stream (it holds {', '.join(kinds)})", "name a video file, or leave this one out"
        )
    if streams[0].codec_context is None:
        raise MediaError(
            path,
            "this build of FFmpeg has no decoder for its codec",
            "re-encode it to H.264 with an ffmpeg that has the decoder, and use the new file",
        )
    return streams[0]

"""Open a file and pick its video stream, or say what it is instead.

FFmpeg opens more than videos: a text file becomes a picture of its letters, a
playlist fetches what it names. Neither is footage whose hash means anything.
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
# A file counts as unreadable after this long without a byte from the disk or the network share.
STALL_VARIABLE = "VIDEONIAH_STALL_SECONDS"


def sha256_of(path: Union[str, Path]) -> str:
    """Return the hash of a regular, readable, non-empty file. Raises MediaError where it is none of that."""
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
        raise MediaError(path, "it may not be read", f"give yourself access (chmod u+r {path.name})") from None
    except OSError as error:
        raise MediaError(path, f"it cannot be read ({error.strerror})", "copy it to a sound disk") from error
    return digest.hexdigest()


def stall_seconds() -> float:
    """Return how long a file may give no byte: 60 seconds unless the environment says otherwise.

    An environment variable, because every process that decodes must know it. Raises UserError for no number above 0.
    """
    said = os.environ.get(STALL_VARIABLE) or "60"
    try:
        seconds = float(said)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise UserError(f"{STALL_VARIABLE} (--stall_timeout) is a number of seconds above 0, got {said!r}")
    return seconds


def open_video(path: Union[str, Path]) -> Tuple[Any, Any]:
    """Open `path` and return (container, video stream); the caller closes the container.

    The stream is the first that is not a cover picture. Raises MediaError.
    """
    path = Path(path)
    try:
        # An absolute path is never taken for a protocol ("concat:..."), and nothing but files is opened.
        container = av.open(
            str(path.absolute()), timeout=stall_seconds(), options={"protocol_whitelist": "file,crypto,data"}
        )
    except FFmpegError as error:
        raise MediaError(
            path,
            f"it is not a video, or lost its end: FFmpeg cannot open it ({error.strerror})",
            "check that it is whole and really a video",
        ) from error
    try:
        return container, _video_stream(path, container)
    except MediaError:
        container.close()
        raise


def _video_stream(path: Path, container: Any) -> Any:
    """Return the stream to decode, or say what the file holds instead."""
    names = set(container.format.name.split(","))
    if names & PLAYLISTS:
        raise MediaError(path, "it is a playlist of other files", "join them into one video file with ffmpeg first")
    if "tty" in names:
        raise MediaError(path, "it is not a video but text", "name a video file")
    if any(name.endswith("_pipe") for name in names):
        raise MediaError(path, "it is a still picture, not a video", "name a video file")
    covers = Disposition.attached_pic
    streams = [stream for stream in container.streams.video if not stream.disposition & covers]
    if not streams:
        kinds = sorted({stream.type for stream in container.streams}) or ["nothing"]
        raise MediaError(
            path, f"it has no video stream (it holds {', '.join(kinds)})", "name a file with pictures, or leave it out"
        )
    if streams[0].codec_context is None:
        raise MediaError(
            path,
            "this build of FFmpeg has no decoder for its video",
            "re-encode it to H.264 with an ffmpeg that has one, and use the new file",
        )
    return streams[0]

"""Open a video file and select its video stream.

FFmpeg opens more than videos: it draws the letters of a text file and opens the files that
a playlist names. Both are refused, because their hash does not identify the frames, and before
anything that they name is opened: FFmpeg may use the listed formats only, and playlists are
known by their first bytes, because decord's older FFmpeg takes no such list.
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

from niah.media.bounds import max_pixels, refuse_large, stall_seconds
from niah.media.errors import MediaError

FORMATS = (  # of FFmpeg, that hold their frames themselves
    "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,flv,live_flv,asf,asf_o,ogg,mxf,gif,apng,yuv4mpegpipe,nut,ivf,"
    "obu,av1,h264,hevc,vvc,h263,h261,vc1,vc1test,dv,dirac,cavsvideo,rm,wtv,swf,nsv,nuv,gxf,lxf,mjpeg,mjpeg_2000,mpjpeg,"
    "smjpeg,avs2,avs3,evc,roq,bink,smk,flic,dhav,webp"
)
PLAYLISTS = (b"#EXTM3U", b"ffconcat version", b"[playlist]", b"[Reference]", b"v=0\r\n", b"v=0\n")  # first bytes
PLAYLIST_TAGS = (b"<MPD", b"<CompositionPlaylist", b"<SmoothStreamingMedia", b"<smil")  # in text
PICTURES = {b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"BM": "BMP", b"II*\0": "TIFF", b"MM\0*": "TIFF"}
STILL_CODECS = ("mjpeg", "png", "bmp", "gif", "webp", "tiff", "jpegls", "jpeg2000")
HEAD_BYTES = 4096  # read to recognize what is no video


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


def open_video(path: Union[str, Path]) -> Tuple[Any, Any]:
    """Open `path` and return (container, video stream); the caller closes the container.

    The stream is the default one, never a cover picture. Raises MediaError.
    """
    path = Path(path)
    head = refuse_playlist(path)
    try:
        # FFmpeg never takes an absolute path for a protocol ("concat:..."), and the whitelists admit files only, of
        # formats that name no others. Tags of old files are in any encoding.
        container = av.open(
            str(path.absolute()),
            timeout=stall_seconds(),
            options={
                "protocol_whitelist": "file,crypto,data",
                "format_whitelist": FORMATS,
                "max_pixels": f"{max_pixels()}",
            },
            metadata_errors="replace",
        )
    except FFmpegError as error:
        _refuse_known(path, head)
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
    covers = Disposition.attached_pic
    streams = [stream for stream in container.streams.video if not stream.disposition & covers]
    streams.sort(key=lambda stream: (_is_still(stream), not stream.disposition & Disposition.default))  # else as stored
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
    refuse_large(path, streams[0].codec_context.width, streams[0].codec_context.height)
    return streams[0]


def repeats_frame(packet: Any) -> bool:
    """Return True for a packet that shows the frame before it once more, as empty ones of Theora do."""
    return not packet.size and packet.pts is not None and packet.stream.codec_context.name == "theora"


def refuse_playlist(path: Path) -> bytes:
    """Return the first bytes of a file. Raises MediaError if they are those of a list of other files."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # opening a FIFO must not wait for its writer
    except OSError as error:
        raise MediaError(path, f"it cannot be read ({error.strerror})", "check the path and the disk") from error
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise MediaError(path, "it is not a regular file", "copy the video to a file first")
        head = os.read(file, HEAD_BYTES)
    finally:
        os.close(file)
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(PLAYLISTS) or (b"\0" not in head and any(tag in head for tag in PLAYLIST_TAGS)):
        raise MediaError(path, "it is a playlist of other files", "join them into one video file with ffmpeg first")
    return head


def _refuse_known(path: Path, head: bytes) -> None:
    """Raise MediaError for what is known by its first bytes and is no video."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        kind = "an animated WebP, which this FFmpeg does not read" if b"ANIM" in head else "a still picture (WebP)"
        raise MediaError(path, f"it is {kind}, not a video", "convert it to a video file first")
    for start, kind in PICTURES.items():
        if head.startswith(start):
            raise MediaError(path, f"it is a still picture ({kind}), not a video", "name a video file")
    if head and all(byte >= 32 or byte in b"\t\r\n\f\x1b" for byte in head):
        raise MediaError(path, "it is a text file, not a video", "name a video file")


def _is_still(stream: Any) -> bool:
    """Return True for a stream of pictures, which beside another stream is a cover whatever its flags say."""
    return stream.codec_context is not None and stream.codec_context.name in STILL_CODECS

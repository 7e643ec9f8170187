"""Files as they are found in the wild: the right frames, or a refusal before anything else is opened."""

import os
import unicodedata
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from niah.media.bounds import CORRUPT_VARIABLE, HOURS_VARIABLE, PIXELS_VARIABLE, refuse_corrupt
from niah.media.container import open_video
from niah.media.decoders.base import load_decoder
from niah.media.errors import MediaError
from niah.media.resize import Resizer
from niah.media.scan import _continuous, scan
from niah.suite.config import Needles
from niah.suite.needles import VIDEO_SUFFIXES, _find_video
from niah.types import Sampling
from tests.helpers.media_samples import make, number_in, remux
from tests.niah.media.test_decoders import installed

WILD = Path(__file__).with_name("wild")
SIZE = Sampling("native", 96, 54)
needs_decord = pytest.mark.skipif(not installed("decord"), reason="decord is not installed")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def sixty(tmp_path_factory):
    """Frames 0 to 59 at 10 a second, B-frames."""
    return make(tmp_path_factory.mktemp("media") / "sixty.mp4", 60)


def frames(path, ordinals):
    return np.stack(list(load_decoder("pyav").read(scan(path), ordinals, SIZE)))


@pytest.mark.parametrize(
    "file, count, seconds",
    [
        ("one.ts", 200, 8.0),
        ("b.avi", 200, 10.0),
        ("coverfirst.mkv", 100, 4.0),  # the film, not the picture that is stored first
        ("tagged.mkv", 200, 8.0),  # a title in Latin-1
        ("still.ogv", 97, 3.88),  # nine packets hold a frame, the others are empty and repeat it
        ("slow5.mkv", 3, 10.04),  # its audio lasts 30 s
    ],
)
def test_a_file_has_the_frames_and_seconds_of_its_description(file, count, seconds):
    index = scan(WILD / file)
    assert (len(index.times), round(index.seconds, 3)) == (count, seconds)
    assert len(frames(WILD / file, range(0, count, 40))) == len(range(0, count, 40))


def test_frames_that_are_repeated_are_read_in_any_order():
    index = scan(WILD / "still.ogv")
    decoder = load_decoder("pyav")
    again = [next(iter(decoder.read(index, [ordinal], SIZE))) for ordinal in (50, 3, 96, 0)]
    assert all(np.array_equal(frame, again[0]) for frame in again)  # a still picture


def test_joined_recordings_go_on_where_the_first_ends(tmp_path):
    (tmp_path / "twice.ts").write_bytes((WILD / "one.ts").read_bytes() * 2)
    index = scan(tmp_path / "twice.ts")
    assert (len(index.times), index.seconds) == (400, 16.0)
    assert np.array_equal(frames(tmp_path / "twice.ts", [210, 399]), frames(WILD / "one.ts", [10, 199]))


@pytest.mark.parametrize(
    "pts, times",
    [
        ([0, 1, 2, 3], [0, 1, 2, 3]),
        ([0, 3, 1, 2, 4, 7, 5, 6], [0, 3, 1, 2, 4, 7, 5, 6]),  # B-frames whose times are out of order
        ([*range(100), *range(100)], list(range(200))),
        ([*range(50, 100), *range(0, 50), *range(0, 50)], list(range(50, 200))),  # twice
        ([0, 2, 4, 600, 602], [0, 2, 4, 600, 602]),  # a gap is a gap
    ],
)
def test_times_fall_only_where_recordings_were_joined(pts, times):
    assert _continuous(pts, Fraction(1, 10)) == times


@needs_decord
@pytest.mark.parametrize("file", ["one.ts", "b.avi"])
def test_decord_is_refused_where_its_frames_are_others(file):
    with pytest.raises(MediaError, match=f"{file}: decord cannot read this file: its frame .* use --decoder pyav"):
        list(load_decoder("decord").read(scan(WILD / file), [0], SIZE))


@needs_decord
def test_decord_compares_a_file_once_and_counts_no_frame_of_that(sixty):
    decoder = load_decoder("decord")
    assert [number_in(frame) for frame in decoder.read(scan(sixty), [3, 59], SIZE)] == [3, 59]
    assert decoder.decoded[scan(sixty).sha256] == 2


PLAYLISTS = {
    "self.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nself.m3u8\n",
    "loop.mp4": "ffconcat version 1.0\nfile loop.mp4\n",
    "pipe.ts": "#EXTM3U\n#EXTINF:9,\npipe\n#EXT-X-ENDLIST\n",  # a FIFO: opening it would never end
    "bom.mkv": "\ufeff#EXTM3U\n#EXTINF:9,\npipe\n",
    "dash.mp4": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>pipe</BaseURL></MPD>\n',
    "call.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
}


@pytest.mark.parametrize("name, text", PLAYLISTS.items())
def test_what_names_other_files_is_refused_and_nothing_it_names_is_opened(name, text, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(MediaError, match=f"{name}: it is a playlist of other files"):
        scan(tmp_path / name)


@needs_decord
def test_decord_opens_no_playlist_that_the_scan_took_for_a_video(sixty, tmp_path):
    index = scan(sixty)
    polyglot = tmp_path / "polyglot.mp4"
    polyglot.write_bytes(PLAYLISTS["pipe.ts"].encode() + sixty.read_bytes())
    object.__setattr__(index, "path", str(polyglot))
    with pytest.raises(MediaError, match="playlist"):
        list(load_decoder("decord").read(index, [0], SIZE))


def test_formats_that_open_other_files_are_not_among_those_ffmpeg_may_use(tmp_path):
    (tmp_path / "list.mp4").write_bytes(b"\n" * 5000 + PLAYLISTS["loop.mp4"].encode())  # behind what is looked at
    with pytest.raises(MediaError):
        open_video(tmp_path / "list.mp4")


WEBP = b"RIFF\x40\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0\x07\0\0\x07\0\0ANIM\x06\0\0\0\0\0\0\0\0\0"


@pytest.mark.parametrize(
    "name, content, cause",
    [
        ("moving.webp", WEBP, "an animated WebP, which this FFmpeg does not read"),
        ("still.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 64, r"still picture \(PNG\)"),
        ("notes.txt", b"words " * 40, "a text file"),
    ],
)
def test_what_is_no_video_is_named(name, content, cause, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MediaError, match=cause):
        scan(tmp_path / name)


def test_a_raw_stream_without_times_is_named_with_the_remedy(sixty, tmp_path):
    raw = remux(sixty, tmp_path / "raw.h264")
    with pytest.raises(MediaError, match="has no presentation time, as in a raw stream .*re-encode it"):
        scan(raw)


def test_a_frame_after_three_thousand_million_seconds_is_refused_by_the_limit_that_names_itself(monkeypatch):
    with pytest.raises(MediaError, match=f"3,000,000,000 s after the first, .*100 hours; .*{HOURS_VARIABLE}"):
        scan(WILD / "gap.mkv")
    monkeypatch.setenv(HOURS_VARIABLE, "1e6")
    assert len(scan(WILD / "gap.mkv").times) == 3


def test_frames_beyond_the_limit_of_pixels_are_refused_before_one_is_decoded(sixty, monkeypatch):
    monkeypatch.setenv(PIXELS_VARIABLE, "3000")  # the frames have 64 x 48
    with pytest.raises(MediaError, match="64x48 pixels, the limit is 3,000; .*VIDEONIAH_MAX_PIXELS"):
        open_video(sixty)


def test_flagged_packets_are_counted_and_refused_above_a_share(monkeypatch):
    refuse_corrupt("a.ts", 1, 100)
    with pytest.raises(MediaError, match="2 of 100 packets are flagged as corrupt"):
        refuse_corrupt("a.ts", 2, 100)
    monkeypatch.setenv(CORRUPT_VARIABLE, "0.5")
    refuse_corrupt("a.ts", 2, 100)


def test_packets_lost_from_a_transport_stream_are_counted(tmp_path, monkeypatch):
    monkeypatch.setenv(CORRUPT_VARIABLE, "0.9")
    blocks = [(WILD / "one.ts").read_bytes()[start : start + 188] for start in range(0, 72380, 188)]
    (tmp_path / "holes.ts").write_bytes(b"".join(block for number, block in enumerate(blocks) if number % 90 != 60))
    try:
        assert scan(tmp_path / "holes.ts").corrupt > 0
    except MediaError as refused:  # the hole may lie where FFmpeg gives up
        assert "it is damaged" in str(refused)


def test_a_change_of_resolution_keeps_the_aspect_of_each_frame(sixty):
    resizer = Resizer(scan(sixty))  # 64 x 48
    wide = np.full((24, 96, 3), 255, np.uint8)
    rows = np.flatnonzero(resizer.from_rgb(wide, Sampling("native", 64, 64, "pad")).any(axis=(1, 2)))
    assert len(rows) == 16  # 4:1, not 4:3
    same = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 255, np.uint8), format="rgb24")
    assert resizer.from_frame(same, Sampling("native", 64, 64, "pad")).any(axis=(1, 2)).sum() == 48


@pytest.mark.parametrize("suffix", [".m2ts", ".mts", ".vob", ".mxf", ".y4m"])
def test_suffixes_of_cameras_and_discs_are_known(suffix):
    assert suffix in VIDEO_SUFFIXES


@pytest.mark.parametrize(
    "asked, stored",
    [("naïve.mp4", unicodedata.normalize("NFD", "naïve.mp4")), ("clip", "clip.MP4"), ("clip.mp4", "clip.MP4")],
)
def test_a_name_is_found_in_another_spelling(asked, stored, tmp_path):
    (tmp_path / stored).write_bytes(b"x")
    assert _find_video(asked, tmp_path, "line 1", Needles()).name == stored

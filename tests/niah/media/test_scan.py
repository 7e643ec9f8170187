"""Scanning files: unusual files are indexed correctly, broken ones are refused by name."""

import json
import os
from fractions import Fraction

import pytest

from niah.io import cache_folder
from niah.media.decoders.base import load_decoder
from niah.media.errors import MediaError
from niah.media.scan import scan
from niah.types import Sampling
from tests.helpers.media_samples import SHARED, make, number_in, remux

NATIVE = Sampling("native", 64, 48)
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/videos is absent")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def sixty(tmp_path_factory):
    """Frames 0 to 59 at 10 a second, B-frames, keyframes at 0, 8, 16 ... 56 (a scene cut every eighth)."""
    return make(tmp_path_factory.mktemp("media") / "sixty.mp4", 60)


def shown(path):
    """Return the numbers drawn into the frames of a file."""
    index = scan(path)
    decoder = load_decoder("pyav")
    numbers = [number_in(frame) for frame in decoder.read(index, range(len(index.times)), NATIVE)]
    decoder.close()
    return numbers


def rows():
    if not SHARED.is_dir():
        return []
    return [json.loads(line) for line in (SHARED / "manifest.jsonl").read_text().splitlines()]


REFUSED = {
    "edge/corrupt_tail.mp4": "it is damaged: after 28 frames a packet does not decode",
    "edge/truncated.mp4": r"it is truncated: its header promises 3\.00 s, the data end after 1\.70 s",
    "edge/audio_only.ts": r"it has no video stream \(it holds audio\)",
    "edge/empty.mp4": r"the file is empty \(0 bytes\)",
    "edge/not_a_video.mp4": "it is a text file, not a video",
}
WHOLE = [row for row in rows() if row["file"] not in REFUSED]
SMALL = [row for row in WHOLE if row["frames"] * row["width"] < 250_000]
LARGE = [row for row in WHOLE if row not in SMALL]


@needs_shared
@pytest.mark.parametrize("row", SMALL, ids=[row["file"] for row in SMALL])
def test_small_shared_file_holds_the_frames_of_the_manifest(row):
    index = scan(SHARED / row["file"])
    assert (len(index.times), round(float(index.times[0] * index.time_base), 3)) == (row["frames"], row["start_s"])


@needs_shared
@pytest.mark.slow
@pytest.mark.parametrize("row", LARGE, ids=[row["file"] for row in LARGE])
def test_large_shared_file_holds_the_frames_of_the_manifest(row):
    assert len(scan(SHARED / row["file"]).times) == row["frames"]


@needs_shared
@pytest.mark.parametrize("file, cause", REFUSED.items())
def test_broken_shared_file_is_refused_with_its_name_and_cause(file, cause):
    with pytest.raises(MediaError, match=f"{file}: {cause}.*; "):
        scan(SHARED / file)


@needs_shared
def test_rotated_file_is_indexed_as_displayed():
    index = scan(SHARED / "edge/rotated_90.mov")
    assert (index.width, index.height, index.rotation) == (320, 568, 270)  # stored 568 wide, 320 high


@needs_shared
@pytest.mark.parametrize("file", ["haystacks/highway.avi", "edge/vc1.wmv"])
def test_times_on_the_wrong_frames_are_sorted_and_allow_no_seeking(file):
    index = scan(SHARED / file)
    assert (list(index.times), index.keyframes) == (sorted(index.pts), ())


@needs_shared
@pytest.mark.parametrize(
    "file",
    ["needles/telescope.mkv", "needles/frog_toy.webm", "haystacks/trap_infrared.avi", "edge/vc1.wmv", "edge/av1.mkv"],
)
def test_file_without_its_second_half_is_refused(file, tmp_path):
    data = (SHARED / file).read_bytes()
    half = tmp_path / os.path.basename(file)
    half.write_bytes(data[: len(data) // 2])
    with pytest.raises(MediaError, match=f"{half.name}: it is truncated: its header promises"):
        scan(half)


def test_every_frame_and_its_time_are_found(sixty):
    index = scan(sixty)
    assert (shown(sixty), index.duration, index.count("1")) == (list(range(60)), 6, 6)


def test_edit_list_hides_the_frames_before_it(sixty, tmp_path):
    cut = remux(sixty, tmp_path / "edit.mp4", None, Fraction(13, 10), {"avoid_negative_ts": "disabled"})
    assert (shown(cut), scan(cut).times[0]) == (list(range(13, 60)), 0)


@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv", "cut.ts"])
def test_stream_copied_cut_between_keyframes_starts_at_the_next(sixty, tmp_path, name):
    cut = remux(sixty, tmp_path / name, lambda position, packet: position >= 14)
    assert shown(cut) == list(range(16, 60))


def test_fragmented_file_without_frame_count_is_counted(sixty, tmp_path):
    assert shown(remux(sixty, tmp_path / "f.mp4", options={"movflags": "frag_keyframe+empty_moov"})) == list(range(60))


def test_fragmented_file_cut_short_is_refused(sixty, tmp_path):
    whole = remux(sixty, tmp_path / "f.mp4", options={"movflags": "frag_keyframe+empty_moov"}).read_bytes()
    (tmp_path / "short.mp4").write_bytes(whole[: len(whole) * 6 // 10])
    with pytest.raises(MediaError, match="short.mp4: it is truncated"):
        scan(tmp_path / "short.mp4")


def test_file_without_its_closing_index_is_refused(sixty, tmp_path):
    (tmp_path / "short.mp4").write_bytes(sixty.read_bytes()[:2000])
    with pytest.raises(MediaError, match="short.mp4: it is not a video, or its end is missing"):
        scan(tmp_path / "short.mp4")


def test_pixels_twice_as_wide_as_high_double_the_display_aspect(sixty, tmp_path):
    wide = remux(sixty, tmp_path / "wide.mp4", prepare=lambda new: setattr(new, "sample_aspect_ratio", Fraction(2)))
    assert scan(wide).display_aspect == Fraction(128, 48)


def test_odd_size_keeps_every_row_and_column(tmp_path):
    index = scan(make(tmp_path / "odd.mp4", 3, size=(65, 49)))
    assert (index.width, index.height) == (65, 49)


@pytest.mark.parametrize(
    "name, text, cause",
    [
        ("notes.txt", "a line of text\n" * 40, "a text file, not a video"),
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:6,\nsixty.mp4\n#EXT-X-ENDLIST\n", "playlist of other"),
        ("list.ffconcat", "ffconcat version 1.0\nfile sixty.mp4\n", "playlist of other files"),
    ],
)
def test_what_ffmpeg_opens_besides_videos_is_refused(sixty, tmp_path, name, text, cause):
    (tmp_path / "sixty.mp4").write_bytes(sixty.read_bytes())
    (tmp_path / name).write_text(text)
    with pytest.raises(MediaError, match=f"{name}: it is .*{cause}"):
        scan(tmp_path / name)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(MediaError, match="gone.mp4: there is no such file; check the path"):
        scan(tmp_path / "gone.mp4")


def test_folder_is_refused(tmp_path):
    with pytest.raises(MediaError, match="it is a folder; name a video file in it"):
        scan(tmp_path)


def test_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(MediaError, match="not a regular file"):
        scan(tmp_path / "pipe.mp4")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file_is_refused(sixty, tmp_path):
    locked = tmp_path / "locked.mp4"
    locked.write_bytes(sixty.read_bytes())
    locked.chmod(0)
    with pytest.raises(MediaError, match="permission denied; give yourself read access"):
        scan(locked)


def test_file_is_scanned_once_and_found_in_the_cache_under_another_name(sixty, tmp_path):
    (tmp_path / "first.mp4").write_bytes(sixty.read_bytes())
    first = scan(tmp_path / "first.mp4")
    (stored,) = (tmp_path / "cache" / "index").iterdir()
    values = json.loads(stored.read_text())
    stored.write_text(json.dumps({**values, "end": values["end"] + 1024}))
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(sixty.read_bytes())
    assert scan(copy).duration - first.duration == Fraction(1, 10)  # read from the file, not measured


@pytest.mark.parametrize("damage", [b"{", b"{}", b"[]", b"null", b"\xff\xfe", b"\0" * 9, b'{"times": 3}'])
def test_damaged_cache_entry_is_scanned_again(sixty, tmp_path, damage):
    copies = []
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(sixty.read_bytes())
        copies.append(scan(tmp_path / name).times)
        (stored,) = (tmp_path / "cache" / "index").iterdir()
        stored.write_bytes(damage)
    assert copies[0] == copies[1]


def test_a_relative_cache_stays_where_it_is_when_the_directory_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDEONIAH_CACHE", "cache")
    monkeypatch.chdir(tmp_path)
    assert cache_folder() == tmp_path / "cache"

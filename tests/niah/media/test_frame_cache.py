"""Frames from the cache are those that decoding gives, bit for bit, and nothing that happens to the cache is fatal."""

import contextlib
import errno
import os
import struct
import threading
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from niah.io import cache_folder
from niah.media.decoders import frame_cache, pyav
from niah.media.decoders.lossless import from_bytes, to_bytes
from niah.media.decoders.pyav import PyavDecoder
from niah.media.errors import MediaError
from niah.media.index import Index
from niah.media.scan import scan
from niah.media.video import SplicedVideo
from niah.types import Sampling, Source, Span, UserError
from tests.helpers.media_samples import SHARED, coloured, make, number_in
from tests.niah.media.test_decoders import READABLE, needs_shared
from tests.niah.media.test_reading import QUICK

SIZES = (Sampling("1", 64, 48), Sampling("1", 90, 131, "pad"))
ONE, OTHER = SIZES
WILD = (Path(__file__).with_name("wild"), SHARED.parent / "wild" / "media")
WILD_FILES = ("b.avi", "coverfirst.mkv", "one.ts", "slow5.mkv", "still.ogv", "tagged.mkv", "twice.ts")
FILMS = ("big_buck_bunny", "caminandes_llamigos", "tears_of_steel")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, tmp_path_factory, monkeypatch):
    """An empty cache, but for the indexes of `test_reading`: scanning takes longer than these tests."""
    indexes = tmp_path_factory.getbasetemp() / "reading-cache" / "index"
    indexes.mkdir(parents=True, exist_ok=True)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "index").symlink_to(indexes)
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def film(tmp_path):
    """Frames 0 to 79 at ten a second, of which eight are wanted."""
    return make(tmp_path / "film.mp4", 80)


WANTED = range(0, 80, 10)


def read(index, ordinals, sampling=ONE, **how):
    """Return frames, and how many were decoded for them, as a new process would."""
    with contextlib.closing(PyavDecoder(**how)) as decoder:
        return list(decoder.read(index, ordinals, sampling)), sum(decoder.decoded.values())


def kept(index=None):
    """Return the files of the cache, or those of one source."""
    return sorted((cache_folder() / "frames").glob(f"{index.sha256 if index else ''}*/*"))


def compare(index, monkeypatch):
    """Read some frames at two sizes without the cache, with an empty one, and from it."""
    monkeypatch.setattr(pyav, "is_sparse", lambda *_: True)
    ordinals = range(0, min(len(index.times), 40), 9)
    plain = [read(index, ordinals, size, keeps=False)[0] for size in SIZES]
    for fresh in (True, False):
        for size, expected in zip(SIZES, plain, strict=True):
            found, decoded = read(index, ordinals, size)
            assert np.array_equal(found, expected)
            assert (decoded == 0) == (size is OTHER or not fresh)
    assert len(kept(index)) == len(ordinals)


@needs_shared
@pytest.mark.parametrize("file", [pytest.param(f, marks=[] if f in QUICK else pytest.mark.slow) for f in READABLE])
def test_every_shared_file_gives_the_same_pixels(file, monkeypatch):
    compare(scan(SHARED / file), monkeypatch)


@pytest.mark.parametrize("name", WILD_FILES)
def test_every_wild_file_gives_the_same_pixels(name, monkeypatch):
    path = next((folder / name for folder in WILD if (folder / name).is_file()), None)
    if path is None:
        pytest.skip(f"{name} is absent")
    compare(scan(path), monkeypatch)


@pytest.mark.parametrize("name", FILMS)
def test_films_give_the_same_pixels(name, monkeypatch):
    path = SHARED / "open" / "films" / f"{name}.mp4"
    if not path.is_file():
        pytest.skip(f"{path.name} is absent")
    compare(by_packets(path), monkeypatch)


def by_packets(path):
    """Return the index of a film whose packets tell the truth; to scan it takes half a minute."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        times = tuple(sorted(packet.pts for packet in packets))
        size, base = (stream.width, stream.height), Fraction(stream.time_base)
    return Index(
        str(path), "0" * 64, *size, 0, Fraction(1), base, times, times[-1] + 1, (0,), state=frame_state(path)
    )  # fmt: skip


def frame_state(path):
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


FORMATS = {  # codec, pixel format, options, suffix
    "ten bits": ("libx264", "yuv420p10le", {}, "mp4"),
    "ten bits, chroma elsewhere": ("libx264", "yuv420p10le", {"x264-params": "chromaloc=2"}, "mp4"),
    "full range": ("libx264", "yuvj420p", {}, "mp4"),
    "bt2020": ("libx264", "yuv420p", {"x264-params": "colormatrix=bt2020nc"}, "mp4"),
    "4:2:2": ("libx264", "yuv422p", {}, "mp4"),
    "4:4:4": ("libx264", "yuv444p", {}, "mp4"),
    "gray": ("libx264", "gray", {}, "mp4"),
    "rgb": ("libx264rgb", "bgr24", {}, "mp4"),
    "packed rgb": ("qtrle", "rgb24", {}, "mov"),
    "interlaced": ("libx264", "yuv420p", {"x264-params": "tff=1"}, "mp4"),
    "interlaced mpeg-2": ("mpeg2video", "yuv420p", {"flags": "+ildct+ilme"}, "mpg"),
    "hevc": ("libx265", "yuv420p", {"x265-params": "log-level=none"}, "mp4"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_kind_of_picture_gives_the_same_pixels(name, tmp_path, monkeypatch):
    codec, pixels, options, suffix = FORMATS[name]
    compare(scan(coloured(tmp_path / f"clip.{suffix}", codec, pixels, options)), monkeypatch)


def test_a_second_pass_and_the_next_model_decode_nothing(film, tmp_path):
    index = scan(film)
    source = Source("film", "film", index.path, index.sha256, index.count("1"), index.seconds)
    decoded = []
    for sampling in (ONE, ONE, OTHER):
        decoder = PyavDecoder()
        video = SplicedVideo((Span("film", 0, 8),), {"film": source}, sampling, decoder, 1.0, tmp_path)
        assert [number_in(frames[0]) for _, frames in video.iterate(1)] == list(WANTED)
        decoded.append(sum(decoder.decoded.values()))
        decoder.close()
    assert decoded[0] > 8 and decoded[1:] == [0, 0]


@pytest.mark.parametrize("rate, files", [("2", 16), ("2.5", 20), ("3", 0), ("native", 0)])
def test_frames_are_kept_where_at_most_one_in_four_is_wanted(film, rate, files):
    index = scan(film)
    read(index, index.ordinals(0, index.count(rate), rate), Sampling(rate, 64, 48))
    assert len(kept()) == files


@pytest.mark.parametrize(
    "damage", [lambda data: b"", lambda data: data[:-9], lambda data: data[:99] + b"x" + data[100:]]
)
def test_damaged_frames_are_decoded_again_and_mended(film, damage):
    index = scan(film)
    expected, _ = read(index, WANTED)
    whole = [path.read_bytes() for path in kept()]
    for path in kept()[2:5]:
        path.write_bytes(damage(path.read_bytes()))
    found, decoded = read(index, WANTED)
    assert np.array_equal(found, expected) and 3 <= decoded < 80
    assert [path.read_bytes() for path in kept()] == whole
    assert read(index, WANTED)[1] == 0


def test_what_has_the_right_checksum_and_no_picture_is_damaged():
    frame = av.VideoFrame(16, 16, "yuv420p")
    assert from_bytes(to_bytes(frame)).width == 16
    shown = to_bytes(frame)[4:9]
    for packet in (b"MAGY", bytes(400)):
        assert from_bytes(struct.pack("<I", zlib.crc32(shown + packet)) + shown + packet) is None


def test_a_source_replaced_under_the_same_name_is_not_served(film, tmp_path):
    read(scan(film), WANTED)
    other = make(tmp_path / "other.mp4", 80, keyframe_interval=7, size=(80, 48))
    os.replace(other, film)
    found, decoded = read(scan(film), WANTED)
    assert decoded > 0 and np.array_equal(found, read(scan(film), WANTED, keeps=False)[0])


def test_frames_of_a_file_written_over_while_it_is_read_are_not_kept_under_its_name(film, monkeypatch):
    index = scan(film)
    decoder = PyavDecoder()
    frames = decoder.read(index, WANTED, ONE)
    next(frames)
    before = len(kept(index))
    with open(film, "r+b") as file:
        file.write(file.read(4))
    with contextlib.suppress(MediaError):
        list(frames)
    assert len(kept(index)) == before == 1


def test_a_file_replaced_by_one_with_the_same_times_is_refused_where_it_is_opened(film, tmp_path):
    index = scan(film)
    os.replace(make(tmp_path / "other.mp4", 80, keyframe_interval=7), film)
    with pytest.raises(MediaError, match=r"film\.mp4: it does not read as it was scanned: the file has changed since"):
        read(index, WANTED)


def test_a_cache_that_cannot_be_written_is_done_without_and_named_once(film, capsys):
    (cache_folder() / "frames").write_text("a file where the folder should be")
    index = scan(film)
    for _ in range(2):
        found, _ = read(index, WANTED)
        assert [number_in(frame) for frame in found] == list(WANTED)
    (line,) = capsys.readouterr().err.splitlines()
    assert "no more decoded frames are kept" in line


def test_a_full_disk_is_named_once_and_costs_nothing_else(film, monkeypatch, capsys):
    def full(path, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(frame_cache, "replace_file", full)
    found, _ = read(scan(film), WANTED)
    assert [number_in(frame) for frame in found] == list(WANTED)
    (line,) = capsys.readouterr().err.splitlines()
    assert "No space left on device" in line


def test_a_full_cache_forgets_the_film_unused_for_longest(tmp_path, monkeypatch, capsys):
    films = [scan(make(tmp_path / f"{name}.mp4", 80 + name)) for name in range(3)]
    read(films[0], WANTED)
    size = sum(path.stat().st_size for path in kept())
    monkeypatch.setenv("VIDEONIAH_FRAMES_GIB", str(2.5 * size / 2**30))
    read(films[1], WANTED)
    read(films[0], WANTED)  # from the cache, which counts as use
    for film, seconds in zip(films, (2, 1), strict=False):
        folder = kept(film)[0].parent
        os.utime(folder, (seconds, seconds))
    read(films[2], WANTED)
    assert [len(kept(film)) for film in films] == [8, 0, 8]
    monkeypatch.setenv("VIDEONIAH_FRAMES_GIB", str(0.5 * size / 2**30))
    found, _ = read(scan(make(tmp_path / "long.mp4", 79)), WANTED)
    assert [number_in(frame) for frame in found] == list(WANTED)
    assert sum(path.stat().st_size for path in kept()) <= size / 2
    assert "it holds all that VIDEONIAH_FRAMES_GIB and the disk allow" in capsys.readouterr().err


def test_none_are_kept_or_used_where_none_may_be(film, monkeypatch):
    monkeypatch.setenv("VIDEONIAH_FRAMES_GIB", "0")
    assert read(scan(film), WANTED)[1] > 0
    assert not (cache_folder() / "frames").exists()
    monkeypatch.delenv("VIDEONIAH_FRAMES_GIB")
    read(scan(film), WANTED)
    monkeypatch.setenv("VIDEONIAH_FRAMES_GIB", "0")
    assert read(scan(film), WANTED)[1] > 0


@pytest.mark.parametrize("setting", ["-1", "much", "nan"])
def test_a_bound_that_is_none_is_refused(setting, monkeypatch):
    monkeypatch.setenv("VIDEONIAH_FRAMES_GIB", setting)
    with pytest.raises(UserError, match="VIDEONIAH_FRAMES_GIB must be a number of GiB, or 0 to keep none"):
        PyavDecoder()


def test_several_may_fill_and_read_the_cache_at_once(film):
    index, found = scan(film), {}
    threads = [
        threading.Thread(target=lambda number=number: found.update({number: read(index, WANTED)[0]}))
        for number in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all([number_in(frame) for frame in found[number]] == list(WANTED) for number in range(4))
    assert read(index, WANTED)[1] == 0

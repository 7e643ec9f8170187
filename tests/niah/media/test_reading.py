"""Frames that are skipped, read by threads or read ahead are those that a plain loop over the file gives, bit for bit."""

import random
import threading

import av
import numpy as np
import pytest

from niah.media.decoders import pyav, runs
from niah.media.decoders.base import load_decoder
from niah.media.decoders.reader import FrameReader, marks_unreferenced
from niah.media.decoders.runs import cut_runs
from niah.media.errors import MediaError
from niah.media.in_order import in_order
from niah.media.resize import Resizer
from niah.media.scan import scan
from niah.types import Sampling
from tests.helpers import field_pictures
from tests.helpers.media_samples import SHARED, coloured, make, number_in
from tests.niah.media.test_decoders import READABLE, needs_shared

SMALL = Sampling("native", 64, 48)
QUICK = [  # the others take up to four seconds of CPU each
    "edge/hevc_10bit_hdr.mp4", "edge/vfr.mp4", "edge/odd_size_444.mp4", "edge/rotated_90.mov", "edge/vp9_10bit.webm",
    "edge/fragmented_vp9.mp4", "edge/av1.mkv", "haystacks/highway.avi", "haystacks/trap_dry_forest.mp4",
    "haystacks/chroma_man.mp4", "haystacks/car_park.mp4", "needles/newsroom_1940.mp4", "needles/telescope.mkv",
]  # fmt: skip


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path_factory.getbasetemp() / "reading-cache"))


@pytest.fixture
def three_readers(monkeypatch):
    """Cut at every keyframe and read with three threads, whatever the machine has."""
    monkeypatch.setattr(pyav, "SHORTEST_RUN", 1)
    monkeypatch.setattr(runs, "cores", lambda: 3)


def plain(index, ordinals):
    """Return frames by decoding every frame of a file in one loop, one thread, no seek."""
    wanted, resizer, found = set(ordinals), Resizer(index), {}
    with av.open(index.path) as container:
        for ordinal, frame in enumerate(container.decode(video=0)):
            if ordinal in wanted:
                found[ordinal] = resizer.from_frame(frame, SMALL)
    return [found[ordinal] for ordinal in ordinals]


def compare(file):
    index = scan(SHARED / file)
    count = len(index.times)
    chance = random.Random(file)
    sparse = index.ordinals(0, index.count("2"), "2")
    some = sorted(chance.sample(range(count), min(count, 40)))
    decoder = load_decoder("pyav")
    expected = dict(zip([*sparse, *some], plain(index, [*sparse, *some]), strict=True))
    for ordinals in (sparse, some, sparse[3:9], some[::-1][:1]):
        for ordinal, frame in zip(ordinals, decoder.read(index, ordinals, SMALL), strict=True):
            assert np.array_equal(frame, expected[ordinal]), ordinal


@needs_shared
@pytest.mark.parametrize("file", QUICK)
def test_frames_are_those_of_a_plain_loop(file, three_readers):
    compare(file)


@needs_shared
@pytest.mark.slow
@pytest.mark.parametrize("file", [file for file in READABLE if file not in QUICK])
def test_frames_of_every_other_file_are_those_of_a_plain_loop(file, three_readers):
    compare(file)


HARD = {  # codec, options, suffix, size, frames
    "interlaced": ("libx264", {"x264-params": "tff=1:keyint=12:bframes=2"}, "ts", (96, 64), 60),
    "interlaced mpeg-2": ("mpeg2video", {"flags": "+ildct+ilme", "g": "12", "bf": "2"}, "mpg", (96, 64), 60),
    "one keyframe": ("libx264", {"x264-params": "keyint=infinite:scenecut=0:bframes=3"}, "mp4", (96, 64), 150),
    "open groups": ("libx264", {"x264-params": "open-gop=1:keyint=20:bframes=3"}, "mp4", (96, 64), 60),
    "hevc, three temporal layers": (
        "libx265", {"x265-params": "log-level=none:temporal-layers=3:keyint=20:bframes=3"}, "mp4", (96, 64), 60,
    ),
    "hevc, 1080p": (
        "libx265",
        {"preset": "ultrafast", "x265-params": "log-level=none:pools=none:frame-threads=1:qp=45:keyint=4:bframes=1"},
        "mp4", (1920, 1080), 8,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HARD)
def test_frames_of_hard_files_are_those_of_a_plain_loop(name, tmp_path, three_readers):
    codec, options, suffix, size, count = HARD[name]
    index = scan(coloured(tmp_path / f"film.{suffix}", codec, "yuv420p", options, size, count))
    decoder = load_decoder("pyav")
    for ordinals in (range(0, count, 5), range(3, count, 7), [count - 2]):
        found = list(decoder.read(index, ordinals, SMALL))
        assert np.array_equal(found, plain(index, ordinals))
    decoder.close()


@pytest.mark.parametrize("suffix, split", [("mkv", False), ("mkv", True), ("ts", False), ("mp4", True)])
def test_frames_whose_fields_are_pictures_of_their_own_are_those_of_a_plain_loop(
    suffix, split, tmp_path, three_readers
):
    index = scan(field_pictures.write(tmp_path / f"film.{suffix}", 48, split))
    assert len(index.times) == 48 and index.keyframes == (0, 12, 24, 36)
    decoder = load_decoder("pyav")
    for ordinals in (range(0, 48, 5), range(3, 48, 7), [46], range(48)):
        found = list(decoder.read(index, ordinals, SMALL))
        assert np.array_equal(found, plain(index, ordinals))
    assert len({frame[0, 0].tobytes() for frame in found}) == 48
    decoder.close()


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Frames 0 to 199 with B-frames, keyframes at 0, 50, 100 and 150."""
    return make(tmp_path_factory.mktemp("media") / "film.mp4", 200, keyframe_interval=50)


def test_unwanted_frames_that_no_frame_refers_to_are_not_decoded(film):
    index, decoder = scan(film), load_decoder("pyav")
    wanted = range(0, 200, 25)
    assert [number_in(frame) for frame in decoder.read(index, wanted, SMALL)] == list(wanted)
    unreferenced = sum(not packet_refers for packet_refers in referenced(film))
    assert unreferenced > 60
    assert decoder.decoded[index.sha256] <= 200 - unreferenced + len(wanted) + 10  # ten: B-frames after the last


def referenced(path):
    """Say of every packet of an H.264 file whether its slices may be referred to: nal_ref_idc, two bits."""
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            data, at = bytes(packet), 0
            while at < len(data):
                size = int.from_bytes(data[at : at + 4], "big")
                if data[at + 4] & 31 in (1, 5):  # a slice
                    yield bool(data[at + 4] >> 5 & 3)
                    break
                at += 4 + size


def test_a_read_that_ends_early_loses_nothing_of_the_next(film):
    index, decoder = scan(film), load_decoder("pyav")
    first = decoder.read(index, [2, 45], SMALL)
    next(first)
    first.close()
    assert [number_in(frame) for frame in decoder.read(index, range(3, 45), SMALL)] == list(range(3, 45))


def test_packets_that_name_another_frame_cost_a_second_read_and_no_frame(film, monkeypatch):
    true = FrameReader._ordinal_of
    monkeypatch.setattr(FrameReader, "_ordinal_of", lambda reader, packet: (true(reader, packet) or -1) - 1)
    wanted = list(range(0, 200, 7))
    assert [number_in(frame) for frame in load_decoder("pyav").read(scan(film), wanted, SMALL)] == wanted


def test_a_file_replaced_while_it_is_read_by_threads_is_refused(film, tmp_path, three_readers):
    index = scan(make(tmp_path / "clip.mp4", 60))
    make(tmp_path / "clip.mp4", 20)
    with pytest.raises(MediaError, match="clip.mp4: it does not read as it was scanned"):
        list(load_decoder("pyav").read(index, range(60), SMALL))


@pytest.mark.parametrize("codec", ["h264", "mpeg2video", "vp9", "mpeg4"])
def test_skipped_are_frames_of_codecs_that_mark_them_for_good(codec):
    named = type("Codec", (), {"name": codec, "extradata": None})
    assert marks_unreferenced(named) == (codec in ("h264", "mpeg2video"))


@pytest.mark.parametrize("layers, skips", [(0, False), (1, True), (2, False)])  # 0: unknown
def test_hevc_frames_are_skipped_where_there_is_one_temporal_layer(layers, skips):
    record = bytes([1] + [0] * 20 + [layers << 3 | 0b111, 0])  # ISO/IEC 14496-15, 8.3.3.1.2
    assert marks_unreferenced(type("Codec", (), {"name": "hevc", "extradata": record})) == skips
    assert not marks_unreferenced(type("Codec", (), {"name": "hevc", "extradata": b"\0\0\0\1" + bytes(30)}))


CUTS = [
    ([], (0, 10), 1, []),
    ([3, 4, 12, 25], (0, 10, 20), 1, [[3, 4], [12], [25]]),
    ([3, 4, 12, 25], (0, 10, 20), 15, [[3, 4, 12], [25]]),  # 10 is too close to 0
    ([12, 25, 26], (0, 10, 20), 10, [[12], [25, 26]]),
    ([3, 4, 12], (), 1, [[3, 4, 12]]),  # no seeking
]


@pytest.mark.parametrize("ordinals, keyframes, shortest, expected", CUTS)
def test_wanted_frames_are_cut_at_keyframes_into(ordinals, keyframes, shortest, expected):
    assert cut_runs(ordinals, keyframes, shortest) == expected


def test_items_of_threads_come_in_the_order_of_their_tasks():
    tasks = [lambda first=first: iter(range(first, first + 10)) for first in range(0, 100, 10)]
    assert list(in_order(tasks, threads=3, limit=4)) == list(range(100))


def test_an_exception_comes_where_its_item_would_have_come():
    def failing():
        yield 3
        raise MediaError("clip.mp4", "it is damaged", "copy it again")

    items = in_order([lambda: iter([1, 2]), failing, lambda: iter([4])], threads=3, limit=10)
    assert [next(items), next(items), next(items)] == [1, 2, 3]
    with pytest.raises(MediaError, match="it is damaged"):
        next(items)


def test_threads_work_ahead_as_far_as_the_limit_and_end_with_the_reader():
    made = []
    ahead = threading.Event()

    def endless():
        while True:
            made.append(len(made))
            if len(made) == 6:
                ahead.set()
            yield made[-1]

    before = threading.active_count()
    items = in_order([endless], threads=1, limit=4)
    assert next(items) == 0
    assert ahead.wait(60)  # one was taken, four are held, one waits for room
    assert len(made) == 6
    items.close()
    assert threading.active_count() == before

"""Every decoder returns the same frames, anywhere in every readable file, or names the reason why not."""

import importlib.util
import json
import random
from fractions import Fraction

import av
import numpy as np
import pytest

from niah.media.decoders.base import load_decoder
from niah.media.errors import MediaError
from niah.media.resize import fitted_size
from niah.media.scan import scan
from niah.types import Sampling, UserError
from tests.helpers.media_samples import SHARED, make, number_in, remux

SMALL = Sampling("native", 64, 48)
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/videos is absent")


def installed(name):
    if importlib.util.find_spec(name) is None:
        return False
    try:
        load_decoder(name)
    except UserError:  # torchcodec without a system FFmpeg
        return False
    return True


DECODERS = [
    pytest.param(
        name, marks=pytest.mark.skipif(not installed(name), reason=f"{name} is not installed or cannot be used")
    )
    for name in ("pyav", "decord", "torchcodec")
]
OTHERS = DECODERS[1:]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path_factory.getbasetemp() / "decoders-cache"))


@pytest.fixture(scope="module")
def sixty(tmp_path_factory):
    """Frames 0 to 59 at 10 a second, B-frames, keyframes at 0, 8, 16 ... 56."""
    return make(tmp_path_factory.mktemp("media") / "sixty.mp4", 60)


def numbers(decoder, path, ordinals):
    return [number_in(frame) for frame in decoder.read(scan(path), ordinals, SMALL)]


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize(
    "ordinals", [range(60), [0, 17, 18, 40, 59], [59], [3, 3, 3], range(20, 60, 7)], ids=lambda o: f"{list(o)[:3]}..."
)
def test_requested_frames_are_returned(name, ordinals, sixty):
    assert numbers(load_decoder(name), sixty, ordinals) == list(ordinals)


@pytest.mark.parametrize("name", DECODERS)
def test_going_back_returns_the_earlier_frame(name, sixty):
    decoder = load_decoder(name)
    assert [numbers(decoder, sixty, [n])[0] for n in (50, 5, 51, 4, 4, 0)] == [50, 5, 51, 4, 4, 0]


@pytest.mark.parametrize("name", DECODERS)
def test_edit_list_and_stream_copied_cut_show_what_a_player_shows(name, sixty, tmp_path):
    edit = remux(sixty, tmp_path / "edit.mp4", None, Fraction(13, 10), {"avoid_negative_ts": "disabled"})
    cut = remux(sixty, tmp_path / "cut.mkv", lambda position, packet: position >= 14)
    decoder = load_decoder(name)
    assert numbers(decoder, edit, [0, 20, 46]) == [13, 33, 59]
    assert numbers(decoder, cut, [0, 20, 43]) == [16, 36, 59]


@pytest.mark.parametrize("name", DECODERS)
def test_odd_size_at_its_own_size(name, tmp_path):
    odd = make(tmp_path / "odd.mp4", 3, size=(65, 49))
    frames = list(load_decoder(name).read(scan(odd), [2], Sampling("native", 65, 49)))
    assert (frames[0].shape, number_in(frames[0])) == ((49, 65, 3), 2)


READABLE = [
    row["file"]
    for row in (json.loads(line) for line in (SHARED / "manifest.jsonl").read_text().splitlines())
    if row["frames"] and row["file"] not in ("edge/corrupt_tail.mp4", "edge/truncated.mp4")
] if SHARED.is_dir() else []  # fmt: skip
# Ten-bit colour is brought to eight by each decoder's own FFmpeg; the rest agrees to the bit.
TEN_BIT = {"edge/hevc_10bit_hdr.mp4": 1.0, "edge/vp9_10bit.webm": 0.5}  # mean difference of 256 levels
UNREADABLE = {
    "decord": {"edge/av1.mkv", "edge/no_duration.webm", "edge/vc1.wmv"},
    "torchcodec": {"haystacks/highway.avi", "edge/vc1.wmv"},
}
QUICK = [
    "haystacks/highway.avi",  # packed B-frames: 750 packets, 748 frames
    "edge/vp9_10bit.webm",  # hidden frames: 80 packets, 72 frames
    "edge/rotated_90.mov",
    "edge/vfr.mp4",
    "edge/hevc_10bit_hdr.mp4",
    "edge/odd_size_444.mp4",
    "edge/fragmented_vp9.mp4",
    "edge/vc1.wmv",
    "edge/no_duration.webm",
    "edge/av1.mkv",
    "needles/telescope.mkv",
]


def compare(name, file):
    index = scan(SHARED / file)
    last = len(index.times) - 1
    scattered = sorted({*random.Random(file).sample(range(last + 1), min(4, last + 1)), last})
    ours, theirs = load_decoder("pyav"), load_decoder(name)
    if file in UNREADABLE[name]:
        with pytest.raises(MediaError, match=f"{file}: {name} cannot read this file: .*use --decoder pyav"):
            list(theirs.read(index, [0, last], SMALL))
        return
    worst = 0.0
    for ordinals in (range(min(30, last + 1)), scattered, [0]):
        pairs = zip(ours.read(index, ordinals, SMALL), theirs.read(index, ordinals, SMALL), strict=True)
        worst = max(worst, *(float(np.abs(one.astype(int) - other).mean()) for one, other in pairs))
    assert worst <= TEN_BIT.get(file, 0.0)


@needs_shared
@pytest.mark.parametrize("file", QUICK)
@pytest.mark.parametrize("name", OTHERS)
def test_decoder_returns_the_frames_of_pyav(name, file):
    compare(name, file)


@needs_shared
@pytest.mark.slow
@pytest.mark.parametrize("file", [file for file in READABLE if file not in QUICK])
@pytest.mark.parametrize("name", OTHERS)
def test_decoder_returns_the_frames_of_pyav_in_every_other_file(name, file):
    compare(name, file)


@needs_shared
@pytest.mark.parametrize("file", QUICK)
def test_seeking_returns_the_frames_of_sequential_reading(file):
    index = scan(SHARED / file)
    some = sorted(random.Random(file).sample(range(len(index.times)), min(6, len(index.times))))
    through, seeking = load_decoder("pyav"), load_decoder("pyav")
    whole = list(through.read(index, range(len(index.times)), SMALL))
    for ordinal in reversed(some):
        (frame,) = seeking.read(index, [ordinal], SMALL)
        assert np.array_equal(frame, whole[ordinal])


@needs_shared
def test_rotated_file_is_read_upright():
    index = scan(SHARED / "edge/rotated_90.mov")
    (upright,) = load_decoder("pyav").read(index, [0], Sampling("native", 320, 568))
    with av.open(index.path) as container:
        stored = next(container.decode(video=0)).to_ndarray(format="rgb24")  # (320, 568, 3), lying
    assert np.array_equal(upright, np.rot90(stored, -1))  # a quarter clockwise


def test_file_is_decoded_once_when_read_in_pieces(sixty):
    decoder, index = load_decoder("pyav"), scan(sixty)
    for start in range(0, 60, 7):
        list(decoder.read(index, range(start, min(start + 7, 60)), SMALL))
    assert decoder.decoded[index.sha256] == 60


def test_seek_decodes_from_the_last_keyframe_only(sixty):
    decoder, index = load_decoder("pyav"), scan(sixty)
    assert numbers(decoder, sixty, [59]) == [59]
    assert decoder.decoded[index.sha256] <= 4 + 8  # from 56; one keyframe earlier where B-frames lead it


def test_open_files_are_bounded(tmp_path):
    decoder = load_decoder("pyav")
    for number in range(9):
        numbers(decoder, make(tmp_path / f"{number}.mp4", 2 + number), [0])
    assert len(decoder._readers) == 4


def test_file_with_fewer_frames_than_scanned_is_refused_not_shortened(tmp_path):
    index = scan(make(tmp_path / "clip.mp4", 30))
    make(tmp_path / "clip.mp4", 20)
    with pytest.raises(MediaError, match="clip.mp4: it does not read as it was scanned"):
        list(load_decoder("pyav").read(index, range(30), SMALL))


@pytest.mark.parametrize(
    "aspect, sampling, size",
    [
        (Fraction(16, 9), Sampling("1", 384, 384), (384, 384)),  # stretch
        (Fraction(16, 9), Sampling("1", 384, 384, "pad"), (384, 216)),
        (Fraction(9, 16), Sampling("1", 384, 384, "pad"), (216, 384)),
        (Fraction(1), Sampling("1", 400, 300, "pad"), (300, 300)),
        (Fraction(1000), Sampling("1", 64, 64, "pad"), (64, 1)),
    ],
)
def test_picture_fills(aspect, sampling, size):
    assert fitted_size(aspect, sampling) == size


def test_padded_picture_of_wide_pixels_has_black_bars_above_and_below(sixty, tmp_path):
    wide = remux(sixty, tmp_path / "wide.mp4", prepare=lambda new: setattr(new, "sample_aspect_ratio", Fraction(3, 2)))
    (frame,) = load_decoder("pyav").read(scan(wide), [59], Sampling("native", 64, 64, "pad"))
    rows = np.flatnonzero(frame.any(axis=(1, 2)))
    assert (rows[0], rows[-1]) == (16, 47)  # 64 x 48 with pixels 3:2 is 2:1, so 64 x 32


def test_unknown_decoder_is_refused_with_a_guess():
    with pytest.raises(UserError, match="no decoder is called 'decrod'. Did you mean 'decord'. Known: pyav, decord"):
        load_decoder("decrod")


@pytest.mark.skipif(importlib.util.find_spec("torchcodec") is not None, reason="torchcodec is installed")
def test_decoder_that_is_not_installed_says_what_to_install():
    with pytest.raises(
        UserError, match="'torchcodec' is not installed, or cannot be used .*pip install 'videoniah.torchcodec.'"
    ):
        load_decoder("torchcodec")


def test_decoder_names_itself_with_its_ffmpeg():
    assert "FFmpeg" in load_decoder("pyav").name

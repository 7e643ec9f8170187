"""A spliced video: the right frames in the right order, named truly, decoded once."""

import dataclasses
import shutil
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from niah.media.decoders.base import load_decoder
from niah.media.errors import MediaError
from niah.media.scan import scan
from niah.media.video import SplicedVideo
from niah.types import Sampling, Source, Span
from tests.helpers.fake_runs import make_case
from tests.helpers.media_samples import SHARED, make, number_in, picture

TEN = Sampling("10", 64, 48)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A haystack that shows 0 to 59 and a needle that shows 0 to 9 at a third of the haystack's size."""
    folder = tmp_path_factory.mktemp("media")
    return make(folder / "haystack.mp4", 60), make(folder / "needle.mp4", 10, size=(192, 144))


@pytest.fixture
def sources(files, tmp_path, monkeypatch):
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "cache"))
    indices = [scan(path) for path in files]
    return {
        name: Source(name, f"sha256:{index.sha256}", index.path, index.sha256, index.count("10"), index.seconds)
        for name, index in zip(("hay", "needle"), indices, strict=True)
    }


def splice(sources, tmp_path, *spans, sampling=TEN, decoder=None):
    fps = 10.0 if sampling.rate == "native" else float(Fraction(sampling.rate))
    return SplicedVideo(spans, sources, sampling, decoder or load_decoder("pyav"), fps, tmp_path / "renders")


@pytest.fixture
def video(sources, tmp_path):
    """Fourteen frames: haystack 20 to 24, needle 3 to 6, haystack 25 to 29."""
    return splice(sources, tmp_path, Span("hay", 20, 25), Span("needle", 3, 7), Span("hay", 25, 30))


SHOWN = [20, 21, 22, 23, 24, 3, 4, 5, 6, 25, 26, 27, 28, 29]


def test_spans_follow_one_another(video):
    assert [number_in(frame) for frame in video.frames(range(14))] == SHOWN


def test_frames_come_in_the_requested_order_even_twice(video):
    assert [number_in(frame) for frame in video.frames([13, 5, 5, 0])] == [29, 3, 3, 20]


def test_iterating_in_chunks_gives_every_frame_once(video):
    chunks = [(indices, [number_in(frame) for frame in frames]) for indices, frames in video.iterate(6)]
    assert chunks == [
        ((0, 1, 2, 3, 4, 5), SHOWN[:6]),
        ((6, 7, 8, 9, 10, 11), SHOWN[6:12]),
        ((12, 13), SHOWN[12:]),
    ]


def test_no_requested_frames_give_no_frames(video):
    assert video.frames([]).shape == (0, 48, 64, 3)


@pytest.mark.parametrize("index", [-1, 14])
def test_index_outside_is_an_index_error_with_the_range(video, index):
    with pytest.raises(IndexError, match=f"frame {index} of a video with frames 0 to 14"):
        video.frames([index])


def test_what_was_handed_out_is_logged(video):
    video.frames([3, 9, 3])
    assert video.handed_out == {3, 9}


def test_nothing_is_decoded_for_length_or_keys(sources, tmp_path):
    decoder = load_decoder("pyav")
    video = splice(sources, tmp_path, Span("hay", 0, 60), decoder=decoder)
    assert (len(video), len(video.keys(0, 60)), decoder.decoded.total(), video.handed_out) == (60, 60, 0, set())


def test_waiting_for_the_decoder_is_counted(video):
    before = video.decode_seconds
    video.frames([0])
    assert before == 0 < video.decode_seconds


def test_key_holds_source_time_preprocessing_decoder_and_number(video, sources):
    key = video.keys(5, 6)[0]
    needle = sources["needle"]
    assert key == (
        f"{needle.identity}@{needle.sha256[:16]}",
        "3/10",
        "64x48/stretch/rgb8",
        load_decoder("pyav").name,
        3,
    )


def test_same_frame_in_another_splice_has_the_same_key(video, sources, tmp_path):
    other = splice(sources, tmp_path, Span("needle", 0, 4), Span("hay", 29, 31))
    assert other.keys(4, 5) == video.keys(13, 14)


def test_key_of_a_repeated_frame_has_the_time_of_the_displayed_frame(sources, tmp_path):
    twice = splice(sources, tmp_path, Span("needle", 0, 4), sampling=Sampling("20", 64, 48))
    assert [key.time for key in twice.keys(0, 4)] == ["0", "0", "1/10", "1/10"]


def test_keys_outside_are_an_index_error(video):
    with pytest.raises(IndexError, match="frames 10 to 15 of a video with frames 0 to 14"):
        video.keys(10, 15)


def test_needle_and_haystack_come_in_one_size(video):
    assert video.frames([0, 5]).shape == (2, 48, 64, 3)


def test_source_is_decoded_once_by_cases_that_continue_where_the_last_ended(sources, tmp_path):
    decoder = load_decoder("pyav")
    for start in (0, 20, 40):
        video = splice(sources, tmp_path, Span("hay", start, start + 20), decoder=decoder)
        for _ in video.iterate(8):
            pass
    assert decoder.decoded[sources["hay"].sha256] == 60


def test_file_changed_since_the_cases_were_made_is_refused(sources, tmp_path):
    changed = make(tmp_path / "haystack.mp4", 61)
    old = sources["hay"]
    moved = {"hay": Source("hay", old.identity, str(changed), old.sha256, old.frames, old.seconds)}
    with pytest.raises(MediaError, match=r"haystack\.mp4: the file changed since the cases were made"):
        splice(moved, tmp_path, Span("hay", 0, 2)).frames([0])


def test_blind_video_is_empty(sources, tmp_path):
    blind = splice(sources, tmp_path)
    assert (len(blind), blind.keys(0, 0), list(blind.iterate(4))) == (0, [], [])


def test_blind_video_cannot_be_rendered(sources, tmp_path):
    with pytest.raises(MediaError, match="its video has no frames to render"):
        splice(sources, tmp_path).path()


def test_rendered_video_decodes_to_the_spliced_frames(video):
    index = scan(video.path())
    frames = list(load_decoder("pyav").read(index, range(14), TEN))
    assert ([number_in(frame) for frame in frames], index.duration) == (SHOWN, Fraction(14, 10))


def test_rendering_hands_out_every_frame_and_happens_once(video):
    first = Path(video.path())
    made = first.stat().st_mtime_ns
    assert (video.path(), first.stat().st_mtime_ns, video.handed_out) == (str(first), made, set(range(14)))


def test_native_rate_reads_every_frame(sources, tmp_path):
    video = splice(sources, tmp_path, Span("hay", 57, 60), sampling=Sampling("native", 64, 48))
    assert [number_in(frame) for frame in video.frames([0, 1, 2])] == [57, 58, 59]


def test_seam_leaves_no_mark_of_the_source_size(sources, tmp_path):
    """The needle is three times as large; flat bars of both must still come out equally bright."""
    video = splice(sources, tmp_path, Span("hay", 9, 10), Span("needle", 9, 10))
    hay, needle = video.frames([0, 1]).astype(int)
    assert np.abs(hay[:, 2::8] - needle[:, 2::8]).max() <= 4  # inside the bars, away from their edges


MEMORY = """
import sys
import threading
from niah.tools.decoder_bench import peak_mib
from niah.media.decoders.base import load_decoder
from niah.media.scan import scan
from niah.media.video import SplicedVideo
from niah.types import Sampling, Source, Span

index = scan(sys.argv[1])
decoder = load_decoder(sys.argv[2])
idle = peak_mib()
sampling = Sampling("native", 384, 384)
source = Source("hay", "x", index.path, index.sha256, len(index.times), index.seconds)
video = SplicedVideo((Span("hay", 0, 10_000),), {"hay": source}, sampling, decoder, 24.0, "unused")
count = sum(len(frames) for _, frames in video.iterate(64))
print(count, round(peak_mib() - idle))
"""


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/videos is absent")
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="peak memory is read from Linux's /proc")
def test_reading_ten_thousand_frames_costs_at_most_300_mib():
    film = SHARED / "haystacks" / "bbb.mp4"
    root = Path(__file__).resolve().parents[3]
    scan(film)  # so that the child finds it measured
    run = subprocess.run([sys.executable, "-c", MEMORY, film, "pyav"], cwd=root, capture_output=True, text=True)
    count, mebibytes = map(int, run.stdout.split())
    assert (count, mebibytes <= 300) == (10_000, True), run.stdout


NATIVE = Sampling("10", fit="native")


def native(sources, tmp_path, *spans, canvas=None, sampling=NATIVE):
    return SplicedVideo(spans, sources, sampling, load_decoder("pyav"), 10.0, tmp_path / "renders", canvas)


def test_native_frames_are_the_haystacks_own_pixels_and_clips_are_fitted_to_them(sources, tmp_path):
    wide, tall = make(tmp_path / "wide.mp4", 12, size=(320, 192)), make(tmp_path / "tall.mp4", 12, size=(96, 192))
    own = {}
    for name, path in (("hay", wide), ("needle", tall)):
        index = scan(path)
        own[name] = Source(name, f"sha256:{index.sha256}", index.path, index.sha256, index.count("10"), index.seconds)
    video = native(own, tmp_path, Span("needle", 0, 2), Span("hay", 0, 3), canvas="hay")
    frames = video.frames(range(5))
    assert frames.shape == (5, 192, 320, 3)  # also of the clip that comes first
    with av.open(str(wide)) as file:
        decoded = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)][:3]
    np.testing.assert_array_equal(frames[2:], decoded)
    left = (320 - 96) // 2
    assert not frames[:2, :, :left].any() and not frames[:2, :, left + 96 :].any()  # bars beside the upright clip
    assert frames[:2, :, left : left + 96].any()
    assert {key.preprocessing for key in video.keys(0, 5)} == {"320x192/pad/rgb8"}


def test_a_shorter_side_is_limited_and_never_enlarged(sources, tmp_path):
    path = make(tmp_path / "wide.mp4", 12, size=(320, 192))
    index = scan(path)
    own = {"hay": Source("hay", "h", index.path, index.sha256, index.count("10"), index.seconds)}
    shapes = [
        native(own, tmp_path, Span("hay", 0, 1), sampling=Sampling("10", side, side, "shorter_side")).frames([0]).shape
        for side in (96, 500)
    ]
    assert shapes == [(1, 96, 160, 3), (1, 192, 320, 3)]


def test_the_canvas_of_a_case_is_its_haystacks_wherever_the_clip_lies():
    for depth in (0.0, 0.5, 1.0):
        assert make_case("n", depth=depth).canvas == "h"
    assert make_case("n", "swapped", depth=0.0).canvas == "h"
    assert make_case("n", "needle_only").canvas == "clip"
    assert make_case("n", "blind").canvas is None


class CountingDecoder:
    """Frames that show their ordinal; counts those that were decoded, and reports when there are `enough`."""

    name = "counting 1"

    def __init__(self, enough=0):
        self.decoded, self.count, self.enough, self.reached = {}, 0, enough, threading.Event()

    def read(self, index, ordinals, sampling):
        for ordinal in ordinals:
            self.count += 1
            if self.count >= self.enough:
                self.reached.set()
            yield picture(ordinal, sampling.width, sampling.height)


@pytest.mark.parametrize("numbers", [range(14), [2, 3, 5, 6, 9, 13], [13, 5, 5, 0]])
@pytest.mark.parametrize("step", [1, 3, 4])
def test_announced_frames_are_those_requested(video, numbers, step):
    numbers = list(numbers)
    video.announce(numbers)
    parts = [video.frames(numbers[start : start + step]) for start in range(0, len(numbers), step)]
    assert [number_in(frame) for part in parts for frame in part] == [SHOWN[number] for number in numbers]


@pytest.mark.parametrize("other", [[7], [0], [4, 3], [3, 5], []])
def test_other_frames_than_those_announced_are_read_all_the_same(video, other):
    video.announce(range(14))
    video.frames([0, 1, 2])
    assert [number_in(frame) for frame in video.frames(other)] == [SHOWN[number] for number in other]
    assert [number_in(frame) for frame in video.frames([3, 4, 5])] == SHOWN[3:6]


def test_announced_frames_are_decoded_while_the_model_computes_and_no_further(sources, tmp_path):
    decoder = CountingDecoder(enough=9)
    video = splice(sources, tmp_path, Span("hay", 0, 60), decoder=decoder)
    video.announce(range(60), ahead=6)
    video.frames([0, 1])
    assert decoder.reached.wait(60)  # two taken, six held, one waits for room
    video.close()
    assert decoder.count == 9


def test_nothing_is_handed_out_or_decoded_by_announcing(sources, tmp_path):
    decoder = CountingDecoder()
    video = splice(sources, tmp_path, Span("hay", 0, 60), decoder=decoder)
    video.announce(range(60))
    assert (decoder.count, video.handed_out) == (0, set())


def test_leaving_an_iteration_ends_the_reading_ahead(sources, tmp_path):
    before = set(threading.enumerate())
    video = splice(sources, tmp_path, Span("hay", 0, 60), decoder=CountingDecoder())
    for _ in video.iterate(4):
        break
    assert set(threading.enumerate()) <= before


def test_a_file_that_changes_meanwhile_is_an_error_where_its_frames_are_requested(sources, tmp_path):
    copy = shutil.copy(sources["needle"].path, tmp_path / "needle.mp4")
    own = {**sources, "needle": dataclasses.replace(sources["needle"], path=str(copy))}
    video = splice(own, tmp_path, Span("hay", 0, 4), Span("needle", 0, 4))
    video.announce(range(8))
    Path(copy).write_bytes(b"replaced")
    assert [number_in(frame) for frame in video.frames(range(4))] == [0, 1, 2, 3]
    for _ in range(2):  # the second time nothing is announced any more
        with pytest.raises(MediaError, match="needle.mp4"):
            video.frames([4, 5])

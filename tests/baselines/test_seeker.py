from fractions import Fraction
from math import floor

import pytest

from baselines import chance, seeker
from niah.media.decoders.base import load_decoder
from niah.media.scan import scan
from niah.media.video import SplicedVideo
from niah.scoring import extract_answer
from niah.suite.config import Footage
from niah.suite.footage.build import build
from niah.types import Question, Sampling, Source, Span

LENGTHS = (60, 200, 501)
DEPTHS = (0.0, 0.1, 0.5, 0.9, 1.0)


def centres(length, k):
    """The middles of k equal parts of a video, written as the definition says."""
    return [floor((j + Fraction(1, 2)) * length / k) for j in range(k)]


def hit(length, k, start, stop):
    """Whether any bin centre lies in the needle: the closed form of the seeker's heatmap."""
    return any(start <= centre < stop for centre in centres(length, k))


class Shelf:
    """Built footage, measured, and videos spliced from it."""

    def __init__(self, folder, calibration):
        types = ("digit",)
        self.built = build(Footage("shelf", 1, 4, types, calibration=calibration), 501, "1", folder)
        files = [(stack.name, stack.identity, stack.path) for stack in self.built.haystacks]
        files += [(needle.name, needle.identity, needle.path) for needle in self.built.needles]
        self.sources = {}
        for name, identity, path in files:
            index = scan(path)
            self.sources[name] = Source(name, identity, path, index.sha256, index.count("1"), float(index.seconds))
        self.folder, self.decoder = folder, load_decoder("pyav")

    def video(self, *spans):
        return SplicedVideo(spans, self.sources, Sampling("1", 64, 64), self.decoder, 1.0, self.folder)

    def hide(self, needle, length, depth):
        """Return the video, and where the needle starts and stops in it."""
        frames = self.sources[needle.name].frames
        start = round(depth * (length - frames))
        spans = [(needle.name, 0, frames), ("haystack-0", 0, start), ("haystack-0", start, length - frames)]
        ordered = [spans[1], spans[0], spans[2]]
        return self.video(*(Span(*span) for span in ordered if span[1] < span[2])), start, start + frames


@pytest.fixture(scope="module")
def coded(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("coded")
        patch.setenv("VIDEONIAH_CACHE", str(folder))
        yield Shelf(folder, calibration=True)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("plain")
        patch.setenv("VIDEONIAH_CACHE", str(folder))
        yield Shelf(folder, calibration=False)


def asked(needle):
    return Question(needle.question, needle.options)


def answers_rightly(reply, needle):
    return extract_answer(reply.text, needle.options) == needle.answer


@pytest.mark.parametrize("k", [1, 3, 8, 16])
def test_seeker_is_right_exactly_where_a_bin_centre_lies_in_the_needle(coded, k):
    right, expected = [], []
    for needle in coded.built.needles:
        for length in LENGTHS:
            for depth in DEPTHS:
                video, start, stop = coded.hide(needle, length, depth)
                right.append(answers_rightly(seeker.load(frames=k).answer(video, asked(needle)), needle))
                expected.append(hit(length, k, start, stop))
    assert right == expected
    assert 0 < sum(right) < len(right)


def test_seeker_that_misses_the_needle_leaves_the_question_unanswered(coded):
    needle = coded.built.needles[0]
    video, start, _ = coded.hide(needle, 501, 1.0)
    assert not hit(501, 1, start, 501)
    reply = seeker.load(frames=1).answer(video, asked(needle))
    assert extract_answer(reply.text, needle.options) is None


def test_seeker_reports_the_frames_it_was_handed(coded):
    video, _, _ = coded.hide(coded.built.needles[0], 200, 0.5)
    reply = seeker.load(frames=8).answer(video, asked(coded.built.needles[0]))
    assert reply.frames_used == reply.frames_kept == (12, 37, 62, 87, 112, 137, 162, 187)
    assert video.handed_out == set(reply.frames_used)
    assert (reply.frame_size, reply.frame_times) == (video.frames([0]).shape[1:3], False)


def test_seeker_samples_every_frame_of_a_video_shorter_than_its_limit(coded):
    needle = coded.built.needles[1]
    frames = coded.sources[needle.name].frames
    reply = seeker.load(frames=64).answer(coded.video(Span(needle.name, 0, frames)), asked(needle))
    assert reply.frames_used == tuple(range(frames))
    assert answers_rightly(reply, needle)


@pytest.mark.parametrize("spans", [(), (Span("haystack-0", 0, 300),)], ids=["blind", "no_needle"])
def test_seeker_finds_nothing_where_no_needle_is(coded, spans):
    for needle in coded.built.needles:
        reply = seeker.load().answer(coded.video(*spans), asked(needle))
        assert extract_answer(reply.text, needle.options) is None


def test_seeker_is_never_right_about_another_needles_clip(coded):
    for needle in coded.built.needles:
        for other in coded.built.needles:
            if coded.built.targets[other.name] != coded.built.targets[needle.name]:
                clip = Span(other.name, 0, coded.sources[other.name].frames)
                assert not answers_rightly(seeker.load().answer(coded.video(clip), asked(needle)), needle)


def test_seeker_guesses_like_chance_on_other_footage(plain):
    for needle in plain.built.needles:
        video, _, _ = plain.hide(needle, 100, 0.5)
        reply = seeker.load(frames=8).answer(video, asked(needle))
        assert reply.text == chance.load().answer(video, asked(needle)).text
        assert len(reply.frames_used) == 8


BINS = [
    (10, 1, [5]),
    (10, 2, [2, 7]),
    (10, 5, [1, 3, 5, 7, 9]),
    (9, 2, [2, 6]),
    (3, 64, [0, 1, 2]),
    (0, 4, []),
]


@pytest.mark.parametrize("length, k, expected", BINS)
def test_bin_centres_are(length, k, expected):
    assert seeker.bin_centres(length, k) == expected

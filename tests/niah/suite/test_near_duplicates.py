"""Which pieces of footage look alike, judged by a few frames of each."""

import numpy as np

from niah.suite.folder import NearDuplicate
from niah.suite.library import Haystack, NeedleClip
from niah.suite.near_duplicates import near_duplicates, sample
from niah.types import Span
from tests.helpers.generate_fakes import FakeIndex, library_of, needle

FILES = {name: FakeIndex(name, frames, 1) for name, frames in [("hay", 1000), ("a", 20), ("b", 40)]}


def scene(seed):
    """A picture of 8 x 8 random tiles, (64, 64, 3)."""
    return np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)


def found(look, folder):
    library = library_of(FILES)
    stack = Haystack("haystack-0", (Span("hay", 0, 1000),), frozenset({"sha256:hay"}))
    clips = [NeedleClip(needle(name), Span(name, 0, FILES[name].frames), f"sha256:{name}") for name in ("a", "b")]
    return near_duplicates([stack], clips, library, folder, look)


def pictures(**by_source):
    """A look at footage that shows one picture per source, but where told otherwise by (source, number)."""
    return lambda span, numbers: np.stack([by_source.get(f"{span.source}{n}", by_source[span.source]) for n in numbers])


def test_a_span_is_sampled_at_bin_centres():
    assert sample(Span("hay", 100, 300), 50, 1, 9) == [125, 175, 225, 275]


def test_a_long_span_is_sampled_no_more_often_than_the_limit():
    assert len(sample(Span("hay", 0, 100000), 50, 16, 200)) == 200


def test_a_short_span_is_sampled_no_more_seldom_than_the_least():
    assert sample(Span("hay", 0, 32), 50, 4, 200) == [4, 12, 20, 28]


def test_no_frame_is_sampled_twice():
    assert sample(Span("hay", 0, 3), 50, 16, 200) == [0, 1, 2]


def test_different_pictures_are_no_pair(tmp_path):
    assert found(pictures(hay=scene(0), a=scene(1), b=scene(2)), tmp_path) == ()


def test_one_frame_of_a_haystack_that_looks_like_a_needle_is_found(tmp_path):
    look = pictures(hay=scene(0), a=scene(1), b=scene(2), hay525=scene(2))  # 20 frames are sampled: 25, 75, 125 ...
    assert found(look, tmp_path) == (NearDuplicate("b", 4, "hay", 525, 0),)


def test_two_needles_that_look_alike_are_found(tmp_path):
    assert found(pictures(hay=scene(0), a=scene(1), b=scene(1)), tmp_path) == (NearDuplicate("b", 4, "a", 2, 0),)


def test_brightness_and_noise_do_not_hide_a_copy(tmp_path):
    noise = np.random.default_rng(9).normal(0, 6, (64, 64, 3))
    copy = np.clip(scene(1) * 0.8 + 20 + noise, 0, 255).astype(np.uint8)
    assert [pair.first for pair in found(pictures(hay=scene(0), a=scene(1), b=copy), tmp_path)] == ["b"]


def test_black_frames_are_no_pair(tmp_path):
    black = np.zeros((64, 64, 3), dtype=np.uint8)
    assert found(pictures(hay=black, a=black, b=black), tmp_path) == ()


def test_footage_is_looked_at_once(tmp_path):
    looked = []

    def look(span, numbers):
        looked.append(span.source)
        return pictures(hay=scene(0), a=scene(1), b=scene(1))(span, numbers)

    assert found(look, tmp_path) == found(look, tmp_path)
    assert sorted(looked) == ["a", "b", "hay"]


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path):
    (tmp_path / "file").write_text("where a folder should be")
    look = pictures(hay=scene(0), a=scene(1), b=scene(1))
    assert found(look, tmp_path / "file" / "hashes") == found(look, tmp_path) != ()

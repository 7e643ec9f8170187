"""Scene cuts: where synthetic scenes begin, at any rate, found once per file."""

import weakref
from fractions import Fraction

import numpy as np
import pytest

from niah.io import cache_folder
from niah.media import cuts
from niah.media.cuts import detect, find_cuts
from niah.media.writer import write_mp4

STARTS = (17, 40, 41, 70)  # of scenes of the film, after the first; one of them is a single frame


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "cache"))


def scene(seed, frames):
    """Yield a scene of coloured tiles that drift a pixel every other frame."""
    tiles = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
    return (np.roll(tiles, number // 2, axis=1) for number in range(frames))


def film(path, frames=90, starts=STARTS):
    """Write a film at ten frames a second whose scenes begin at frames 0 and `starts`."""
    edges = (0, *starts, frames)
    scenes = zip(edges, edges[1:], strict=False)
    pictures = (frame for seed, (start, stop) in enumerate(scenes) for frame in scene(seed, stop - start))
    write_mp4(path, pictures, Fraction(10))
    return path


def test_scenes_are_found_where_they_begin(tmp_path):
    assert find_cuts(film(tmp_path / "film.mp4"), (), "native") == STARTS


def test_cuts_are_counted_at_the_rate_asked_for(tmp_path):
    path = film(tmp_path / "film.mp4", starts=(17, 40, 70))
    assert find_cuts(path, (), "5") == (9, 20, 35)  # frames 0, 2, 4 ... of the film: 18 is the first behind 17
    assert find_cuts(path, (), "1") == (2, 4, 7)


def test_a_film_of_one_scene_has_no_cut(tmp_path):
    assert find_cuts(film(tmp_path / "film.mp4", starts=()), (), "native") == ()


def test_a_film_of_one_frame_has_no_cut(tmp_path):
    assert find_cuts(film(tmp_path / "film.mp4", frames=1, starts=()), (), "native") == ()
    assert detect([]) == ()


def test_cuts_behind_the_first_frame_and_before_the_last_are_found(tmp_path):
    assert find_cuts(film(tmp_path / "film.mp4", frames=30, starts=(1, 29)), (), "native") == (1, 29)


def test_a_film_is_decoded_once_for_each_rate(tmp_path, monkeypatch):
    path = film(tmp_path / "film.mp4")
    first = find_cuts(path, (), "native")
    monkeypatch.setattr(cuts, "load_decoder", lambda: pytest.fail("decoded again"))
    assert find_cuts(path, (), "native") == first
    with pytest.raises(pytest.fail.Exception, match="decoded again"):
        find_cuts(path, (), "1")


def test_a_damaged_cache_is_found_again(tmp_path):
    path = film(tmp_path / "film.mp4")
    first = find_cuts(path, (), "native")
    (stored,) = (cache_folder() / "cuts").iterdir()
    for content in ("[1, 2", '{"a": 1}', "[[]]", "7"):
        stored.write_text(content)
        assert find_cuts(path, (), "native") == first
        assert stored.read_text() == "[17, 40, 41, 70]"


def test_frames_are_not_kept():
    alive = weakref.WeakSet()

    class Frame(np.ndarray):
        """An array that a set can hold."""

        __hash__ = object.__hash__

    def frames():
        for picture in scene(0, 40):
            frame = picture.view(Frame)
            alive.add(frame)
            assert len(alive) <= 3
            yield frame
            del frame

    assert detect(frames()) == ()

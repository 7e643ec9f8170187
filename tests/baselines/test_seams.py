import numpy as np
import pytest

from baselines.novelty import describe
from baselines.seams import between_seams, cuts, load, pairs
from niah.suite.footage.clips import draw_clip
from niah.suite.footage.scenes import draw_scenes
from niah.types import UserError


def footage(frames):
    """Return the opening of a built-in haystack, (frames, 64, 64, 3), and where its scenes begin."""
    pictures, starts = [], []
    for scene in draw_scenes("seams", "haystack-0"):
        starts.append(sum(map(len, pictures)))
        pictures.append(scene.frames())
        if starts[-1] + scene.count >= frames:
            return np.concatenate(pictures)[:frames], starts


def spliced(start):
    """Return the descriptors of 1,000 frames of a haystack with a clip before frame `start`, and the clip's frames."""
    haystack, _ = footage(1000)
    needle = draw_clip("seams", "needle-000", "motion").frames()
    return describe(np.concatenate([haystack[:start], needle, haystack[start:]])), range(start, start + len(needle))


def test_a_cut_is_found_where_a_scene_begins():
    haystack, starts = footage(1000)
    assert cuts(describe(haystack)).tolist() == starts[1:]


def test_a_clip_inside_a_scene_is_framed_by_the_best_pair_of_cuts():
    _, starts = footage(1000)
    for first, following in zip(starts[2:8], starts[3:9], strict=True):
        descriptors, needle = spliced((first + following) // 2)
        assert pairs(descriptors)[0] == (needle.start, needle.stop)
        assert set(between_seams(descriptors, len(needle))) == set(needle)


def test_a_clip_between_two_scenes_is_not():
    _, starts = footage(1000)
    first = [pairs(spliced(start)[0])[:1] == [(start, spliced(start)[1].stop)] for start in starts[2:8]]
    assert sum(first) == 0


def test_without_a_cut_nothing_is_kept():
    assert between_seams(np.zeros((50, 48)), 8) == []
    assert between_seams(np.zeros((1, 48)), 8) == []


def test_a_number_of_frames_below_one_is_refused():
    with pytest.raises(UserError, match="frames"):
        load(frames=0)

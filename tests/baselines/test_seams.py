import numpy as np
import pytest

from baselines.novelty import describe
from baselines.seams import between_seams, cuts, load, pairs
from niah.suite.build import assemble
from niah.suite.footage.clips import draw_clip
from niah.suite.footage.scenes import draw_scenes
from niah.types import UserError
from tests.helpers.generate_fakes import suite, world


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


def described(case):
    """Return descriptors of a case whose haystack pans slowly, without a cut, and whose needle looks like nothing in it."""
    draw = np.random.default_rng(0)
    way, clip = draw.normal(size=48), draw.normal(size=48)
    shown = [np.arange(span.start, span.stop) for span in case.timeline]
    pans = [numbers[:, None] / 1000 * way + np.sin(numbers[:, None] * np.arange(1, 49)) / 1000 for numbers in shown]
    needle = [span.source == case.needle for span in case.timeline]
    return np.concatenate([pan * 0 + clip if clipped else pan for pan, clipped in zip(pans, needle, strict=True)])


def test_in_footage_without_cuts_a_sham_splice_is_as_suspect_as_the_needle():
    stacks, clips, library = world({f"n{number:02}": 10 + number for number in range(50)})
    cases = assemble(suite(version=2, lengths=(2000,), bins_per_length=1), stacks, clips, library).cases
    first = {"needle": 0, "sham": 0}
    for case in cases:
        if case.condition == "full":
            (needle,) = case.needles
            best = pairs(described(case))[0]
            first["needle" if best == (needle.start, needle.stop) else "sham"] += 1
            assert best[1] - best[0] == needle.stop - needle.start
    assert sum(first.values()) == 50
    assert first["needle"] <= 31  # 32 of 50 or more come up in 3 % of fair draws


def test_without_a_cut_nothing_is_kept():
    assert between_seams(np.zeros((50, 48)), 8) == []
    assert between_seams(np.zeros((1, 48)), 8) == []


def test_a_number_of_frames_below_one_is_refused():
    with pytest.raises(UserError, match="frames"):
        load(frames=0)

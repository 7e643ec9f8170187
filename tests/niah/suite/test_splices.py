"""Sham splices: where a needle cuts a scene in two, other footage of the haystack does so too."""

import pytest

from niah.suite.build import assemble
from niah.suite.library import Haystack
from niah.suite.splices import lay_inserts, sham_insert
from niah.types import Span
from tests.helpers.generate_fakes import FakeIndex, library_of, suite, world

NAMES = {f"needle-{number:02}": 10 + number for number in range(20)}


def made(cuts=(), **changes):
    stacks, clips, library = world(NAMES, haystacks=3)
    stacks = [Haystack(one.name, one.timeline, one.identities, one.videos, cuts) for one in stacks]
    values = {"version": 2, "lengths": (2000, 10000), "bins_per_length": 2, **changes}
    return assemble(suite(**values), stacks, clips, library).cases


def hidden(cases):
    return [case for case in cases if case.condition in ("full", "swapped")]


def needle_and_sham(case):
    """Return (start, stop) of the needle and of the sham splice in a haystack of one file."""
    (needle,) = case.needles
    begun, begins = 0, {}
    for span in case.timeline:
        begins[begun] = span
        begun += len(span)
    home = next(iter(begins.values())).source
    (sham,) = [
        (start, start + len(span))
        for start, span in begins.items()
        if span.source == home and span.start > case.length - 3 * (needle.stop - needle.start)
    ]
    return (needle.start, needle.stop), sham


def test_each_needle_in_footage_without_cuts_has_one_sham_splice_of_its_length():
    for case in hidden(made()):
        needle, sham = needle_and_sham(case)
        assert sham[1] - sham[0] == needle[1] - needle[0]
        assert sham[1] < needle[0] or needle[1] < sham[0]  # haystack stands between them
        assert sham[0] > 0 and sham[1] < case.length
        assert sum(map(len, case.timeline)) == case.length in (2000, 10000)
        assert len(case.timeline) == 5 and case.repeats == 0


def test_the_same_scene_resumes_behind_needle_and_sham_splice():
    for case in hidden(made()):
        home = case.timeline[0].source
        shown = [span for span in case.timeline if span.source == home and span.stop - 1 < case.length]
        before = sorted(shown, key=lambda span: span.start)[:3]
        assert [span.start for span in before[1:]] == [span.stop for span in before[:-1]]


def test_the_needle_starts_where_it_was_drawn():
    for case in hidden(made()):
        (needle,) = case.needles
        room = case.length - (needle.stop - needle.start)
        if case.condition == "full":
            assert min(5 * needle.start // room, 4) == int(case.id.rpartition(".")[2])


def test_shams_stand_anywhere_in_the_footage():
    starts = [needle_and_sham(case)[1][0] / case.length for case in hidden(made())]
    thirds = [sum(low <= start < low + 1 / 3 for start in starts) for low in (0, 1 / 3, 2 / 3)]
    assert len(starts) == 100 and min(thirds) >= 20  # of 33 expected


def test_a_needle_at_a_scene_cut_needs_no_sham():
    assert all(len(case.timeline) == 3 for case in hidden(made(cuts=tuple(range(25, 10_000, 25)))))


def test_only_needles_whose_bin_holds_no_cut_have_a_sham():
    cases = [case for case in hidden(made(cuts=(100, 150))) if case.length == 2000]
    for case in cases:
        at_cut = case.needles[0].start in (100, 150)
        assert len(case.timeline) == (3 if at_cut else 5)
    assert {len(case.timeline) for case in cases} == {3, 5}


def test_fixed_depths_and_controls_have_no_sham():
    assert all(len(case.timeline) == 3 for case in hidden(made(depths=(0.5,), bins_per_length=None)))
    assert all(len(case.timeline) == 1 for case in made() if case.condition in ("no_needle", "needle_only"))


def test_footage_without_room_for_a_sham_has_none():
    cases = hidden(made(lengths=(55,), bins_per_length=None))
    assert {len(case.timeline) for case in cases} <= {2, 3, 4, 5}
    assert all(sum(map(len, case.timeline)) == 55 for case in cases)


def home_of(frames, cuts=()):
    return Haystack("haystack-0", (Span("film", 0, frames),), frozenset({"film"}), cuts=cuts)


def test_a_sham_shows_another_scene_than_the_one_it_cuts():
    for number in range(50):
        at, (shown,) = sham_insert(f"{number}", home_of(1000, cuts=(500,)), 900, (), 300, 20)
        assert shown.start >= 900 and at < 500


def test_a_sham_keeps_clear_of_the_needle_and_of_decoys():
    decoys = [(3, (Span("decoy", 0, 1),))]  # whatever stands behind it is shown a frame later
    places = {sham_insert(f"{number}", home_of(60), 20, decoys, 10, 4)[0] for number in range(500)}
    assert places == {1, 2, 4} | set(range(10, 20))  # frames up to 9 end before 10, or begin behind it


@pytest.mark.parametrize("frames", [9, 10])
def test_a_sham_longer_than_the_footage_left_is_not_made(frames):
    found = sham_insert("a", home_of(29), 20, (), 0, frames)
    assert (found is None) == (frames == 10)


def test_inserts_move_the_scenes_behind_them():
    timeline, cuts = lay_inserts(home_of(100, cuts=(30, 60)), 90, [(40, (Span("other", 0, 5),))])
    assert timeline == (Span("film", 0, 40), Span("other", 0, 5), Span("film", 40, 90))
    assert cuts == [30, 40, 45, 65]


def test_repeated_footage_in_a_sham_is_counted():
    library = library_of({"film": FakeIndex("f", 100, 1)})
    stacks, clips, _ = world({"n": 10}, haystacks=1)
    library.sources |= library_of({"n": FakeIndex("n-n", 10, 1)}).sources
    library.indexes |= library_of({"n": FakeIndex("n-n", 10, 1)}).indexes
    endless = tuple(Span("film", 0, 100) for _ in range(4))
    stacks = [Haystack("haystack-0", endless, frozenset({"sha256:f"}))]
    cases = assemble(suite(version=2, lengths=(60, 400), allow_repeat=True), stacks, clips, library).cases
    for case in hidden(cases):
        shown = [(span.source, number) for span in case.timeline for number in range(span.start, span.stop)]
        assert case.repeats == len(shown) - len(set(shown))

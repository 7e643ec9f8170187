"""Cases of version 2: made of fakes, checked against the footage that a timeline shows."""

import dataclasses
from collections import Counter, defaultdict

import pytest

from niah.suite.build import assemble
from niah.suite.library import Haystack, NeedleClip
from niah.types import Span, UserError
from tests.helpers.generate_fakes import FakeIndex, library_of, suite, world

LENGTHS = (2000, 4000)
NAMES = {f"needle-{number:02}": 10 + number for number in range(20)}
SCENE = 25  # frames of every scene of the fakes


def version2(**changes):
    values = {"version": 2, "lengths": LENGTHS, "bins_per_length": 2}
    return suite(**{**values, **changes})


def made(*, cuts=True, decoys=0, haystacks=3, names=NAMES, kinds=("motion", "digit"), **changes):
    """Return the cases of twenty needles whose haystacks change scene every 25 frames."""
    stacks, clips, library = world(names, haystacks=haystacks, kinds=kinds)
    edges = tuple(range(SCENE, 10_000, SCENE)) if cuts else ()
    stacks = [Haystack(one.name, one.timeline, one.identities, one.videos, edges) for one in stacks]
    library.sources |= library_of({"h-decoys": FakeIndex("decoys", 1000, 1)}).sources
    library.indexes |= library_of({"h-decoys": FakeIndex("decoys", 1000, 1)}).indexes
    spans = tuple(Span("h-decoys", 10 * number, 10 * number + 10) for number in range(decoys))
    clips = [
        NeedleClip(asked(one.needle, number), one.span, one.identity, one.target, one.video, spans)
        for number, one in enumerate(clips)
    ]
    return assemble(version2(**changes), stacks, clips, library).cases


def asked(needle, number):
    """Return a needle with four options, whose answers take turns."""
    return dataclasses.replace(needle, options=("runs", "sits", "eats", "naps"), answer="ABCD"[number // 2 % 4])


def full(cases):
    return [case for case in cases if case.condition == "full"]


def test_the_same_suite_gives_the_same_cases():
    assert made() == made()


def test_every_length_and_bin_asks_equally_many_needles():
    cells = Counter((case.length, int(case.id.rpartition(".")[2])) for case in full(made()))
    assert set(cells) == {(length, number) for length in LENGTHS for number in range(5)}
    assert set(cells.values()) == {8}  # 20 needles, two of five bins


def test_a_needle_starts_in_its_bin_at_a_scene_cut():
    for case in full(made()):
        (placed,) = case.needles
        room = case.length - (placed.stop - placed.start)
        assert min(5 * placed.start // room, 4) == int(case.id.rpartition(".")[2])
        assert placed.start % SCENE == 0  # the haystack's scenes begin there, and no scene is cut in two


def test_no_scene_resumes_behind_a_needle():
    for case in full(made()):
        before, needle, after = case.timeline
        assert before.stop == after.start and before.stop % SCENE == 0
        assert needle.source == case.needle


def test_without_cuts_starts_lie_anywhere_in_their_bin():
    starts = [case.needles[0].start for case in full(made(cuts=False))]
    assert len({start % SCENE for start in starts}) > 15


def test_a_needle_is_hidden_in_two_haystacks():
    homes = defaultdict(set)
    for case in full(made()):
        homes[case.needle].add(case.haystack)
    assert {len(found) for found in homes.values()} == {2}
    assert {case.haystack for case in full(made(haystacks=1))} == {"haystack-0"}


def test_the_right_option_is_the_same_text_at_another_letter():
    texts = defaultdict(set)
    letters = defaultdict(set)
    for case in made():
        texts[case.needle].add(case.options["ABCD".index(case.answer)])
        letters[case.needle].add(case.answer)
    assert all(len(found) == 1 for found in texts.values())
    assert all(len(found) == 4 for found in letters.values())


@pytest.mark.parametrize("letter", "ABCD")
def test_a_constant_reply_scores_exactly_chance_in_every_cell(letter):
    right, asked = Counter(), Counter()
    for case in full(made(names={f"n{number:02}": 12 for number in range(40)})):
        cell = case.length, case.id.rpartition(".")[2]
        asked[cell] += 1
        right[cell] += case.answer == letter
    assert all(4 * right[cell] == asked[cell] for cell in asked)


def test_blind_is_asked_with_every_letter_right_once():
    letters = defaultdict(list)
    for case in made():
        if case.condition == "blind":
            letters[case.needle].append(case.answer)
    assert all(sorted(found) == ["A", "B", "C", "D"] for found in letters.values())


def test_controls_without_and_with_another_needle_are_asked_once_a_needle():
    counts = Counter(case.condition for case in made())
    assert counts["no_needle"] == counts["swapped"] == counts["needle_only"] == len(NAMES)
    lengths = Counter(case.length for case in made() if case.condition == "no_needle")
    assert set(lengths.values()) == {len(NAMES) // 2}


def test_a_swapped_needle_is_of_the_same_type_where_there_is_one():
    types = {case.needle: case.type for case in made()}
    for case in made():
        if case.condition == "swapped":
            assert types[case.needles[0].needle] == case.type


def test_decoys_stand_between_scenes_and_count_as_haystack():
    for case in full(made(decoys=4)):
        assert sum(len(span) for span in case.timeline if span.source == "h-decoys") == 40
        assert case.length in LENGTHS
        haystack = [span for span in case.timeline if span.source not in ("h-decoys", case.needle)]
        assert all(span.stop % SCENE == 0 for span in haystack[:-1])
        assert [span.start for span in haystack[1:]] == [span.stop for span in haystack[:-1]]  # nothing lost or twice


def test_decoys_of_a_needle_are_those_of_its_no_needle_case_too():
    controls = [case for case in made(decoys=2) if case.condition == "no_needle"]
    assert all(sum(span.source == "h-decoys" for span in case.timeline) == 2 for case in controls)


def test_decoys_that_fill_a_haystack_are_refused():
    with pytest.raises(UserError, match="4 decoys of needle .* leave no footage in"):
        made(decoys=4, lengths=(45,), names={"n": 6})


def test_a_bin_without_a_start_is_skipped_and_reported():
    stacks, clips, library = world({"n": 10}, haystacks=1)
    found = assemble(version2(lengths=(13,), bins_per_length=None), stacks, clips, library)
    assert [skip.what for skip in found.skipped if "has no start" in skip.why] == ["n.full.13.2"]
    assert len(full(found.cases)) == 4  # starts 0 to 3 lie in four of five bins


def test_fixed_depths_stay_possible():
    cases = full(made(depths=(0.5,), bins_per_length=None, cuts=False))
    rooms = [case.length - (case.needles[0].stop - case.needles[0].start) for case in cases]
    assert {room % 4 for room in rooms} == {0, 1, 2, 3}
    assert [case.needles[0].start for case in cases] == [
        (room + 1) // 2 for room in rooms
    ]  # halves up, as --depths asks


def test_the_paper_design_draws_lengths_and_starts_anywhere_in_their_bins():
    cases = full(made(design="paper", lengths=(2000, 4000, 6000, 8000, 10000), bins_per_length=None, cases=800))
    assert len(cases) == 800 and len({case.length for case in cases}) > 600
    assert all(case.needles[0].start % SCENE == 0 for case in cases)


def test_the_paper_design_gives_every_type_all_letters_in_all_haystacks():
    cases = full(
        made(design="paper", haystacks=4, lengths=(2000, 4000, 6000, 8000, 10000), bins_per_length=None, cases=800)
    )
    assert set(Counter((case.type, case.answer) for case in cases).values()) == {100}
    assert len({(case.type, case.answer, case.haystack) for case in cases}) == 2 * 4 * 4


CONFIGS = [
    ({"version": 1, "depth_bins": 5}, "version 1 has no depth_bins"),
    ({"version": 1, "decoys": 4}, "version 1 has no .*decoys"),
    ({"depths": (0.5,), "depth_bins": 5}, "give depth_bins or fixed depths, not both"),
    ({"bins_per_length": 6}, "bins_per_length must be 1 to 5, got 6"),
    ({"depth_bins": 0}, "depth_bins must be at least 1"),
    ({"decoys": -1}, "decoys at least 0"),
]


@pytest.mark.parametrize("changes, words", CONFIGS)
def test_keys_that_do_not_fit_together_are_refused(changes, words):
    with pytest.raises(UserError, match=words):
        version2(**changes)

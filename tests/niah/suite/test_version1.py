"""What holds for every case of a grid and of the paper design, and the choices drawn by name."""

import dataclasses
from collections import Counter

import pytest

from niah.suite.build import assemble
from niah.suite.cases import refuse_long_needle
from niah.suite.design import DEPTH_BINS, length_bin
from niah.suite.folder import Skip
from niah.suite.library import Haystack, NeedleClip
from niah.suite.positions import bin_of
from niah.suite.version1 import make_cases
from niah.types import Placement, Span, UserError
from tests.helpers.generate_fakes import FakeIndex, library_of, needle, suite, world

NAMES = {f"needle-{number:02}": 10 + number for number in range(12)}
KINDS = ("colour", "count", "motion")
GRID = suite(lengths=(2000, 4000), depths=(0.1, 0.5, 0.9))
PAPER = suite(name="paper", design="paper", cases=3000)


@pytest.fixture(scope="module")
def grid():
    return assemble(GRID, *world(NAMES, KINDS, haystacks=3)).cases


@pytest.fixture(scope="module")
def paper():
    return assemble(PAPER, *world(NAMES, KINDS, haystacks=3)).cases


@pytest.fixture(params=["grid", "paper"])
def cases(request):
    return request.getfixturevalue(request.param)


def by_id(cases):
    return {case.id: case for case in cases}


def footage(case):
    return [span for span in case.timeline if span.source.startswith("hay")]


def test_a_20_frame_needle_at_half_depth_of_2000_starts_at_990():
    cases = by_id(assemble(GRID, *world({"cat": 20, "dog": 30}, haystacks=1)).cases)
    case = cases["cat.full.2000.990"]
    assert case.timeline == (Span("hay-0", 0, 990), Span("cat", 0, 20), Span("hay-0", 990, 1980))
    assert case.needles == (Placement("cat", 990, 1010),)
    assert case.depth == 0.5


def test_a_grid_holds_every_condition_as_often_as_it_should(grid):
    counts = Counter(case.condition for case in grid)
    assert counts == {"full": 12 * 2 * 3, "needle_only": 12, "blind": 12, "no_needle": 12 * 2, "swapped": 12 * 2}


def test_timelines_sum_to_the_length(cases):
    assert all(sum(len(span) for span in case.timeline) == case.length for case in cases)


def test_the_needle_lies_where_its_placement_says(cases):
    for case in cases:
        begin, clips = 0, []
        for span in case.timeline:
            if not span.source.startswith("hay"):
                assert span == Span(span.source, 0, NAMES[span.source])
                clips.append(Placement(span.source, begin, begin + len(span)))
            begin += len(span)
        assert tuple(clips) == case.needles


def test_haystack_frames_are_the_opening_of_one_haystack_in_order_and_once(cases):
    for case in cases:
        stop, sources = 0, set()
        for span in footage(case):
            assert span.start == stop
            stop = span.stop
            sources.add(span.source)
        assert len(sources) <= 1


def test_every_needle_stays_in_one_haystack(cases):
    homes = {(case.needle, case.haystack) for case in cases if case.haystack}
    assert len(homes) == 12


def test_no_frame_repeats(cases):
    assert {case.repeats for case in cases} == {0}


def test_controls_hold_what_their_names_say(cases):
    for case in cases:
        inserted = [placed.needle for placed in case.needles]
        if case.condition in ("no_needle", "blind"):
            assert inserted == []
        elif case.condition == "swapped":
            assert len(inserted) == 1 and inserted != [case.needle]
        else:
            assert inserted == [case.needle]
        assert bool(footage(case)) == (case.condition in ("full", "swapped", "no_needle"))


def test_the_same_inputs_give_the_same_cases(cases):
    again = assemble(PAPER if cases[0].suite == "paper" else GRID, *world(NAMES, KINDS, haystacks=3)).cases
    assert again == cases


def test_another_needle_changes_no_case_of_the_others_but_where_it_is_swapped_in(grid):
    more = by_id(assemble(GRID, *world({**NAMES, "new": 33}, KINDS, haystacks=3)).cases)
    for case in grid:
        if more[case.id] != case:
            assert case.condition == "swapped" and [placed.needle for placed in more[case.id].needles] == ["new"]


def test_the_order_of_needles_changes_no_case(grid):
    stacks, clips, library = world(NAMES, KINDS, haystacks=3)
    backwards = assemble(GRID, stacks, clips[::-1], library).cases
    assert by_id(backwards) == by_id(grid)


def paper_cell(case):
    """Return the length bin and the depth bin that a case lies in."""
    (placed,) = case.needles
    return length_bin(case.length), bin_of(placed.start, DEPTH_BINS, case.length - (placed.stop - placed.start))


def test_a_paper_cell_holds_37_or_38_cases(paper):
    full = [case for case in paper if case.condition == "full"]
    cells = Counter(map(paper_cell, full))
    assert len(full) == 3000 and len(cells) == 80 and set(cells.values()) == {37, 38}


def test_question_types_are_balanced_within_a_paper_cell(paper):
    cells: dict = {}
    for case in paper:
        if case.condition == "full":
            cells.setdefault(paper_cell(case), Counter())[case.type] += 1
    assert all(set(counts.values()) <= {12, 13} for counts in cells.values())  # 37 or 38 cases, three types


def test_paper_needles_are_used_equally(paper):
    uses = Counter(case.needle for case in paper if case.condition == "full")
    assert set(uses.values()) == {250}  # 3,000 cases, 12 needles


def test_paper_lengths_are_not_on_a_grid(paper):
    assert len({case.length for case in paper if case.condition == "full"}) > 1000


def test_paper_controls_take_the_five_groups(paper):
    assert {case.length for case in paper if case.condition == "no_needle"} == {2000, 4000, 6000, 8000, 10000}


def test_a_paper_suite_with_lengths_of_its_own_is_refused():
    with pytest.raises(UserError, match="own lengths"):
        assemble(dataclasses.replace(PAPER, lengths=(500,)), *world(NAMES))


def own_footage_world():
    """Two haystacks; the clip of `cat` was cut from the only source of the first."""
    files = {"hay-0": FakeIndex("h0", 4000, 1), "hay-1": FakeIndex("h1", 4000, 1), "dog": FakeIndex("d", 20, 1)}
    stacks = [Haystack(f"haystack-{n}", (Span(f"hay-{n}", 0, 4000),), frozenset({f"sha256:h{n}"})) for n in (0, 1)]
    cat = NeedleClip(needle("cat"), Span("hay-0", 100, 120), "sha256:h0")
    dog = NeedleClip(needle("dog"), Span("dog", 0, 20), "sha256:d")
    return stacks, [cat, dog], library_of(files)


@pytest.mark.parametrize("name", [f"suite-{number}" for number in range(8)])
def test_a_needle_never_goes_into_footage_of_its_own_source(name):
    stacks, clips, library = own_footage_world()
    cases, _ = make_cases(dataclasses.replace(GRID, name=name), stacks, clips, library)
    assert {case.haystack for case in cases if case.needle == "cat" and case.haystack} == {"haystack-1"}


def test_a_needle_with_only_its_own_footage_is_skipped_with_the_reason():
    stacks, clips, library = own_footage_world()
    cases, skips = make_cases(dataclasses.replace(GRID, conditions=("full",)), stacks[:1], clips, library)
    assert skips == [Skip("cat", "every haystack contains footage of the needle's own source")]
    assert {case.needle for case in cases} == {"dog"}


def test_a_data_set_s_own_footage_is_known_by_its_video_id():
    stack = Haystack("haystack-0", (), frozenset({"sha256:reencoded"}), frozenset({"abc123"}))
    assert not stack.may_hide(NeedleClip(needle("cat"), Span("cat", 0, 20), "sha256:other", video="abc123"))


def test_a_swapped_clip_never_has_the_question_s_own_target():
    stacks, clips, library = world({"a": 20, "b": 21, "c": 22, "d": 23})
    targets = {"a": "red circle", "b": "red circle", "c": "red circle", "d": "blue star"}
    clips = [dataclasses.replace(clip, target=targets[clip.needle.name]) for clip in clips]
    cases, _ = make_cases(GRID, stacks, clips, library)
    swapped = [case for case in cases if case.condition == "swapped" and case.needle != "d"]
    assert {case.needles[0].needle for case in swapped} == {"d"}


def test_a_swapped_clip_comes_from_another_source():
    stacks, clips, library = world({"a": 20, "b": 21, "c": 22})
    twin = dataclasses.replace(clips[1], identity=clips[0].identity)
    cases, _ = make_cases(GRID, stacks, [clips[0], twin, clips[2]], library)
    asked = [case for case in cases if case.condition == "swapped" and case.needle == "a"]
    assert {case.needles[0].needle for case in asked} == {"c"}


def test_a_control_with_nothing_to_swap_in_is_skipped_with_the_reason():
    cases, skips = make_cases(GRID, *world({"alone": 20}))
    assert [skip.what for skip in skips] == ["alone.swapped.2000", "alone.swapped.4000"]
    assert not [case for case in cases if case.condition == "swapped"]


def test_only_the_suite_s_conditions_are_made():
    cases, skips = make_cases(dataclasses.replace(GRID, conditions=("full", "blind")), *world({"alone": 20}))
    assert {case.condition for case in cases} == {"full", "blind"} and not skips


def test_two_depths_that_round_to_one_start_are_refused():
    short = suite(lengths=(24,), depths=(0.1, 0.11))
    with pytest.raises(UserError, match="fewer depths or longer lengths"):
        make_cases(short, *world({"cat": 20}))


def test_a_needle_as_long_as_the_shortest_haystack_is_refused_with_its_line():
    with pytest.raises(UserError, match=r"needles.jsonl, line 3: needle 'cat' has 2,000 frames .* raise lengths"):
        refuse_long_needle(2000, "needles.jsonl, line 3", "cat", GRID)


def test_a_needle_one_frame_shorter_than_the_shortest_haystack_fits():
    assert refuse_long_needle(1999, "needles.jsonl, line 3", "cat", GRID) is None


def test_the_native_rate_of_a_case_is_its_frames_over_its_seconds():
    files = {"hay": FakeIndex("h", 3000, 30), "cat": FakeIndex("c", 100, 10), "dog": FakeIndex("d", 100, 10)}
    library = library_of(files, "native")
    stack = Haystack("haystack-0", (Span("hay", 0, 3000),), frozenset({"sha256:h"}))
    clips = [NeedleClip(needle(name), Span(name, 0, 100), f"sha256:{name[0]}") for name in ("cat", "dog")]
    native = suite(lengths=(1000,), depths=(0.5,), sampling=dataclasses.replace(GRID.sampling, rate="native"))
    cases = by_id(make_cases(native, [stack], clips, library)[0])
    assert cases["cat.full.1000.450"].fps == 25.0  # 900 frames in 30 s and 100 in 10 s
    assert cases["cat.needle_only"].fps == 10.0

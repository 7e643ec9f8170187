"""When is the clip shown: the videos of `single`, and clock times of which exactly one includes the clip."""

import dataclasses
from collections import Counter
from fractions import Fraction

import pytest

from niah.suite.build import assemble
from niah.suite.config import Footage
from niah.suite.kinds.when import describe, turned_parts
from niah.types import UserError
from tests.helpers.generate_fakes import needle, suite, world
from tests.reference_impl.kinds import letter_of_time, ranges, seconds

NAMES = {f"needle-{number:02}": 10 + number for number in range(10)}
LENGTHS = (2000, 5000)


def made(kinds=("single", "when"), names=NAMES, **changes):
    """Return the cases of ten needles, each asked in all of five bins."""
    stacks, clips, library = world(names, kinds=("motion",))
    clips = [dataclasses.replace(one, needle=dataclasses.replace(one.needle, cue=f"clip {n}"))
             for n, one in enumerate(clips)]  # fmt: skip
    values = {"version": 2, "lengths": LENGTHS, "kinds": kinds, **changes}
    return assemble(suite(**values), stacks, clips, library)


def of(cases, kind, condition="full"):
    return [case for case in cases if case.kind == kind and case.condition == condition]


def test_the_videos_are_those_of_single():
    cases = made().cases
    for condition in ("full", "swapped"):
        single, when = ({case.needle + str(case.timeline): case for case in of(cases, kind, condition)}
                        for kind in ("single", "when"))  # fmt: skip
        assert len(single) > 0 and single.keys() == when.keys()
        assert all(single[video].needles == when[video].needles for video in single)


def test_single_is_as_without_kinds():
    alone = made(kinds=None).cases
    assert tuple(case for case in made().cases if case.kind == "single") == alone
    assert all("kind" not in case.to_json() for case in alone)


def test_when_alone_asks_nothing_else():
    assert {case.kind for case in made(kinds=("when",)).cases} == {"when"}
    assert made(kinds=("when",)).cases == tuple(case for case in made().cases if case.kind == "when")


@pytest.mark.parametrize("condition", ["full", "swapped", "needle_only"])
def test_the_right_option_is_the_only_one_that_includes_a_frame_of_the_clip(condition):
    cases = of(made().cases, "when", condition)
    assert cases
    for case in cases:
        (placed,) = case.needles
        assert letter_of_time(case.to_json(), placed.needle) == case.answer
        assert (placed.needle == case.needle) == (condition != "swapped")


def test_the_options_tile_the_video_in_equal_parts():
    for case in of(made().cases, "when"):
        spans = sorted(span for option in case.options for span in ranges(option))
        assert spans[0][0] == 0 and spans[-1][1] == case.length
        assert all(one[1] == other[0] for one, other in zip(spans, spans[1:], strict=False))
        sizes = [sum(stop - start for start, stop in ranges(option)) for option in case.options]
        assert len(sizes) == 5 and max(sizes) - min(sizes) <= 1


def test_a_constant_letter_is_right_exactly_as_often_as_chance_in_every_cell():
    cells = Counter((case.length, case.id.rpartition(".")[2], case.answer) for case in of(made().cases, "when"))
    assert set(cells.values()) == {2}  # ten needles a cell, five letters
    assert len(cells) == len(LENGTHS) * 5 * 5


def test_where_the_clip_lies_in_its_part_says_nothing():
    inside = []
    for case in of(made().cases, "when"):
        option = case.options["ABCDE".index(case.answer)]
        (placed,) = case.needles
        inside += [(placed.start - start) / (stop - start) for start, stop in ranges(option)
                   if start <= placed.start < stop and ", or" not in option]  # fmt: skip
    quarters = Counter(int(4 * share) for share in inside)
    assert set(quarters) == {0, 1, 2, 3} and min(quarters.values()) > len(inside) / 8


def test_the_question_names_the_duration_and_the_clip():
    case = next(case for case in of(made().cases, "when") if case.length == 5000)
    assert case.question == "The video lasts 1:23:20. When is it shown: clip 0?"
    assert seconds("1:23:20") == case.length


def test_a_clip_alone_fills_one_part_of_its_video():
    for number, case in enumerate(of(made().cases, "when", "needle_only")):
        (placed,) = case.needles
        size = placed.stop - placed.start
        assert case.length == 5 * size and placed.start == number % 5 * size
        assert case.haystack == "" and case.depth is None


def test_nothing_is_asked_without_the_clip():
    assert {case.condition for case in made().cases if case.kind == "when"} == {"full", "needle_only", "swapped"}


def test_a_clip_longer_than_a_part_is_left_out_and_said():
    generated = made(names={"needle-00": 450, "needle-01": 20}, lengths=(2000,), depth_bins=5)
    assert {case.needle for case in of(generated.cases, "when")} == {"needle-01"}
    assert sum("longer than one of 5 parts" in skip.why for skip in generated.skipped) == 6  # five bins, and swapped


def test_a_clip_without_a_cue_is_described_by_its_question():
    assert describe(needle("n")) == "the clip that answers “What does n do?”"
    assert describe(needle("n", cue="le clip où l'on voit un chien")) == "le clip où l'on voit un chien"


def test_a_clip_as_long_as_a_part_fixes_the_edges():
    parts, index = turned_parts("x", 4, Fraction(400), (Fraction(130), Fraction(230)))
    assert index == 1 and parts[1] == ((130, 230),) and parts[3] == ((330, 400), (0, 30))
    assert turned_parts("x", 4, Fraction(400), (Fraction(130), Fraction(231))) is None


def test_with_intervals_there_are_no_options():
    cases = made(kinds=("when",), when="interval").cases
    bins = made(kinds=("when",)).cases
    assert [(case.id, case.timeline) for case in cases] == [(case.id, case.timeline) for case in bins]
    case = cases[0]
    assert (case.options, case.answer) == ((), "") and case.asks_interval
    question = case.to_question()
    assert question.prompt.startswith("One short clip was inserted into this video. The video lasts 33:20. When is it ")
    assert question.prompt.endswith(
        "Answer with its start and its end only, in minutes and seconds, like this: 1:05 - 1:20."
    )
    (placed,) = case.needles
    assert case.shown_seconds == (placed.start, placed.stop)  # one frame a second


def test_an_interval_can_be_asked_without_three_bins():
    assert made(kinds=("when",), when="interval", depth_bins=1).cases


REFUSED = [
    ({"when": "clock"}, "no form of when is called 'clock'"),
    ({"kinds": ("single",), "when": "interval"}, "when belongs to kind when"),
    ({"kinds": ("whem",)}, "no kind is called 'whem'. Did you mean 'when'?"),
    ({"kinds": ()}, "kinds must name"),
    ({"kinds": ("when", "when")}, "each once"),
    ({"depth_bins": 1}, "depth_bins must be 3 to 10, got 1"),
    ({"depth_bins": 11}, "depth_bins must be 3 to 10, got 11"),
    ({"version": 1}, "version 2 with design: grid only"),
    ({"design": "paper"}, "version 2 with design: grid only"),
    ({"decoys": 2, "footage": Footage("w", types=("motion", "count"))}, "a decoy of type count"),
]


@pytest.mark.parametrize("changes, message", REFUSED)
def test_a_suite_that_cannot_ask_when_is_refused(changes, message):
    with pytest.raises(UserError, match="suite 'fake'") as error:
        suite(**{"version": 2, "kinds": ("when",), **changes})
    assert message in str(error.value)

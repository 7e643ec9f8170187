"""How many times is a clip shown: each number of copies equally often, each copy in its part of the video."""

from collections import Counter

import pytest

from niah.suite.build import assemble
from niah.suite.kinds.times import draw_copies
from niah.types import UserError
from tests.helpers.generate_fakes import suite, world
from tests.reference_impl.kinds import copies

NAMES = {f"needle-{number:02}": 10 + number for number in range(8)}
LENGTHS = (1000, 4000)


def made(names=NAMES, **changes):
    stacks, clips, library = world(names)
    values = {"version": 2, "lengths": LENGTHS, "kinds": ("times",), **changes}
    return assemble(suite(**values), stacks, clips, library)


def of(generated, condition="full"):
    return [case for case in generated.cases if case.condition == condition]


@pytest.mark.parametrize("condition", ["full", "needle_only", "swapped"])
def test_the_answer_is_how_often_the_clip_is_shown(condition):
    cases = of(made(), condition)
    assert cases
    for case in cases:
        assert case.options["ABCD".index(case.answer)] == str(copies(case.to_json()))
        assert sorted(case.options) == ["0", "1", "2", "3"]


def test_a_constant_reply_is_right_exactly_as_often_as_chance():
    texts = Counter((case.length, case.needle, case.options["ABCD".index(case.answer)]) for case in of(made()))
    letters = Counter((case.length, len(case.needles), case.answer) for case in of(made()))
    assert set(texts.values()) == {1} and len(texts) == len(LENGTHS) * 8 * 4
    assert set(letters.values()) == {2} and len(letters) == len(LENGTHS) * 4 * 4


def test_every_copy_lies_in_its_part_of_the_haystack():
    for case in of(made()):
        room = case.length - len(case.needles) * NAMES[case.needle]
        before = [placed.start - number * NAMES[case.needle] for number, placed in enumerate(case.needles)]
        assert [len(case.needles) * start // room for start in before] == list(range(len(case.needles)))


def test_a_copy_lies_anywhere_in_its_part():
    starts = [draw_copies(str(n), 20, 2, 1000, ())[1] for n in range(2000)]
    assert min(starts) < 510 and max(starts) > 970 and abs(sum(starts) / len(starts) - 740) < 10


def test_copies_are_moved_to_scene_cuts_of_their_part():
    for number in range(50):
        first, second = draw_copies(str(number), 20, 2, 1000, (300, 480, 600))
        assert first in (300, 480) and second == 600
    assert draw_copies("x", 20, 1, 15, ()) is None


def test_copies_are_no_repeated_footage():
    assert {case.repeats for case in made().cases} == {0}


def test_without_a_haystack_there_are_one_to_three_copies_with_some_frames_between():
    alone = [case for case in of(made(), "needle_only") if case.needle == "needle-03"]
    assert [len(case.needles) for case in alone] == [1, 2, 3]
    assert [case.length for case in alone] == [13, 13 + 10 + 13, 13 + 10 + 13 + 10 + 13]


def test_another_clip_is_shown_one_to_three_times_in_swapped():
    swapped = of(made(), "swapped")
    assert Counter(len(case.needles) for case in swapped) == {1: 3, 2: 3, 3: 2}
    assert all(case.needle not in {placed.needle for placed in case.needles} for case in swapped)


def test_more_copies_can_be_asked():
    cases = of(made(copies=5))
    assert {len(case.needles) for case in cases} == set(range(6)) and {len(case.options) for case in cases} == {6}


@pytest.mark.parametrize("changes", [{"copies": 0}, {"copies": 10}, {"copies": 2, "kinds": ("single",)}])
def test_what_cannot_be_asked_is_refused(changes):
    with pytest.raises(UserError, match="copies"):
        made(**changes)

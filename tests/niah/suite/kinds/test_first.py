"""Which of two clips comes first: twins in both orders, at a distance that says little about depth."""

from collections import Counter, defaultdict

import pytest

from niah.suite.build import assemble
from niah.suite.kinds.first import draw_places
from niah.suite.library import Haystack
from niah.types import Case, UserError
from tests.helpers.generate_fakes import suite, world
from tests.reference_impl.kinds import order

NAMES = {f"needle-{number:02}": 10 + number for number in range(8)}
LENGTHS = (1000, 4000)


def made(names=NAMES, cuts=False, **changes):
    stacks, clips, library = world(names, kinds=("motion", "digit"))
    edges = tuple(range(25, 10_000, 25)) if cuts else ()
    stacks = [Haystack(one.name, one.timeline, one.identities, one.videos, edges) for one in stacks]
    values = {"version": 2, "lengths": LENGTHS, "kinds": ("first",), **changes}
    return assemble(suite(**values), stacks, clips, library)


def of(generated, condition="full"):
    return [case for case in generated.cases if case.condition == condition]


def distance(case):
    """Return how far the clips lie from one another, as a share of the frames that are no clip."""
    one, other = sorted(case.needles, key=lambda placed: placed.start)
    clips = sum(placed.stop - placed.start for placed in case.needles)
    return (other.start - one.stop) / (case.length - clips)


def test_every_pair_is_asked_in_both_orders_at_every_length_and_distance():
    asked = Counter(tuple(case.id.split(".full.")[1].rsplit(".", 1)) for case in of(made()))
    assert set(asked) == {(f"{n}.{g}", twin) for n in LENGTHS for g in (0.02, 0.1, 0.3) for twin in ("ab", "ba")}
    assert set(asked.values()) == {4}  # pairs


@pytest.mark.parametrize("condition", ["full", "needle_only"])
def test_the_answer_is_the_clip_that_is_shown_first(condition):
    for case in of(made(), condition):
        assert case.answer == order(case.to_json()) and case.options == ("Clip 1", "Clip 2")


def test_a_constant_reply_is_right_in_exactly_one_of_two_twins():
    for condition in ("full", "needle_only", "swapped"):
        twins = defaultdict(list)
        for case in of(made(), condition):
            twins[case.id[:-3]].append(case.answer)
        assert twins and all(sorted(answers) == ["A", "B"] for answers in twins.values())


def test_twins_differ_in_the_order_of_their_clips_only():
    twins = defaultdict(list)
    for case in of(made()):
        twins[case.id[:-3]].append(case)
    for one, other in twins.values():
        spans = [[span for span in case.timeline if span.source.startswith("hay")] for case in (one, other)]
        assert spans[0] == spans[1] and one.question == other.question
        assert {p.needle for p in one.needles} == {p.needle for p in other.needles} == set(one.asked)


@pytest.mark.parametrize("cuts", [False, True])
def test_clips_lie_about_as_far_apart_as_the_distance_says(cuts):
    for case in of(made(cuts=cuts)):
        asked = float(case.id.split(".full.")[1].split(".", 1)[1].rsplit(".", 1)[0])
        assert abs(distance(case) - asked) <= (0.25 * asked if cuts else 0) + 0.001


def test_scenes_are_not_cut_where_two_scene_cuts_are_about_as_far_apart():
    for case in of(made(cuts=True)):
        if case.length == 4000:
            assert all(span.start % 25 == 0 for span in case.timeline)


def test_a_pair_that_does_not_fit_is_left_out_where_others_do():
    generated = made({"needle-00": 8, "needle-01": 8, "needle-02": 8, "needle-03": 15}, lengths=(20,))
    assert len(of(generated)) == 2 * 3 and {skip.why.split(",")[0] for skip in generated.skipped} == {"its clips"}


def test_the_first_clip_starts_anywhere():
    starts = [draw_places(f"{n}", 1000, 0.3, ())[0] for n in range(2000)]
    assert min(starts) < 15 and max(starts) > 685 and abs(sum(starts) / len(starts) - 350) < 15


def test_a_third_clip_takes_the_place_of_the_second_in_swapped():
    for case in of(made(), "swapped"):
        one, other = case.asked
        shown = {placed.needle for placed in case.needles}
        assert one in shown and other not in shown and len(shown) == 2
        assert [placed.needle for placed in case.target_placements] == [one]


def test_the_question_says_which_clip_is_which():
    case = of(made())[0]
    one, other = case.asked
    assert case.question == (
        f"Two short clips were inserted into this video. Clip 1 is the clip that answers “What does {one} do?”. "
        f"Clip 2 is the clip that answers “What does {other} do?”. Which comes first?"
    )


def test_cases_read_back_as_they_were_written():
    case = of(made())[0]
    assert Case.from_json(case.to_json()) == case


def reader_of_one_clip(g, steps=4000):
    """Return how often the better guess is right of one who knows the depth of one clip, in fine steps of depth."""
    right = 0.0
    for step in range(steps):
        depth = (step + 0.5) / steps
        as_first, as_second = depth < 1 - g, depth >= g  # each twin: the clip is the first one, or the second
        right += max(as_first, as_second) / (2 * (1 - g))
    return right / steps


@pytest.mark.parametrize("g, worth", [(0.02, 0.510), (0.1, 0.556), (0.3, 0.714), (0.5, 1.0)])
def test_what_one_clip_is_worth_is_known(g, worth):
    assert reader_of_one_clip(g) == pytest.approx(worth, abs=0.001)
    assert worth == pytest.approx(0.5 + 0.5 * min(1, g / (1 - g)), abs=0.001)


REFUSED = [
    ({"distances": (0.1, 0.5)}, "must be above 0 and at most 0.3"),
    ({"distances": (0.0,)}, "must be above 0"),
    ({"distances": (0.1, 0.12)}, "at least 1.7 times the one before"),
    ({"kinds": ("single",), "distances": (0.1,)}, "distances belongs to kind first"),
    ({"names": {"needle-00": 20}}, "no two of 1 needles (1 types, 1 source videos) are such a pair"),
    (
        {"lengths": (20,)},
        ".20.0.02.ab: its clips, and decoys if it has any, leave no haystack in 20 frames): raise len",
    ),
]


@pytest.mark.parametrize("changes, message", REFUSED)
def test_what_cannot_be_asked_is_refused(changes, message):
    with pytest.raises(UserError) as error:
        made(**changes)
    assert message in str(error.value)

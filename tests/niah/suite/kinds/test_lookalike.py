"""Two clips of one type in one video: who is whose partner, where they lie, and which letter is the partner's answer."""

import dataclasses
from collections import Counter, defaultdict

import pytest

from niah.suite.build import assemble
from niah.suite.library import Haystack
from niah.types import UserError
from tests.helpers.generate_fakes import suite, world

OPTIONS = ("runs", "sits", "eats", "naps")
LENGTHS = (1000, 3000)
NAMES = {f"needle-{number:02}": 10 + number for number in range(16)}


def made(names=NAMES, kinds=("motion",), answers="ABCD", change=lambda number, clip: clip, **changes):
    """Return the suite of needles whose answers take turns; the haystack's scenes have 25 frames."""
    stacks, clips, library = world(names, kinds=kinds)
    edges = tuple(range(25, 10_000, 25))
    stacks = [Haystack(one.name, one.timeline, one.identities, one.videos, edges) for one in stacks]
    clips = [
        change(n, dataclasses.replace(one, needle=dataclasses.replace(
            one.needle, options=OPTIONS, answer=answers[n % len(answers)]
        )))
        for n, one in enumerate(clips)
    ]  # fmt: skip
    values = {"version": 2, "lengths": LENGTHS, "kinds": ("single", "lookalike"), **changes}
    return assemble(suite(**values), stacks, clips, library)


def of(generated, condition="full"):
    return [case for case in generated.cases if case.kind == "lookalike" and case.condition == condition]


def partner(case):
    (other,) = {placed.needle for placed in case.needles} - {case.needle}
    return other


def same_question(number, clip):
    """Give all clips one question, and each a cue."""
    needle = dataclasses.replace(clip.needle, question="What does the dog do?", cue=f"the clip of dog {number}")
    return dataclasses.replace(clip, needle=needle)


def test_every_needle_has_one_partner_of_its_type_with_another_answer():
    generated = made(kinds=("motion", "digit"))
    answers = {case.needle: case.options["ABCD".index(case.answer)] for case in of(generated)}
    partners = {case.needle: partner(case) for case in of(generated)}
    assert set(partners) == set(NAMES)
    for name, other in partners.items():
        assert partners[other] == name and answers[name] != answers[other]
        assert int(name[-2:]) % 2 == int(other[-2:]) % 2  # types take turns


def test_a_pair_is_one_cluster():
    sources = defaultdict(set)
    for case in of(made()):
        sources[case.needle_source].add(case.needle)
    assert all(len(names) == 2 for names in sources.values()) and len(sources) == 8


def test_both_clips_are_shown_whole_between_whole_scenes():
    for case in of(made()):
        frames = [(span.source, number) for span in case.timeline for number in range(span.start, span.stop)]
        assert len(frames) == case.length == len(set(frames))
        for placed in case.needles:
            shown = frames[placed.start : placed.stop]
            assert shown == [(placed.needle, number) for number in range(NAMES[placed.needle])]
        haystack = [number for source, number in frames if source.startswith("hay")]
        assert haystack == list(range(len(haystack)))
        assert all(span.start % 25 == 0 for span in case.timeline)


def test_the_clip_asked_about_starts_in_its_bin_and_the_partner_in_another():
    for case in of(made()):
        inserted = {placed.needle: placed for placed in case.needles}
        room = case.length - sum(placed.stop - placed.start for placed in case.needles)
        first = min(case.needles, key=lambda placed: placed.start)
        before = {}
        for name, placed in inserted.items():
            before[name] = placed.start - (0 if placed is first else first.stop - first.start)
        bins = {name: min(5 * start // room, 4) for name, start in before.items()}
        assert bins[case.needle] == int(case.id.rpartition(".")[2]) != bins[partner(case)]
        assert case.depth == before[case.needle] / room


def test_the_partners_answer_is_an_option_that_is_known():
    for case in of(made()):
        assert case.confused != case.answer
        theirs = "ABCD"[int(partner(case)[-2:]) % 4]
        assert case.options["ABCD".index(case.confused)] == OPTIONS["ABCD".index(theirs)]


def test_a_constant_letter_is_right_exactly_as_often_as_chance_at_every_length():
    cells = Counter((case.length, case.id.rpartition(".")[2], case.answer) for case in of(made()))
    assert set(cells.values()) == {4} and len(cells) == len(LENGTHS) * 5 * 4  # sixteen needles a cell, four letters


def test_clips_with_one_question_are_told_apart_by_their_cues():
    for case in of(made(change=same_question)):
        number = int(case.needle[-2:])
        assert case.question == f"What does the dog do? This is about the clip of dog {number}."
        assert case.type == "motion, same target"
    assert all(case.question == f"What does {case.needle} do?" and case.type == "motion" for case in of(made()))


def test_the_template_says_that_there_are_clips_unless_the_suite_has_one_of_its_own():
    assert of(made())[0].template == "Short clips were inserted into this video. {question}"
    assert of(made(question_template="{question} Look well."))[0].template == "{question} Look well."


def test_controls_show_both_clips_alone_and_the_partner_in_a_haystack():
    generated = made()
    partners = {case.needle: partner(case) for case in of(generated)}
    alone, swapped = of(generated, "needle_only"), of(generated, "swapped")
    assert len(alone) == len(swapped) == 16 and not of(generated, "no_needle")
    for case in alone:
        assert {placed.needle for placed in case.needles} == {case.needle, partners[case.needle]}
        assert case.length == sum(NAMES[placed.needle] for placed in case.needles)
    assert Counter(case.needles[0].needle == case.needle for case in alone) == {True: 8, False: 8}
    assert all([placed.needle for placed in case.needles] == [partners[case.needle]] for case in swapped)
    assert all(case.length in LENGTHS for case in swapped)
    assert len(of(generated, "blind")) == 16 * 4


def test_a_needle_without_a_partner_is_left_out_and_said():
    generated = made(names=dict(list(NAMES.items())[:5]))
    assert len({case.needle for case in of(generated)}) == 4
    assert sum("no other needle of its type fits it" in skip.why for skip in generated.skipped) == 1


def test_no_source_is_part_of_two_pairs():
    one_film = made(change=lambda n, clip: dataclasses.replace(clip, cluster="film") if n < 6 else clip)
    pairs = {case.needle_source for case in of(one_film)}
    assert sum("film" in pair.split("+") for pair in pairs) == 1 and len(pairs) == 5


REFUSED = [
    ({"answers": "A"}, "no two of 16 needles (1 types, 16 source videos) are such a pair"),
    ({"change": lambda n, clip: dataclasses.replace(clip, target="dog")}, "no two of 16 needles"),
    ({"depth_bins": 1}, "set depth_bins: 2 or more"),
    ({"change": lambda n, clip: dataclasses.replace(same_question(n, clip), needle=dataclasses.replace(
        same_question(n, clip).needle, cue=""))}, "one question and a cue each"),
]  # fmt: skip


@pytest.mark.parametrize("changes, message", REFUSED)
def test_needles_that_form_no_pair_are_refused_with_what_is_missing(changes, message):
    with pytest.raises(UserError) as error:
        made(**changes)
    assert message in str(error.value)

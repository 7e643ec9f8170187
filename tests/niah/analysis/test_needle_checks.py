"""Needles that alias with the frames a model looks at, errors that heap up, and models that guess."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from niah.analysis.checks.controls import check_controls
from niah.analysis.checks.needles import check_needles
from niah.analysis.checks.runs import check_runs
from niah.analysis.load import read_run
from niah.types import LETTERS
from tests.helpers.fake_runs import make_case, make_record, write_run

SUITE = "name: fake\nlengths: [2000]\n{depths}footage: {{world: fake}}\n"


def number(case):
    return int(case.needle[1:])


def one(found, kind):
    """Return the one failed check of a kind."""
    (check,) = [check for check in found if check.kind == kind]
    return check


def uniform(tmp_path, starts, count, kept=lambda case, frames: frames, depths="depths: [0.1, 0.5]\n"):
    """A model that looks at the middle frames of `count` equal parts; `starts` are depths by needle."""
    cases = [make_case(f"n{i}", depth=depth) for i, depth in enumerate(starts)]
    frames = tuple(((2 * i + 1) * 2000) // (2 * count) for i in range(count))
    records = [
        make_record(
            case, frames_used=count, needle_frames_used=case.needle_frames(frames), frames_kept=kept(case, frames)
        )
        for case in cases
    ]
    return read_run(write_run(tmp_path / "run", cases, records, suite=SUITE.format(depths=depths)))


def test_needles_at_fixed_depths_alias_with_evenly_spaced_frames(tmp_path):
    # 20 frames are 50, 150, ...: at depth 0.1 the ten frames are 199 to 208, at 0.5 they are 995 to 1,004
    run = uniform(tmp_path, [0.1, 0.5] * 80, 20)
    check = one(check_needles(run), "aliased")
    assert "0.1: 0 of 80, not 8; 0.5: 0 of 80, not 8 as at random starts" in check.text
    assert check.level == "warning" and len(check.cases) == 160


def test_needles_at_random_starts_do_not_alias(tmp_path):
    starts = np.random.default_rng(1).random(200)
    assert list(check_needles(uniform(tmp_path, starts, 20, depths=""))) == []


def test_a_model_whose_frames_follow_the_video_does_not_alias(tmp_path):
    run = uniform(tmp_path, [0.1, 0.5] * 80, 20, kept=lambda case, frames: (number(case),))
    assert list(check_needles(run)) == []


def test_a_model_that_uses_all_frames_does_not_alias(tmp_path):
    cases = [make_case(f"n{i}", length=100) for i in range(20)]
    records = [make_record(case, frames_used=100, needle_frames_used=10) for case in cases]
    assert list(check_needles(read_run(write_run(tmp_path / "run", cases, records)))) == []


def answered(tmp_path, wrong, needles=32, cells=25):
    """Each needle in so many cells; `wrong` picks the errors by needle and cell."""
    cases = [make_case(f"n{i}", depth=cell / cells) for i in range(needles) for cell in range(cells)]
    records = [
        make_record(case, "A" if wrong(place // cells, place % cells) else "B") for place, case in enumerate(cases)
    ]
    return read_run(write_run(tmp_path / "run", cases, records))


def test_a_few_needles_that_carry_most_errors_are_noted(tmp_path):
    run = answered(tmp_path, lambda needle, cell: cell < 17 if needle < 5 else cell == needle)
    check = one(check_needles(run), "concentrated_errors")
    # 5 x 17 = 85 errors, and one for each of the needles 5 to 24
    assert "5 of 32 needles carry 81% of the 105 errors" in check.text
    assert check.level == "note" and len(check.cases) == 85


ORDINARY = [
    ("errors fall on cases at random", lambda needle, cell: (needle * 7 + cell * 11) % 29 < 3, 32, 25),
    ("each needle is asked once", lambda needle, cell: needle < 4, 32, 1),
    ("few needles", lambda needle, cell: needle == 0, 8, 25),
    ("all wrong", lambda needle, cell: True, 32, 25),
    ("all right", lambda needle, cell: False, 32, 25),
]


@pytest.mark.parametrize("name, wrong, needles, cells", ORDINARY, ids=[case[0] for case in ORDINARY])
def test_errors_that_do_not_heap_up_are_not_noted(tmp_path, name, wrong, needles, cells):
    assert list(check_needles(answered(tmp_path, wrong, needles, cells))) == []


def test_the_development_suite_is_no_evidence(tmp_path):
    cases = [make_case(f"n{i}") for i in range(4)]
    run = read_run(write_run(tmp_path / "run", cases, [make_record(case) for case in cases]))
    assert "development" not in {check.kind for check in check_runs([run])}
    for suite in ("development", "development-motion"):
        check = one(check_runs([dataclasses.replace(run, suite=suite)]), "development")
        assert f"suite {suite} was used to choose models" in check.text and check.level == "warning"


def test_runs_of_two_versions_of_the_rules_are_flagged_side_by_side(tmp_path):
    runs = []
    for model, version in (("a", 1), ("b", 2)):
        cases = [make_case(f"n{i}", version=version) for i in range(8)]
        runs.append(read_run(write_run(tmp_path / model, cases, [make_record(case) for case in cases], model=model)))
    found = check_runs(runs)
    assert "differ in the rules of their suites (a: version 1; b: version 2)" in one(found, "versions").text
    assert one(found, "version_1").models == ("a",)


# ---- models that guess

CONTROLS = ("needle_only", "blind", "no_needle", "swapped")


def guessers(tmp_path, settings=None):
    """Yield runs of a model that guesses each case at random, without frames of the needle in `full`."""
    cases = [
        make_case(f"n{i}", condition, length, answer="ABCD"[i % 4], type="digit" if i % 2 else "motion")
        for i in range(32)
        for condition in ("full", *CONTROLS)
        for length in ((2000, 4000) if condition in ("full", "no_needle", "swapped") else (2000,))
    ]
    records = [make_record(case, frames_used=64, settings=settings or {}) for case in cases]
    run = read_run(write_run(tmp_path / "run", cases, records))
    draw = np.random.default_rng(8)
    while True:
        replies = draw.integers(0, 4, len(cases))
        guessed = {
            case.id: dataclasses.replace(run.records[case.id], reply=LETTERS[reply])
            for case, reply in zip(cases, replies, strict=True)
        }
        yield dataclasses.replace(run, records=guessed)


def accused(runs, count):
    """Return the share of runs of which some control is called a leak."""
    leaks = [any(check.kind.endswith("_above") for check in check_controls(next(runs))) for _ in range(count)]
    return sum(leaks) / count


def test_a_guesser_is_hardly_ever_accused(tmp_path):
    assert accused(guessers(tmp_path), 20) <= 0.15  # were it 5 %, more than 3 of 20 would happen in one of 60 runs


@pytest.mark.simulation
def test_at_most_one_guesser_in_twenty_is_accused(tmp_path):
    assert accused(guessers(tmp_path), 1000) <= 0.05


def test_a_model_that_never_reads_the_question_is_not_scolded_for_guessing(tmp_path):
    honest, other = (
        next(guessers(tmp_path / name, said)) for name, said in (("a", {"reads_question": False}), ("b", {}))
    )
    chance = dataclasses.replace(other, model="chance (seed=1)")
    kinds = [{check.kind for check in check_controls(run)} for run in (honest, chance, other)]
    assert ["not_understood" in found for found in kinds] == [False, False, True]


@pytest.mark.parametrize("kept, kind", [(1, None), (12, "conspicuous_needles"), (0, "ordinary_needles")])
def test_needles_found_more_or_less_often_than_by_chance_are_flagged(tmp_path, kept, kind):
    # Each of 60 cases keeps 5 of 100 frames: 41 of a needle's 91 starts would show one of them
    cases = [make_case(f"n{i}", length=100) for i in range(60)]
    share = {1: 25, 12: 50, 0: 5}[kept]
    records = [
        make_record(
            case,
            frames_kept=(3, 23, 50, 73, 93) if number(case) < share else (3, 23, 63, 73, 93),
            settings={"reads_question": False},
        )
        for case in cases
    ]
    found = {check.kind for check in check_controls(read_run(write_run(tmp_path / "run", cases, records)))}
    assert found & {"conspicuous_needles", "ordinary_needles"} == ({kind} if kind else set())


@pytest.mark.parametrize("whole, kind", [(6, None), (24, "conspicuous_needles")])
def test_frames_kept_in_a_row_are_judged_by_how_many_show_the_needle(tmp_path, whole, kind):
    # Ten frames in a row of 100 meet a clip of ten in few cases, where ten random frames would in 67 %
    cases = [make_case(f"n{i}", length=100) for i in range(60)]
    rows = [
        make_record(
            case,
            frames_kept=case_frames(case) if number(case) < whole else tuple(range(10)),
            settings={"reads_question": False},
        )
        for case in cases
    ]
    found = {check.kind for check in check_controls(read_run(write_run(tmp_path / "run", cases, rows)))}
    assert found & {"conspicuous_needles", "ordinary_needles"} == ({kind} if kind else set())


def case_frames(case):
    """Return the frames of a case's needle."""
    (placed,) = case.needles
    return tuple(range(placed.start, placed.stop))


@pytest.mark.parametrize("together, kind", [(True, None), (False, "ordinary_needles")])
def test_what_one_needle_shows_twelve_times_says_little_about_needles(tmp_path, together, kind):
    # Of the kept frames 2.5 % show the needle, all those of one needle or two of every second; of all frames 10 % do.
    cases = [make_case(f"n{i}", "full", length) for i in range(40) for length in range(100, 112)]
    records = []
    for case in cases:
        shown = (4 if number(case) == 0 else 0) if together else int(number(case) % 2 == 0 and case.length < 102)
        kept = (*case_frames(case)[:shown], 0, 1, 2, 3)[:4]
        records.append(make_record(case, frames_kept=kept, settings={"reads_question": False}))
    checks = {check.kind for check in check_controls(read_run(write_run(tmp_path / "run", cases, records)))}
    assert checks & {"conspicuous_needles", "ordinary_needles"} == ({kind} if kind else set())

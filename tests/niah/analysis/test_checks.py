"""Each validity check fails for a small run that deserves it, and for no other."""

from __future__ import annotations

import json

import pytest

from niah.analysis.checks.failed_check import FailedCheck, as_text
from niah.analysis.checks.runs import check_runs
from niah.analysis.load import join_shards, read_run
from tests.helpers.fake_runs import make_case, make_record, write_run

SUITE = "name: fake\nlengths: [2000, 4000]\ndepths: [0.1, 0.5]\nfootage: {world: fake}\n"


def made(tmp_path, cases, reply=lambda case: "B", model="fake", name=None, suite=None, decides=None, **changes):
    """A run in which every case gets what `reply` says."""
    records = [make_record(case, reply(case), **changes) for case in cases]
    return read_run(write_run(tmp_path / (name or model), cases, records, model=model, suite=suite, decides=decides))


def kinds(*runs, **more):
    return {check.kind for check in check_runs(join_shards(runs), **more)}


def one(found, kind):
    """Return the one failed check of a kind."""
    (check,) = [check for check in found if check.kind == kind]
    return check


def number(case):
    return int(case.needle[1:])


def letters(case):
    """A needle's answer: the letters take turns, so that none is commoner."""
    return "ABCD"[number(case) % 4]


def balanced(count, *conditions, **changes):
    cases = [make_case(f"n{i}", condition, **changes) for i in range(count) for condition in conditions]
    return [make_case(c.needle, c.condition, answer=letters(c), **changes) for c in cases]


def wrong(case):
    return "ABCD"[(number(case) + 1) % 4]


CLEAN = ("full", "needle_only", "blind", "no_needle", "swapped")


def test_a_sound_run_fails_no_check(tmp_path):
    cases = balanced(20, *CLEAN)

    def reply(case):
        if case.condition in ("full", "needle_only"):
            return letters(case)
        return letters(case) if number(case) // 4 == 0 and number(case) % 4 == 0 else wrong(case)

    assert check_runs([made(tmp_path, cases, reply)]) == []


@pytest.mark.parametrize("condition", ["blind", "no_needle", "swapped"])
def test_a_control_above_chance_is_flagged(tmp_path, condition):
    cases = balanced(20, "full", "needle_only", "blind", condition)
    cases = list({case.id: case for case in cases}.values())
    run = made(tmp_path, cases, lambda c: letters(c) if c.condition == condition and number(c) < 15 else wrong(c))
    check = one(check_runs([run]), f"{condition}_above")
    assert check.level == "warning"
    assert "75.0% [" in check.text and "above chance, 25.0%" in check.text
    assert set(check.cases) == {case.id for case in cases if case.condition == condition}


@pytest.mark.parametrize("condition", ["no_needle", "swapped"])
def test_a_control_above_blind_is_flagged_even_at_chance(tmp_path, condition):
    cases = balanced(20, "blind", condition)
    run = made(tmp_path, cases, lambda c: letters(c) if c.condition == condition and number(c) < 8 else wrong(c))
    # 8 of 20 are 40 % [22, 61], not above chance; blind gets none
    text = one(check_runs([run]), f"{condition}_above").text
    assert "is above blind, by 40.0 points" in text and "above chance" not in text


def test_a_control_of_one_type_above_chance_is_flagged_with_the_type(tmp_path):
    cases = [
        make_case(c.needle, c.condition, answer=c.answer, type="motion" if number(c) < 12 else "digit")
        for c in balanced(40, "swapped", "blind")
    ]
    run = made(tmp_path, cases, lambda c: letters(c) if c.condition == "swapped" and number(c) < 10 else wrong(c))
    (check,) = [d for d in check_runs([run]) if d.kind == "swapped_above" and "chance" in d.text]
    assert check.text.startswith("fake, swapped on motion: 83.3%")  # of all, 10 of 40 are chance
    assert (check.level, len(check.cases)) == ("warning", 12)


def test_two_needles_of_four_guessed_by_chance_are_no_leak_however_often_they_are_asked(tmp_path):
    cases = [make_case(f"n{i}", "no_needle", length=2000 + 2000 * j) for i in range(4) for j in range(5)]
    assert "no_needle_above" not in kinds(made(tmp_path, cases, lambda c: "B" if number(c) < 2 else "A"))


def test_needle_only_not_above_blind_says_nothing_about_length(tmp_path):
    cases = balanced(20, "full", "needle_only", "blind")
    run = made(tmp_path, cases, lambda c: letters(c) if number(c) < 6 else wrong(c))
    check = one(check_runs([run]), "not_understood")
    assert "says nothing about length" in check.text and check.level == "warning"


def test_few_needles_are_a_note_as_more_would_tell(tmp_path):
    run = made(tmp_path, balanced(4, "full", "needle_only", "blind"), wrong)
    (check,) = [check for check in check_runs([run]) if check.kind == "not_understood"]
    assert check.level == "note"
    assert "fake, needle_only: 4 needles are too few to tell whether clips are read" in check.text


def test_one_needle_is_a_note_too(tmp_path):
    check = one(check_runs([made(tmp_path, balanced(1, "needle_only", "blind"), wrong)]), "not_understood")
    assert check.level == "note" and "1 needle is too few to tell whether clips are read" in check.text


@pytest.mark.parametrize("settings, blamed", [({}, True), ({"reads_question": False}, False)])
def test_a_model_that_guesses_by_design_is_not_blamed_for_it(tmp_path, settings, blamed):
    cases = [*balanced(20, "full", "needle_only", "blind"), *balanced(20, "no_needle")]
    for lucky in (wrong, letters):  # guesses nothing; guesses all
        run = made(tmp_path / lucky.__name__, cases, lucky, settings=settings)
        told = {check.kind for check in check_runs([run]) if check.level == "warning"}
        assert bool(told & {"not_understood", "blind_above", "no_needle_above"}) == blamed


def test_a_type_that_is_not_understood_is_flagged_by_itself(tmp_path):
    cases = [
        make_case(c.needle, c.condition, answer=c.answer, type="motion" if number(c) < 5 else "digit")
        for c in balanced(25, "needle_only", "blind")
    ]
    run = made(tmp_path, cases, lambda c: letters(c) if c.condition == "needle_only" and number(c) >= 5 else wrong(c))
    check = one(check_runs([run]), "not_understood")
    assert "needle_only on motion is not significantly above blind" in check.text
    assert check.level == "note"


def test_controls_that_were_not_asked_are_named(tmp_path):
    check = one(check_runs([made(tmp_path, balanced(8, "full"))]), "not_asked")
    assert "needle_only and blind not asked" in check.text and check.level == "note"


QUESTION_BLIND = {"reads_question": False}  # as an adapter that selects frames without the question says


@pytest.mark.parametrize("settings, raised", [(QUESTION_BLIND, True), ({}, False)])
def test_needles_that_an_adapter_without_question_finds_are_flagged(tmp_path, settings, raised):
    cases = balanced(10, "full", length=100)  # 10 of 100 frames show the needle
    run = made(tmp_path, cases, letters, settings=settings, frames_kept=(50,))
    assert ("conspicuous_needles" in kinds(run)) == raised


def test_needles_found_as_often_as_by_chance_are_not_flagged(tmp_path):
    cases = balanced(10, "full", length=100)
    records = [
        make_record(c, letters(c), frames_kept=(50 if number(c) == 0 else 5,), settings=QUESTION_BLIND) for c in cases
    ]
    run = read_run(write_run(tmp_path / "run", cases, records))
    assert "conspicuous_needles" not in kinds(run)


@pytest.mark.parametrize("silent, raised", [(1, False), (2, True)])
def test_more_than_one_reply_in_twenty_without_an_option_is_flagged(tmp_path, silent, raised):
    cases = balanced(20, "full")
    found = check_runs([made(tmp_path, cases, lambda c: "A or B" if number(c) < silent else letters(c))])
    assert ("unanswered" in {check.kind for check in found}) == raised
    if raised:
        assert one(found, "unanswered").cases == tuple(case.id for case in cases[:2])


def grid(tmp_path, status):
    """Eight needles at two lengths and depths; all at 4,000 and 0.5 have no answer."""
    places = [(length, depth) for length in (2000, 4000) for depth in (0.1, 0.5)]
    cases = [make_case(f"n{i}", "full", *place) for i in range(8) for place in places]
    records = [make_record(c, status=status if c.length == 4000 and c.depth > 0.4 else "ok") for c in cases]
    return read_run(write_run(tmp_path / "run", cases, [r for r in records if r.status != "missing"], suite=SUITE))


def test_cells_out_of_memory_are_named_in_what_averages_over_them(tmp_path):
    check = one(check_runs([grid(tmp_path, "oom")]), "oom")
    assert "out of memory in 8 of 32 cases (at 4K); averages over these cells" in check.text
    assert len(check.cases) == 8


@pytest.mark.parametrize("status", ["error", "timeout"])
def test_cells_without_an_answer_are_named(tmp_path, status):
    assert f"8 {status} in 8 of 32 cases (at 4K)" in one(check_runs([grid(tmp_path, status)]), "no_answer").text


def test_missing_cells_are_named(tmp_path):
    cases = balanced(10, "full")
    run = read_run(write_run(tmp_path / "run", cases, [make_record(case) for case in cases[:4]]))
    assert "6 missing in 6 of 10 cases" in one(check_runs([run]), "no_answer").text


def test_a_run_that_only_ran_out_of_memory_has_no_accuracy(tmp_path):
    cases = balanced(10, "full")
    run = read_run(write_run(tmp_path / "run", cases, [make_record(case, status="oom") for case in cases]))
    assert "10 of 10 cases (at 2K); there is no accuracy at all" in one(check_runs([run]), "oom").text


def test_repeated_frames_are_flagged_once_for_all_models(tmp_path):
    cases = balanced(8, "full", repeats=20)
    check = one(check_runs([made(tmp_path, cases, letters, model) for model in ("a", "b")]), "repeats")
    assert "suite fake: 8 of 8 cases show one frame in a hundred or more twice" in check.text
    assert check.models == ("a", "b")


def test_a_few_repeated_frames_are_not_flagged(tmp_path):
    checks = check_runs([made(tmp_path, balanced(8, "full", repeats=19), letters)])
    assert not [check for check in checks if check.kind == "repeats"]


def test_near_duplicates_of_an_asked_needle_are_flagged(tmp_path):
    cases = balanced(2, "full", "blind")
    write_run(tmp_path / "fake", cases, [make_record(case) for case in cases])
    twin = {"first": "n1", "first_frame": 3, "second": "h", "second_frame": 90, "distance": 2}
    far = {"first": "n9", "first_frame": 3, "second": "h", "second_frame": 9, "distance": 2}
    lines = "".join(json.dumps(row) + "\n" for row in (twin, far))
    (tmp_path / "fake" / "near_duplicates.jsonl").write_text(lines)
    check = one(check_runs([read_run(tmp_path / "fake")]), "near_duplicate")
    assert "frame 3 of n1 looks like frame 90 of h (2 of 64 bits differ)" in check.text
    assert check.cases == ("n1.full.2000.995",)  # the blind case holds no footage


def test_an_answer_letter_that_is_right_too_often_is_flagged(tmp_path):
    cases = [make_case(f"n{i}", "full", answer="C" if i < 5 else letters(make_case(f"n{i}"))) for i in range(10)]
    # C for n0 to n4 and, by turns, n6: 6 of 10
    check = one(check_runs([made(tmp_path, cases)]), "letters")
    assert "C is right for 6 of 10 cases, so always answering C gets 60.0% where chance is 25.0%" in check.text


def test_letters_that_take_turns_are_not_flagged(tmp_path):
    assert "letters" not in kinds(made(tmp_path, balanced(10, "full")))  # 3, 3, 2, 2


def test_needles_selected_by_another_model_are_noted_and_by_itself_flagged(tmp_path):
    suite = SUITE + "kept: {by: vilamp (pretrained=x), needles: [n0]}\n"
    runs = [made(tmp_path, balanced(8, "full"), letters, model, suite=suite) for model in ("vilamp", "chance")]
    found = {check.models: check.level for check in check_runs(runs) if check.kind == "selection"}
    assert found == {("vilamp",): "warning", ("chance",): "note"}  # other settings, but the same adapter


DIFFERENT = [
    ("decoder", {"decoder": "other 2"}, "differ in decoder (a: fake 1; b: other 2)"),
    ("frames", {"frames_used": 64}, "differ in frames seen (a: 0 to 0, median 0; b: 64 to 64, median 64)"),
    ("mode", {"mode": "likelihood"}, "differ in answering mode (a: generated; b: likelihood)"),
    ("files", {"sources": ("h@1",)}, "other video files under the same names"),
]


@pytest.mark.parametrize("kind, changes, words", DIFFERENT)
def test_runs_that_differ_in_more_than_the_model_are_flagged(tmp_path, kind, changes, words):
    cases = balanced(8, "full")
    runs = [made(tmp_path, cases, letters, "a"), made(tmp_path, cases, letters, "b", **changes)]
    assert words in one(check_runs(runs), kind).text


SHOWN = [
    (
        "frame_size",
        [{"frame_size": (384, 384)}, {"frame_size": (96, 96)}],
        "(a: 384x384; b: 96x96)",
    ),
    (
        "frame_tokens",
        [{"settings": {"tokens_per_frame": count}} for count in (64.0, 8.5)],
        "(a: 64 to 64, median 64; b: 8.5 to 8.5, median 8.5)",
    ),
    ("cut_short", [{"finish_reason": reason} for reason in ("stop", "length")], "(a: none; b: 8 of 8)"),
]


@pytest.mark.parametrize("kind, changes, words", SHOWN)
def test_models_that_were_shown_different_things_are_noted(tmp_path, kind, changes, words):
    runs = [
        made(tmp_path, balanced(8, "full"), letters, model, **own) for model, own in zip("ab", changes, strict=True)
    ]
    assert words in one(check_runs(runs), kind).text


def sampled(**changes):
    return {"sampling": {"rate": "1", "width": 64, "height": 64, "fit": "stretch", **changes}}


@pytest.mark.parametrize("change, words", [({"width": 384}, "width 384"), ({"fit": "pad"}, "fit pad")])
def test_runs_of_equal_cases_that_saw_other_pixels_are_flagged(tmp_path, change, words):
    cases = balanced(8, "full")
    of = {"a": sampled(), "b": sampled(**change)}
    runs = [made(tmp_path, cases, letters, model, decides=decides) for model, decides in of.items()]
    text = one(check_runs(join_shards(runs)), "sampling").text
    assert "differ in sampling (a: fit stretch, height 64, rate 1, width 64; b: fit " in text and words in text


def test_a_missing_record_hides_no_other_file(tmp_path):
    cases = balanced(8, "full")
    first = made(tmp_path, cases, letters, "a", sources=("h@0",))
    records = [make_record(case, letters(case), sources=("h@1",)) for case in cases[1:]]
    second = read_run(write_run(tmp_path / "b", cases, records, model="b"))
    assert "other video files" in one(check_runs([first, second]), "files").text


def test_files_of_cases_that_only_one_run_recorded_are_not_compared(tmp_path):
    cases = balanced(8, "full")
    first = made(tmp_path, cases, letters, "a")
    second = read_run(write_run(tmp_path / "b", cases, [make_record(case) for case in cases[1:]], model="b"))
    assert "files" not in kinds(first, second)


def test_runs_that_differ_in_the_model_alone_are_not_flagged(tmp_path):
    cases = balanced(8, "full")
    runs = [made(tmp_path, cases, letters, model, decides=sampled()) for model in ("a", "b")]
    assert kinds(*runs) == {"not_asked"}


def test_runs_of_different_cases_are_flagged(tmp_path):
    runs = [made(tmp_path, balanced(8, "full"), model="a"), made(tmp_path, balanced(12, "full"), model="b")]
    check = one(check_runs(runs), "cases")
    assert "(a 8, b 12; 8 in common)" in check.text and check.level == "warning"


def test_published_points_belong_to_another_suite(tmp_path):
    run = made(tmp_path, balanced(8, "full"))
    assert "published numbers are shown beside suite fake" in one(check_runs([run], published=True), "published").text
    assert "published" not in kinds(run)


def test_warnings_come_before_notes(tmp_path):
    cases = balanced(20, "full", "needle_only", "blind", repeats=1, version=1)
    found = check_runs([made(tmp_path, cases, wrong)])
    assert [check.level for check in found] == ["warning", "warning", "note"]
    lines = as_text(found).splitlines()
    assert lines[0].startswith("WARNING: fake, needle_only is not significantly above blind")
    assert lines[-1].startswith("note: suite fake follows version 1")


def test_an_unknown_level_is_refused():
    with pytest.raises(ValueError, match="unknown level 'grave'"):
        FailedCheck("x", "y", "grave", ())

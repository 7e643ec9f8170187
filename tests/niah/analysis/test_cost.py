"""What a run cost, from records written by hand: seconds by stage, with and without reuse, memory over length."""

import dataclasses

import pytest

from niah.analysis.cost import breakdown, compare_reuse, costs, fit_memory
from niah.analysis.load import read_run
from niah.types import UserError
from tests.helpers.commands import cost as main
from tests.helpers.fake_runs import make_case, make_record, write_run

CASES = [make_case("a"), make_case("b"), make_case("a", length=4000), make_case("a", "blind")]


def took(case, encode, prefill, total, reused=0, **changes):
    """A record of a case whose two stages and whole time are given, in seconds."""
    seconds = {"encode": encode, "prefill": prefill}
    decoded = case.length - reused
    measured = {
        "seconds": seconds, "file_to_answer_seconds": total, "reused_frames": reused, "decoded_frames": decoded
    }  # fmt: skip
    return make_record(case, **{**changes, "measured": {**measured, **changes.get("measured", {})}})


@pytest.fixture
def reusing(tmp_path):
    records = [
        took(CASES[0], 4.0, 0.5, 5.0),
        took(CASES[1], 0.0, 0.5, 1.0, reused=1990),
        took(CASES[2], 2.0, 1.0, 3.5, reused=1990),
        took(CASES[3], 0.0, 0.5, 0.5),
    ]
    return write_run(tmp_path / "reusing", CASES, records)


@pytest.fixture
def without(tmp_path):
    """The same answers, every frame encoded again: 80 seconds instead of 10."""
    times = [(4.0, 0.5, 5.0), (34.0, 0.5, 35.0), (38.0, 1.0, 39.5), (0.0, 0.5, 0.5)]
    records = [took(case, *three) for case, three in zip(CASES, times, strict=True)]
    return write_run(tmp_path / "without", CASES, records, reuse=False)


def test_stages_are_means_over_a_length_apart_for_what_found_features_stored(reusing):
    table = breakdown(costs(read_run(reusing)))
    assert list(table.index) == [
        ("2000", "not reused"),
        ("2000", "reused"),
        ("4000", "reused"),
        ("blind", "not reused"),
        ("all", ""),
    ]
    assert table.loc[("2000", "not reused"), ["cases", "encode", "prefill", "other", "total"]].tolist() == [
        1, 4.0, 0.5, 0.5, 5.0
    ]  # fmt: skip
    assert table.loc[("all", ""), ["cases", "encode", "total"]].tolist() == [4, 1.5, 2.5]  # 6 and 10 seconds over 4


def test_a_stage_one_case_did_not_come_to_took_it_no_time(tmp_path):
    blind = took(CASES[3], 0.0, 0.5, 0.5, measured={"seconds": {"prefill": 0.5}})
    run = write_run(tmp_path / "run", [CASES[0], CASES[3]], [took(CASES[0], 4.0, 0.5, 5.0), blind])
    assert costs(read_run(run))["encode"].tolist() == [4.0, 0.0]


def test_the_page_says_cases_a_minute_and_frames_decoded(reusing, capsys):
    assert main([str(reusing)]) == 0
    said = capsys.readouterr().out
    assert "4 cases, 24.0 per minute" in said  # 4 in 10 seconds
    assert "frames asked 8,000, decoded 4,020" in said  # 2,000 + 10 + 2,010
    assert "peak host memory 2,048 MiB" in said


def test_a_failed_case_is_counted_and_left_out(tmp_path, capsys):
    records = [took(CASES[0], 4.0, 0.5, 5.0), make_record(CASES[1], status="oom")]
    assert main([str(write_run(tmp_path / "run", CASES[:2], records))]) == 0
    assert "1 cases, 12.0 per minute, from file to answer; 1 without an answer are left out" in capsys.readouterr().out


def test_the_ratio_is_of_the_time_from_file_to_answer(reusing, without):
    found = compare_reuse(read_run(reusing), read_run(without))
    assert found.ratio == 8.0
    assert found.seconds.loc["encode", ["with", "without"]].tolist() == [6.0, 76.0]
    assert found.decoded == (4020, 8000)
    assert (found.cases, found.differing, found.score_gap) == (4, (), 0.0)


def test_equal_answers_exit_with_0(reusing, without, capsys):
    assert main([str(reusing), str(without)]) == 0
    said = capsys.readouterr().out
    assert "reuse is 8.0 times as fast (target 8: reached)" in said
    assert "4 of 4, 0 differ" in said


def test_one_differing_answer_is_named_and_exits_with_1(reusing, tmp_path, capsys):
    other = [took(case, 1.0, 0.5, 2.0, reply="C" if case is CASES[1] else "B") for case in CASES]
    assert main([str(reusing), str(write_run(tmp_path / "other", CASES, other))]) == 1
    said = capsys.readouterr().out
    assert "3 of 4, 1 differ" in said
    assert "differs: b.full.2000.995" in said


def test_a_score_that_differs_in_its_last_digit_is_a_differing_answer(tmp_path):
    scores = (-0.5, -1.0, -2.0, -3.0), (-0.5, -1.0, -2.0, -3.25)
    runs = [
        read_run(write_run(tmp_path / str(n), CASES[:1], [took(CASES[0], 1.0, 1.0, 2.0, option_scores=s)]))
        for n, s in enumerate(scores)
    ]
    found = compare_reuse(*runs)
    assert found.differing == (CASES[0].id,)
    assert found.score_gap == 0.25


def test_runs_of_different_cases_are_refused(reusing, tmp_path):
    moved = dataclasses.replace(CASES[0], question="Which way now?")
    cases = [moved, CASES[1], make_case("c")]
    other = write_run(tmp_path / "other", cases, [took(case, 1.0, 0.5, 2.0) for case in cases])
    with pytest.raises(UserError, match="2 only in the first, 1 only in the second, 1 differ"):
        compare_reuse(read_run(reusing), read_run(other))


def test_a_run_that_was_not_finished_is_refused(reusing, tmp_path):
    half = write_run(tmp_path / "half", CASES, [took(CASES[0], 4.0, 0.5, 5.0)])
    with pytest.raises(UserError, match="3 cases were not asked and 0 have no answer"):
        compare_reuse(read_run(reusing), read_run(half))


def test_a_run_that_reused_frames_is_not_taken_for_one_without_reuse(reusing, without):
    with pytest.raises(UserError, match=r"reused frames in 2 cases \(b\.full\.2000\.995\)"):
        compare_reuse(read_run(without), read_run(reusing))


def test_a_frame_reused_within_its_own_case_is_no_reuse_between_cases(reusing, tmp_path):
    records = [took(case, 1.0, 0.5, 2.0, reused=3 * (n == 0), repeats=3 * (n == 0)) for n, case in enumerate(CASES)]
    found = compare_reuse(read_run(reusing), read_run(write_run(tmp_path / "repeating", CASES, records)))
    assert found.cases == 4


def test_two_models_are_not_compared(reusing, tmp_path):
    other = [took(case, 1.0, 0.5, 2.0, model="another") for case in CASES]
    with pytest.raises(UserError, match="different models.*another, fake"):
        compare_reuse(read_run(reusing), read_run(write_run(tmp_path / "other", CASES, other)))


def lengths_run(folder, peaks, **measured):
    """A run of cold full cases: frames -> peak bytes."""
    cases = [make_case("a", length=frames) for frames in peaks]
    records = [
        make_record(case, measured={"peak_host_bytes": peak, **measured})
        for case, peak in zip(cases, peaks.values(), strict=True)
    ]
    return write_run(folder, cases, records)


def test_the_slope_is_bytes_a_frame_and_the_start_what_the_model_takes(tmp_path):
    line = fit_memory(read_run(lengths_run(tmp_path / "run", {1000: 7000, 2000: 9000, 4000: 13_000})))
    assert line.slope == pytest.approx(2.0)
    assert line.start == pytest.approx(5000.0)


@pytest.mark.parametrize("documented, code", [(2.0, 0), (1.9, 0), (2.3, 1), (1.8, 1)])
def test_documented_bytes_hold_within_a_tenth(tmp_path, documented, code):
    run = lengths_run(tmp_path / "run", {1000: 7000, 2000: 9000, 4000: 13_000})
    assert main(["--memory", str(run), "--documented", str(documented)]) == code


@pytest.mark.parametrize("measured", [{"cold": False}, {"reused_frames": 5}])
def test_memory_that_other_answers_may_have_left_is_not_fitted(tmp_path, measured):
    run = lengths_run(tmp_path / "run", {1000: 7000, 2000: 9000, 4000: 13_000}, **measured)
    with pytest.raises(UserError, match="at 0 lengths, 3 are needed"):
        fit_memory(read_run(run))


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["a", "b", "c"], "got 3"),
        (["--memory", "a", "b"], "one for --memory"),
        (["--documented", "5", "a"], "needs --memory"),
    ],
)
def test_a_mistake_in_the_command_exits_with_2(tmp_path, reusing, capsys, arguments, words):
    named = [str(reusing) if argument in "abc" else argument for argument in arguments]
    assert main(named) == 2
    assert words in capsys.readouterr().err

"""Accuracy by needle frames used and by right letter, and the control that comes for free: no needle frame used."""

from __future__ import annotations

import dataclasses

import pytest

from niah.analysis.checks.runs import check_runs
from niah.analysis.exposure import ExposureRow, exposure_rows, exposure_summary
from niah.analysis.letters import LetterRow, letter_rows, letter_summary
from niah.analysis.load import read_run
from niah.analysis.power import power_summary
from tests.helpers.fake_runs import make_case, make_record, write_run


def seen(tmp_path, cases, frames, reply):
    """A run that used so many frames of each needle, of 64 in all."""
    records = [make_record(case, reply(case), frames_used=64, needle_frames_used=frames(case)) for case in cases]
    return read_run(write_run(tmp_path / "run", cases, records))


def number(case):
    return int(case.needle[1:])


def test_accuracy_is_counted_by_needle_frames_used_and_type(tmp_path):
    cases = [make_case(f"n{i}", type="digit" if i % 2 else "motion") for i in range(12)]
    run = seen(tmp_path, cases, lambda c: number(c) // 2, lambda c: "B" if number(c) >= 6 else "A")
    rows = {(row.type, row.frames): (row.n, row.correct) for row in exposure_rows(run)}
    # needles 0 and 1 were used in no frame, 2 and 3 in one, 4 to 7 in two or three, 8 to 11 in four or five
    assert rows["all", "0"] == (2, 0) and rows["all", "1"] == (2, 0)
    assert rows["all", "2-3"] == (4, 2) and rows["all", "4 and more"] == (4, 4)
    assert rows["digit", "2-3"] == (2, 1) and rows["motion", "4 and more"] == (2, 2)
    assert ["motion", "2-3", "50.0%"] in [line.split()[:3] for line in exposure_summary([run]).splitlines()]


def test_a_model_that_reports_no_frames_has_no_exposure(tmp_path):
    cases = [make_case(f"n{i}") for i in range(4)]
    run = read_run(write_run(tmp_path / "run", cases, [make_record(case) for case in cases]))
    assert exposure_rows(run) == [] and exposure_summary([run]) == ""


def test_a_row_of_one_source_has_no_interval(tmp_path):
    run = seen(tmp_path, [make_case("n0")], lambda c: 5, lambda c: "B")
    assert exposure_rows(run) == [ExposureRow("all", "4 and more", 1, 1, None, None)]
    assert exposure_summary([run]) == ""  # one group: the table above says as much


def letters(case):
    return "ABCD"[number(case) % 4]


def wrong(case):
    return "ABCD"[(number(case) + 1) % 4]


@pytest.mark.parametrize("frames, raised", [(0, True), (1, False)])
def test_right_answers_without_a_needle_frame_are_a_leak(tmp_path, frames, raised):
    cases = [make_case(f"n{i}", answer="ABCD"[i % 4]) for i in range(20)]
    run = seen(tmp_path, cases, lambda c: frames, lambda c: letters(c) if number(c) < 15 else wrong(c))
    found = {check.kind: check for check in check_runs([run])}
    assert ("unseen_above" in found) == raised
    if raised:
        check = found["unseen_above"]
        assert check.text.startswith("fake, unseen: 75.0% [") and "of which no frame was used" in check.text
        assert check.level == "warning"


def test_the_slope_is_printed_raw_and_given_exposure(tmp_path):
    # Ten needles are right where a frame of them was used; at 4,000 frames half as many are used
    cases = [make_case(f"n{i}", length=length) for i in range(20) for length in (2000, 4000)]
    used = {2000: 20, 4000: 10}
    run = seen(
        tmp_path, cases, lambda c: int(number(c) < used[c.length]), lambda c: "B" if number(c) < used[c.length] else "A"
    )
    records = {name: record for name, record in run.records.items()}
    told = power_summary([run])
    assert "slope over length: -25.0 points per 1,000 frames" in told
    assert "given needle frames used" not in told  # exposure explains all of it
    luck = cases[1].id  # one needle is missed although it was used
    records[luck] = dataclasses.replace(records[luck], reply="A", needle_frames_used=1)
    assert "slope over length, given needle frames used: " in power_summary([dataclasses.replace(run, records=records)])


def test_a_constant_guesser_is_visible_by_letter(tmp_path):
    cases = [make_case(f"n{i}", answer="ABCD"[i % 4]) for i in range(12)]
    run = seen(tmp_path, cases, lambda c: 5, lambda c: "C")
    assert letter_rows(run) == [
        LetterRow("A", 3, 0, 0), LetterRow("B", 3, 0, 0), LetterRow("C", 3, 3, 12), LetterRow("D", 3, 0, 0),
    ]  # fmt: skip
    lines = [line.split() for line in letter_summary([run]).splitlines()]
    assert ["C", "100.0%", "(3)", "replied", "100.0%"] in lines and ["A", "0.0%", "(3)", "replied", "0.0%"] in lines

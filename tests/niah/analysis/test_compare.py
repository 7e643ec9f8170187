"""The verdict on two runs: what it says, what it admits, and what it refuses."""

from __future__ import annotations

import dataclasses
import re

import pytest

from niah.analysis.checks.runs import check_runs
from niah.analysis.compare.comparisons import pair_runs
from niah.analysis.compare.verdict import comparison_page
from niah.analysis.load import read_run
from niah.types import UserError
from tests.helpers.commands import compare as main
from tests.helpers.fake_runs import make_case, make_record, write_run

LENGTHS = "name: fake\nlengths: [2000, 4000]\ndepths: [0.5]\nfootage: {world: fake}\n"


def made(tmp_path, model, cases, right, lost=lambda case: False, status="oom", suite=None):
    """A run in which the cases `right` picks are right, and those `lost` picks have no answer."""
    records = [
        make_record(case, "B" if right(case) else "A", status=status if lost(case) else "ok", model=model)
        for case in cases
    ]
    return read_run(write_run(tmp_path / model, cases, records, model=model, suite=suite))


def number(case):
    return int(case.needle[1:])


def once(count=20, **changes):
    return [make_case(f"n{i}", **changes) for i in range(count)]


def told(tmp_path, first, second, cases=None):
    """The page on models a and b."""
    cases = cases or once()
    return comparison_page(pair_runs([made(tmp_path, "a", cases, first), made(tmp_path, "b", cases, second)]))


def test_the_better_model_is_named_with_points_and_interval(tmp_path):
    text = told(tmp_path, lambda c: number(c) < 18, lambda c: number(c) < 8)
    # 10 pairs differ, all one way: McNemar's p is 2 / 2^10 = 0.00195; Bonett and Price: 10 / 22 -+ 1.96 sqrt(...)
    # with (11 + 1 - 100 / 22) / 22 / 22 = 0.0154, so 45.5 -+ 24.3
    assert "full: a 90.0%, b 40.0% of 20 cases both answered." in text
    assert "a is better than b by 50.0 points [21.1, 69.8] on this one haystack" in text
    assert "(exact McNemar, 20 needle sources, haystacks taken as fixed: fewer than 20, p = 0.002)" in text


def test_the_better_model_may_be_the_second(tmp_path):
    text = told(tmp_path, lambda c: number(c) < 8, lambda c: number(c) < 18)
    assert "b is better than a by 50.0 points [21.1, 69.8]" in text


def test_no_difference_is_reported_with_the_smallest_detectable_one(tmp_path):
    text = told(tmp_path, lambda c: number(c) % 2 == 0, lambda c: number(c) % 2 == 0)
    # 1.96 sqrt(2) / 22 = 12.6 points; six of 20 must differ for McNemar, with power 0.8: 37 %
    assert "No significant difference: a - b is +0.0 points [-12.6, 12.6]" in text
    assert "Neither is better by more than 12.6 points" in text
    assert "The smallest detectable difference (80 % power) is 36.6 points" in text


def test_an_interval_that_excludes_0_is_no_verdict_if_the_test_is_not_significant(tmp_path):
    text = told(tmp_path, lambda c: number(c) < 15, lambda c: number(c) < 10)
    # 5 pairs differ, all one way: McNemar's p is 2 / 2^5 = 0.0625
    assert "No significant difference" in text and "p = 0.062" in text
    assert "the interval excludes 0, but the test is not significant" in text


def test_depth_bins_are_written_in_order_as_in_tables(tmp_path):
    suite = "name: fake\nlengths: [2000]\ndepth_bins: 3\nfootage: {world: fake}\n"
    cases = [
        make_case(f"n{i}", length=length, depth=depth)
        for i in range(20)
        for length, depth in ((2000, 0.9), (2200, 0.1), (2400, 0.5))
    ]
    first = made(tmp_path, "a", cases, lambda c: number(c) < 18, suite=suite)
    second = made(tmp_path, "b", cases, lambda c: number(c) < 8, suite=suite)
    told = re.findall(r"depth (\d+-\d+)%", comparison_page(pair_runs([first, second])))
    assert told == ["0-33", "33-67", "67-100"]


def test_needles_asked_in_several_cells_are_clusters(tmp_path):
    cases = [make_case(f"n{i}", length=length) for i in range(20) for length in (2000, 4000)]
    text = told(tmp_path, lambda c: number(c) < 16, lambda c: number(c) < 6, cases)
    assert "paired t-test, clustered, 20 needle sources" in text


def test_needles_cut_from_one_video_are_one_source(tmp_path):
    cases = [make_case(f"n{i}", needle_source=f"v{i // 2}") for i in range(20)]
    text = told(tmp_path, lambda c: number(c) < 16, lambda c: number(c) < 6, cases)
    assert "paired t-test, clustered, 10 needle sources" in text


def test_with_twenty_haystacks_the_verdict_generalises_to_others(tmp_path):
    cases = [make_case(f"n{i}", length=length, haystack=f"h{i}") for i in range(20) for length in (2000, 4000)]
    text = told(tmp_path, lambda c: number(c) < 16, lambda c: number(c) < 6, cases)
    assert "points for needles and haystacks like these" not in text  # it has an interval in between
    assert "] for needles and haystacks like these" in text
    assert "20 needle sources and 20 haystacks" in text


def test_one_needle_source_says_nothing_beyond_its_cases(tmp_path):
    cases = [make_case("n0", length=length) for length in (2000, 4000)]
    text = told(tmp_path, lambda c: True, lambda c: False, cases)
    assert "Nothing can be said beyond these cases: all come from one needle source" in text


def test_cases_without_an_answer_are_left_out_and_reported(tmp_path):
    cases = once()
    runs = [
        made(tmp_path, "a", cases, lambda c: True, lost=lambda c: number(c) >= 15),
        made(tmp_path, "b", cases, lambda c: number(c) < 5),
    ]
    text = comparison_page(pair_runs(runs))
    assert "full: a 100.0%, b 33.3% of 15 cases both answered." in text
    assert "no answer: a 5 oom. Counted as wrong, a - b would be +50.0 points of 20 cases" in text


def test_cases_of_other_conditions_are_not_among_those_left_out_of_the_verdict(tmp_path):
    cases = [*once(), *[make_case(f"n{i}", "blind") for i in range(20)]]
    runs = [
        made(tmp_path, "a", cases, lambda c: True, lost=lambda c: c.condition == "blind"),
        made(tmp_path, "b", cases, lambda c: number(c) < 5),
    ]
    assert "Left out" not in comparison_page(pair_runs(runs))


def test_a_run_that_only_ran_out_of_memory_is_refused(tmp_path):
    cases = once()
    runs = [made(tmp_path, "a", cases, lambda c: True), made(tmp_path, "b", cases, lambda c: True, lost=lambda c: True)]
    with pytest.raises(UserError, match=r"a and b have no case that both answered \(b 20 oom\)"):
        comparison_page(pair_runs(runs))


def test_secondary_comparisons_are_corrected_together(tmp_path):
    cases = [
        *[make_case(f"n{i}", length=length) for i in range(20) for length in (2000, 4000)],
        *[make_case(f"n{i}", "blind") for i in range(20)],
    ]
    # At 2,000 and 4,000 alike 10 pairs of 20 differ, all one way, p 0.00195; at blind none, p 1. The slopes agree.
    text = told(tmp_path, lambda c: c.condition == "full" and number(c) < 10, lambda c: False, cases)
    assert "p corrected together for 3 of them (Holm)" in text
    rows = [line.split() for line in text.splitlines() if line.startswith(("  full, length", "  blind"))]
    assert [row[-2] for row in rows] == ["0.006*", "0.006*", "1.000"]  # 3 x 0.00195, then 2 x, never falling


def test_a_slope_that_differs_is_reported_per_thousand_frames(tmp_path):
    cases = [make_case(f"n{i}", length=length) for i in range(20) for length in (2000, 4000)]
    text = told(tmp_path, lambda c: True, lambda c: c.length == 2000 or number(c) < 4, cases)
    # The second falls from 100 % to 20 % over two thousand frames
    assert "slope over length       +40.0  [" in text and "per 1,000 frames" in text


def test_three_runs_are_compared_two_by_two_and_corrected(tmp_path):
    cases = once()
    runs = [
        made(tmp_path, name, cases, lambda c, least=least: number(c) >= least)
        for name, least in (("a", 0), ("b", 10), ("c", 20))
    ]
    text = comparison_page(pair_runs(runs))
    assert "a is better than b by 50.0 points" in text and "b is better than c by 50.0 points" in text
    assert "p = 0.004, corrected for 3 pairs" in text  # 2 x 0.00195: the third pair's is smaller


def test_only_cases_asked_of_all_are_compared(tmp_path):
    runs = [made(tmp_path, "a", once(20), lambda c: True), made(tmp_path, "b", once(12), lambda c: False)]
    assert "of 12 cases both answered" in comparison_page(pair_runs(runs))


def test_runs_without_a_common_case_are_refused_with_their_suites(tmp_path):
    runs = [made(tmp_path, "a", once(3), lambda c: True), made(tmp_path, "b", once(3, length=4000), lambda c: True)]
    with pytest.raises(UserError, match=r"\(a, suite fake\).* have no case in common"):
        pair_runs(runs)


def test_cases_of_one_name_that_differ_are_refused(tmp_path):
    runs = [made(tmp_path, "a", once(3), lambda c: True), made(tmp_path, "b", once(3, answer="C"), lambda c: True)]
    with pytest.raises(UserError, match=r"3 cases of one name that differ \(n0\.full"):
        pair_runs(runs)


def test_models_whose_answers_came_about_in_different_ways_get_no_verdict(tmp_path):
    cases = once()
    records = [make_record(case, "A", mode="likelihood", model="c") for case in cases]
    runs = [
        made(tmp_path, "a", cases, lambda c: True),
        made(tmp_path, "b", cases, lambda c: number(c) < 10),
        read_run(write_run(tmp_path / "c", cases, records, model="c")),
    ]
    text = comparison_page(pair_runs(runs))
    assert "a is better than b" in text and "corrected for" not in text  # the one pair that is judged
    assert (
        "full: a 100.0%, c 0.0% of 20 cases both answered.\nNo verdict: the answers of a are generated, those of"
        in text
    )
    assert "better than c" not in text and "a - c" not in text


@pytest.mark.parametrize("settings, name", [({}, "chance"), ({"reads_question": False}, "c")])
def test_a_model_that_guesses_is_compared_with_models_of_either_mode(tmp_path, settings, name):
    cases = once()
    records = [make_record(case, "A", mode="likelihood", model=name, settings=settings) for case in cases]
    guesser = read_run(write_run(tmp_path / name, cases, records, model=name))
    runs = [made(tmp_path, "a", cases, lambda c: True), guesser]
    assert f"a is better than {name}" in comparison_page(pair_runs(runs))
    assert [check for check in check_runs(runs) if check.kind in ("mode", "frames")] == []


def test_suites_of_other_rules_are_never_compared(tmp_path):
    runs = [made(tmp_path, "a", once(version=1), lambda c: True), made(tmp_path, "b", once(), lambda c: True)]
    with pytest.raises(UserError, match="follow versions 1 and 2 of the suite's rules"):
        pair_runs(runs)


def test_one_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="two runs or more, got 1"):
        pair_runs([made(tmp_path, "a", once(3), lambda c: True)])


def test_a_run_compared_with_itself_is_refused(tmp_path):
    run = made(tmp_path, "a", once(3), lambda c: True)
    with pytest.raises(UserError, match="named twice"):
        pair_runs([run, dataclasses.replace(run, model="a [again]")])


def test_the_command_prints_failed_checks_and_verdict_the_same_each_time(tmp_path, capsys):
    cases = [make_case(f"n{i}", length=length) for i in range(20) for length in (2000, 4000)]
    for model, most in (("a", 15), ("b", 10)):
        made(tmp_path, model, cases, lambda c, most=most: number(c) + c.length // 2000 <= most, suite=LENGTHS)
    arguments = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert main(arguments) == 0
    first = capsys.readouterr().out
    assert main(arguments) == 0
    assert capsys.readouterr().out == first
    assert first.startswith("WARNING: suite fake: B is right for 40 of 40 cases")
    assert "full: a 72.5%, b 47.5% of 40 cases both answered" in first  # (15 + 14) / 40, (10 + 9) / 40


def test_the_command_refuses_with_exit_code_2(tmp_path, capsys):
    made(tmp_path, "a", once(3), lambda c: True)
    assert main([str(tmp_path / "a"), str(tmp_path / "none")]) == 2
    assert "run.json is missing" in capsys.readouterr().err

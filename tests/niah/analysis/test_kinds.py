"""Runs of several kinds of questions: each kind by itself, and what only some kinds have."""

from __future__ import annotations

import dataclasses

import pytest

from niah.analysis.checks.runs import check_runs
from niah.analysis.confusion import ConfusionRow, confusion_rows, confusion_summary
from niah.analysis.kept_frames import kept_frames, kept_frames_summary
from niah.analysis.kinds import group_kinds, split_kinds
from niah.analysis.layout import clip_distance
from niah.analysis.load import read_run
from niah.analysis.placed import expected_overlap, placed_rows
from niah.analysis.read_and_placed import read_and_placed, read_and_placed_summary
from niah.analysis.summary import summary_page
from niah.analysis.table import score_cases, table_frame, table_rows
from niah.analysis.twins import twin_rows, twin_summary
from niah.option_scores import chance
from niah.scoring.interval import overlap
from niah.types import Placement, Span
from tests.helpers.fake_runs import make_case, make_record, write_run

SUITE = "name: fake\nlengths: [2000]\nkinds: [single, when, lookalike, first, times]\nfootage: {world: w}\n"


def run_of(tmp_path, cases, reply=lambda case: "B", **fields):
    records = [make_record(case, reply(case), **{name: of(case) for name, of in fields.items()}) for case in cases]
    return read_run(write_run(tmp_path / "run", cases, records, suite=SUITE))


def both(number):
    """Return a case of `single`, and one of `when` about the same video."""
    single = make_case(f"n{number}")
    return [single, dataclasses.replace(single, id=f"n{number}.when", kind="when")]


def two_clips(name, gap, order="ab", **changes):
    """Return a case with clips a and b of ten frames, `gap` frames of haystack between them, 1,980 in all."""
    first, second = order
    timeline = (Span("h", 0, 500), Span(first, 0, 10), Span("h", 500, 500 + gap), Span(second, 0, 10),
                Span("h", 500 + gap, 1980))  # fmt: skip
    needles = (Placement(first, 500, 510), Placement(second, 510 + gap, 520 + gap))
    case = make_case("a", id=f"{name}.{order}", timeline=timeline, needles=needles, needle_source=f"pair-{name}")
    return dataclasses.replace(case, **changes)


def test_a_run_of_one_kind_stays_as_it_is(tmp_path):
    run = run_of(tmp_path, [make_case(f"n{i}") for i in range(3)])
    assert split_kinds([run]) == [run] and split_kinds([run])[0] is run
    assert "kind" not in table_frame([run]).columns


def test_each_kind_is_a_part_with_its_own_records(tmp_path):
    run = run_of(tmp_path, [case for number in range(3) for case in both(number)])
    parts = split_kinds([run])
    assert [(part.model, part.kind, len(part.cases), len(part.records)) for part in parts] == [
        ("fake (single)", "single", 3, 3),
        ("fake (when)", "when", 3, 3),
    ]
    assert split_kinds(parts) == parts  # once split, a part is not split again
    assert [[part.kind for part in group] for group in group_kinds(parts)] == [["single"], ["when"]]
    assert set(table_frame([run])["kind"]) == {"single", "when"}


def test_reading_and_placing_are_counted_over_the_same_videos(tmp_path):
    cases = [case for number in range(4) for case in both(number)]
    right = {"n0", "n0.when", "n1", "n2.when"}  # by needle: both, read only, placed only, neither
    run = run_of(tmp_path, cases, lambda case: "B" if case.id.split(".full")[0] in right else "A")
    found = read_and_placed(run)
    assert (found.n, found.both, found.read_only, found.placed_only, found.neither) == (4, 1, 1, 1, 1)
    assert "read and placed 25.0%, read but not placed 25.0%" in read_and_placed_summary([run])
    assert read_and_placed_summary(split_kinds([run])) == ""  # no part has both


def test_retention_of_when_is_above_chance_and_not_above_blind(tmp_path):
    cases = [make_case(f"n{i}", condition, kind="when") for i in range(20) for condition in ("full", "needle_only")]
    right = lambda case: case.condition == "needle_only" or int(case.needle[1:]) < 10  # noqa: E731
    rows = table_rows(split_kinds([run_of(tmp_path, cases, lambda case: "B" if right(case) else "A")]))
    whole = next(row for row in rows if row.condition == "full" and {row.type, row.length, row.depth} == {"all"})
    assert whole.retention == pytest.approx((0.5 - 0.25) / (1 - 0.25))
    assert "retention = (full - chance) / (needle_only - chance)" in summary_page(rows)


def test_no_blind_cases_are_missed_where_chance_is_known(tmp_path):
    cases = [make_case(f"n{i}", condition, kind="when") for i in range(20) for condition in ("full", "needle_only")]
    checks = check_runs(split_kinds([run_of(tmp_path, cases)]))
    assert "not_asked" not in {check.kind for check in checks}
    whole = check_runs([run_of(tmp_path / "single", [make_case(f"n{i}") for i in range(20)])])
    assert "not_asked" in {check.kind for check in whole}


def test_a_clip_that_was_not_asked_about_and_is_placed_is_a_leak(tmp_path):
    cases = [make_case(f"n{i}", "swapped", kind="when") for i in range(20)]
    (check,) = [c for c in check_runs(split_kinds([run_of(tmp_path, cases)])) if c.kind == "swapped_above"]
    assert "the model follows what stands out, not the question" in check.text


def test_errors_that_are_the_partners_answer_are_counted(tmp_path):
    cases = [make_case(f"n{i}", kind="lookalike", confused="C") for i in range(10)]
    cases.append(make_case("n10", kind="lookalike"))  # the partner's answer is no option
    replies = ["B", "B", "C", "C", "C", "A", "D", "nothing", "B", "B", "A"]
    run = run_of(tmp_path, cases, lambda case: replies[int(case.needle[1:])])
    (row,) = confusion_rows(run)
    assert row == ConfusionRow("motion", 10, 4, 3, 1, pytest.approx(1 / 3), row.low, row.high) and row.errors == 5
    assert "3 of 5 errors (60.0%" in confusion_summary([run]) and "chance 33.3%" in confusion_summary([run])


def test_twins_are_counted_by_distance(tmp_path):
    pairs = {"x": 40, "y": 198, "z": 200}  # frames of 1,980: distances 0.02, 0.1 and about 0.1
    cases = [two_clips(name, gap, order, kind="first", asked=("a", "b"))
             for name, gap in pairs.items() for order in ("ab", "ba")]  # fmt: skip
    run = run_of(tmp_path, cases, lambda case: "A" if case.id == "y.ba" else "B")
    (part,) = split_kinds([run])
    rows = {row.distance: (row.n, row.both, row.one) for row in twin_rows(part)}
    assert rows == {"all": (3, 2, 1), "0.02": (1, 1, 0), "0.1": (2, 1, 1)}
    assert "0.1     both right 50.0%" in twin_summary([part])
    assert part.layout.depth_labels() == ("0.02", "0.1", "0.3")
    assert [clip_distance(case) for case in cases[:2]] == [pytest.approx(40 / 1980)] * 2


def test_rows_of_times_are_copies(tmp_path):
    none = dataclasses.replace(make_case("a", "no_needle"), condition="full", kind="times", id="a.0")
    two = two_clips("a", 100, "aa", kind="times", id="a.2")
    (part,) = split_kinds([run_of(tmp_path, [none, two])])
    assert part.layout.depth_labels() == ("0", "1", "2", "3")
    assert [part.layout.depth_label(case) for case in (none, two)] == ["0", "2"]
    printed = summary_page(table_rows([part]))
    assert "full: copies" in printed


def test_kept_frames_are_compared_with_the_frames_of_the_clip(tmp_path):
    cases = [make_case("n0"), make_case("n1")]  # ten frames from 995 on, of 2,000
    kept = {"n0": (995, 999, 1004, 1005), "n1": (0, 1)}
    run = run_of(tmp_path, cases, frames_kept=lambda case: kept[case.needle])
    found = kept_frames(score_cases(run, "full"))
    assert (found.n, found.precision, found.recall) == (2, (3 / 4 + 0) / 2, (3 / 10 + 0) / 2)
    assert found.f1 == pytest.approx(((2 * 0.75 * 0.3) / (0.75 + 0.3) + 0) / 2) and found.clips == 0.5
    assert (found.chance_precision, found.chance_recall) == (10 / 2000, (4 + 2) / 2 / 2000)
    assert "precision 37.5% [0.0%, 100.0%] (random frames 0.5%), recall 15.0%" in kept_frames_summary([run])


def test_without_kept_frames_nothing_is_said(tmp_path):
    assert kept_frames_summary([run_of(tmp_path, [make_case("n0")])]) == ""


def placed_case(number, size=10, length=2000, start=995):
    """Return a case that asks when a clip of `size` frames is shown."""
    case = make_case(f"n{number}", length=length, kind="when", options=(), answer="")
    return dataclasses.replace(case, needles=(Placement(case.needle, start, start + size),))


def test_overlaps_of_intervals_are_tabulated(tmp_path):
    replies = [
        "995 s - 1005 s",
        "1000 s - 1010 s",
        "995 s - 1001 s",
        "0 s - 33:20",
        "no idea",
    ]  # 1, 1/3, .6, .005, none
    run = run_of(tmp_path, [placed_case(n) for n in range(5)], lambda case: replies[int(case.needle[1:])])
    (part,) = split_kinds([run])
    (row,) = placed_rows(part)
    assert row.recall == (0.6, 0.4, 0.2) and row.unanswered == 1 and row.found == 0.8
    assert row.mean_overlap == pytest.approx((1 + 1 / 3 + 0.6 + 0.005) / 5) and row.whole == 0.005
    assert [scored.correct for scored in score_cases(part)] == [True, False, True, False, False]


def test_an_interval_is_in_seconds_whatever_the_rate(tmp_path):
    case = dataclasses.replace(placed_case(0), fps=2.0)  # frames 995 to 1,005: 497.5 s to 502.5 s
    for reply, right in (("497.5 s - 502.5 s", True), ("995 s - 1005 s", False)):
        (part,) = split_kinds([run_of(tmp_path / reply[:3], [case], lambda case, reply=reply: reply)])
        assert [scored.correct for scored in score_cases(part)] == [right]
    assert case.shown_seconds == (497.5, 502.5)


def test_what_guessing_an_interval_gives_is_exact():
    case = placed_case(0, size=25, length=2000, start=1000)
    starts = range(2000 - 25 + 1)
    overlaps = [overlap((s, s + 25), (1000, 1025)) for s in starts]
    assert expected_overlap(case) == pytest.approx(sum(overlaps) / len(overlaps))
    assert chance(case) == pytest.approx(sum(found >= 0.5 for found in overlaps) / len(overlaps))


def test_an_interval_that_is_right_counts_in_tables(tmp_path):
    run = run_of(tmp_path, [placed_case(n) for n in range(4)], lambda case: "995 s to 1005 s")
    rows = table_rows(split_kinds([run]))
    assert {(row.n, row.correct) for row in rows if row.n} == {(4, 4)}
    assert rows[0].chance == pytest.approx(7 / 1991)  # starts 992 to 998 of 1,991
    assert {check.kind for check in check_runs(split_kinds([run]))} <= {"not_asked", "not_understood"}

"""The table: what each row counts, its intervals, and the pages printed from it."""

from __future__ import annotations

import csv
import dataclasses
import math

import pytest

from niah.analysis.layout import Layout, format_length, merge_layouts
from niah.analysis.load import join_shards, read_run
from niah.analysis.power import power_summary
from niah.analysis.summary import summary_page
from niah.analysis.table import table_frame, table_rows, write_table
from tests.helpers.commands import table as main
from tests.helpers.fake_runs import make_case, make_record, write_run

GRID = "name: fake\nlengths: [2000, 4000]\ndepths: [0.1, 0.5]\nfootage: {world: fake}\n"
PAPER = "name: fake\ndesign: paper\nfootage: {world: fake}\n"


def row(found, condition="full", kind="all", length="all", depth="all", by=None):
    """Return the one row of a key."""
    by = by or ("all" if length == "all" else "exact")
    place = (condition, kind, by, length, depth)
    (one,) = [r for r in found if (r.condition, r.type, r.length_by, r.length, r.depth) == place]
    return one


def run_of(tmp_path, cases, records, **more):
    return read_run(write_run(tmp_path / more.get("model", "run"), cases, records, **more))


def test_a_cell_counts_right_answers_of_its_length_and_depth(tmp_path):
    places = [(length, depth) for length in (2000, 4000) for depth in (0.1, 0.5)]
    cases = [make_case(name, "full", length, depth) for name in ("n0", "n1") for length, depth in places]
    records = [make_record(case, "B" if case.length == 2000 else "A") for case in cases]
    found = table_rows([run_of(tmp_path, cases, records, suite=GRID)])
    assert (row(found, length="2000", depth="0.1").n, row(found, length="2000", depth="0.1").accuracy) == (2, 1.0)
    assert (row(found, length="4000", depth="0.5").n, row(found, length="4000", depth="0.5").accuracy) == (2, 0.0)
    assert (row(found, length="2000").n, row(found, depth="0.5").n, row(found).n) == (4, 4, 8)
    assert row(found, depth="0.5").accuracy == 0.5


@pytest.mark.parametrize("status", ["oom", "error", "timeout"])
def test_a_failed_case_is_not_a_wrong_answer(tmp_path, status):
    cases = [make_case("n0"), make_case("n1")]
    records = [make_record(cases[0]), make_record(cases[1], status=status)]
    whole = row(table_rows([run_of(tmp_path, cases, records)]))
    assert (whole.n, whole.accuracy, getattr(whole, status)) == (1, 1.0, 1)


def test_a_case_without_a_record_is_missing_and_not_wrong(tmp_path):
    cases = [make_case("n0"), make_case("n1")]
    whole = row(table_rows([run_of(tmp_path, cases, [make_record(cases[0])])]))
    assert (whole.n, whole.accuracy, whole.missing) == (1, 1.0, 1)


def test_a_length_of_the_suite_without_a_case_has_a_row(tmp_path):
    case = make_case("n0", length=2000, depth=0.1)
    empty = row(table_rows([run_of(tmp_path, [case], [make_record(case)], suite=GRID)]), length="4000", depth="0.5")
    assert (empty.n, empty.accuracy, empty.low, empty.missing) == (0, None, None, 0)


def test_an_unanswered_reply_is_wrong_and_counted_apart(tmp_path):
    cases = [make_case(f"n{i}") for i in range(4)]
    records = [make_record(case, reply) for case, reply in zip(cases, ("B", "B", "A or B", "A"), strict=True)]
    whole = row(table_rows([run_of(tmp_path, cases, records)]))
    assert (whole.n, whole.correct, whole.unanswered, whole.unanswered_share) == (4, 2, 1, 0.25)


def test_types_have_rows_of_their_own(tmp_path):
    cases = [make_case("n0", type="motion"), make_case("n1", type="digit")]
    found = table_rows([run_of(tmp_path, cases, [make_record(cases[0], "B"), make_record(cases[1], "A")])])
    assert [row(found, kind=kind).accuracy for kind in ("all", "digit", "motion")] == [0.5, 0.0, 1.0]


def test_chance_is_the_mean_of_one_over_options(tmp_path):
    cases = [make_case("n0"), make_case("n1", options=("Left", "Right"))]
    whole = row(table_rows([run_of(tmp_path, cases, [make_record(case) for case in cases])]))
    assert whole.chance == 0.375


def test_a_case_without_haystack_has_no_length(tmp_path):
    cases = [make_case("n0"), make_case("n0", "blind"), make_case("n0", "needle_only")]
    found = table_rows([run_of(tmp_path, cases, [make_record(case) for case in cases])])
    assert {(r.length, r.depth) for r in found if r.condition in ("blind", "needle_only")} == {("all", "all")}


def test_paper_lengths_go_to_the_nearest_of_five_ties_upwards_and_to_bins(tmp_path):
    cases = [make_case(f"n{length}", length=length, depth=0.1) for length in (2999, 3000, 10000)]
    found = table_rows([run_of(tmp_path, cases, [make_record(case) for case in cases], suite=PAPER)])
    assert [row(found, length=length, by="nearest").n for length in ("2000", "4000", "10000")] == [1, 1, 1]
    bins = [row(found, length=length, by="bin").n for length in ("2500-2999", "3000-3499", "9500-10000")]
    assert bins == [1, 1, 1]


@pytest.mark.parametrize("depth, label", [(0.0, "0-0.2"), (0.19, "0-0.2"), (0.2, "0.2-0.4"), (1.0, "0.8-1")])
def test_paper_depths_are_five_bins_the_last_closed(tmp_path, depth, label):
    case = make_case("n0", length=2010, depth=depth)  # 2,000 frames of room
    assert row(table_rows([run_of(tmp_path, [case], [make_record(case)], suite=PAPER)]), depth=label).n == 1


def test_few_lengths_are_a_grid_even_without_a_suite(tmp_path):
    cases = [make_case(f"n{i}", length=400, depth=depth) for i in range(2) for depth in (0.1, 0.9)]
    found = table_rows([run_of(tmp_path, cases, [make_record(case) for case in cases])])
    assert [row(found, length="400", depth=depth).n for depth in ("0.1", "0.9")] == [2, 2]


def test_many_lengths_are_the_paper_design_even_without_a_suite(tmp_path):
    cases = [make_case(f"n{i}", length=2000 + i) for i in range(20)]
    found = table_rows([run_of(tmp_path, cases, [make_record(case) for case in cases])])
    assert row(found, length="2000", by="nearest").n == 20


def test_cluster_interval_is_wider_than_wilson_where_a_needle_repeats(tmp_path):
    cases = [make_case(f"n{i}", length=2000, depth=d / 100) for i in range(4) for d in range(10)]
    found = table_rows(
        [run_of(tmp_path, cases, [make_record(c, "B" if c.needle in ("n0", "n1") else "A") for c in cases])]
    )
    whole = row(found)
    assert whole.cluster_high - whole.cluster_low > whole.high - whole.low


def test_the_page_shows_each_type_at_each_length(tmp_path):
    cases = [make_case(f"n{i}", "full", length, 0.1, type=kind) for length in (2000, 4000)
             for i, kind in enumerate(("motion", "digit"))]  # fmt: skip
    records = [make_record(case, "A" if (case.type, case.length) == ("motion", 4000) else "B") for case in cases]
    lines = [line.split() for line in summary_page(table_rows([run_of(tmp_path, cases, records)])).splitlines()]
    assert ["digit", "100.0%", "(1)", "100.0%", "(1)"] in lines
    assert ["motion", "100.0%", "(1)", "0.0%", "(1)"] in lines


def test_retention_of_sources_that_all_agree_has_no_interval(tmp_path):
    cases = [make_case(f"n{i}", condition) for i in range(5) for condition in ("full", "needle_only", "blind")]
    records = [make_record(case, "A" if case.condition == "blind" else "B") for case in cases]
    whole = row(table_rows([run_of(tmp_path, cases, records)]))
    assert whole.retention == pytest.approx(1.0)
    assert (whole.retention_low, whole.retention_high) == (None, None)


def test_retention_stands_in_the_full_rows_of_each_length(tmp_path):
    cases = [make_case(f"n{i}", c) for i in range(8) for c in ("full", "needle_only", "blind")]
    records = [make_record(case, "A" if case.condition == "blind" else "B") for case in cases]
    found = table_rows([run_of(tmp_path, cases, records)])
    assert (row(found).retention, row(found, length="2000").retention) == pytest.approx((1.0, 1.0))
    assert row(found, "blind").retention is None


def test_hits_are_compared_with_as_many_random_frames(tmp_path):
    case = make_case("n0", length=100)  # 10 of 100 frames show the needle
    record = make_record(case, frames_kept=(50, 51))
    whole = row(table_rows([run_of(tmp_path, [case], [record])]))
    assert (whole.kept, whole.hits, whole.hit_share) == (1, 1, 1.0)
    assert whole.hit_chance == pytest.approx(1 - (90 * 89) / (100 * 99))


def test_answers_without_kept_frames_have_no_hit_rate(tmp_path):
    case = make_case("n0")
    whole = row(table_rows([run_of(tmp_path, [case], [make_record(case)])]))
    assert (whole.kept, whole.hit_share) == (0, None)


def test_table_csv_is_the_table_and_the_same_bytes_each_time(tmp_path):
    cases = [make_case(f"n{i}", c) for i in range(3) for c in ("full", "blind")]
    folder = write_run(tmp_path / "run", cases, [make_record(case) for case in cases])
    first = write_table(folder).read_bytes()
    assert write_table(folder).read_bytes() == first
    with open(folder / "table.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["condition"] for line in lines][:2] == ["full", "full"]
    assert (lines[0]["n"], lines[0]["accuracy"], lines[0]["retention"]) == ("3", "1", "")


def test_an_empty_run_is_all_missing(tmp_path):
    cases = [make_case("n0"), make_case("n0", "blind")]
    run = run_of(tmp_path, cases, [])
    whole = row(table_rows([run]))
    assert (whole.n, whole.accuracy, whole.missing) == (0, None, 1)
    assert math.isnan(table_frame([run])["accuracy"].astype(float).iloc[0])
    assert "1 missing" in summary_page(table_rows([run]))


def test_a_run_whose_cases_all_ran_out_of_memory_has_no_accuracy(tmp_path):
    case = make_case("n0")
    run = run_of(tmp_path, [case], [make_record(case, status="oom")])
    assert row(table_rows([run])).accuracy is None
    assert "OOM" in summary_page(table_rows([run]))


def test_shards_by_length_keep_the_depths_of_the_suite(tmp_path):
    depths = (0.1, 0.3, 0.5, 0.7, 0.9)  # of 54 and 118 frames: 0.3 becomes 16 / 54, which is 0.296, and 35 / 118
    shards = []
    for length in (64, 128):
        suite = f"name: fake\nlengths: [{length}]\ndepths: {list(depths)}\nfootage: {{world: fake}}\n"
        cases = [make_case("n0", length=length, depth=depth) for depth in depths]
        shards.append(run_of(tmp_path / f"{length}", cases, [make_record(case) for case in cases], suite=suite))
    (whole,) = join_shards(shards)
    assert whole.layout.depth_labels() == ("0.1", "0.3", "0.5", "0.7", "0.9")
    assert whole.layout.length_labels() == {"exact": ("64", "128")}
    assert [row(table_rows([whole]), depth=f"{depth:g}").n for depth in depths] == [2] * 5


GRIDS = [
    ((0.1, 0.5), (0.5, 0.9), (0.1, 0.5, 0.9)),
    ((0.1, 0.5), (), ()),  # fifths: what lies between two depths must not count for the nearer
]


@pytest.mark.parametrize("one, other, both", GRIDS)
def test_two_grids_together_have_the_depths_of_both(one, other, both):
    assert merge_layouts(Layout("grid", (64,), one), Layout("grid", (128,), other)) == Layout("grid", (64, 128), both)


SHOWN = [(200, "200"), (2000, "2K"), (2500, "2.5K"), (10000, "10K"), (40588, "40588"), ("2000-2499", "2K-2.5K")]


@pytest.mark.parametrize("frames, words", SHOWN)
def test_lengths_are_shown_in_thousands(frames, words):
    assert format_length(frames) == words


def test_the_command_prints_a_page_and_writes_the_table(tmp_path, capsys):
    case = make_case("n0")
    folder = write_run(tmp_path / "run", [case], [make_record(case)])
    assert main([str(folder)]) == 0
    assert "100.0% [20.7%, 100.0%]" in " ".join(capsys.readouterr().out.split())  # Wilson for 1 of 1
    assert (folder / "table.csv").is_file()


def test_the_command_refuses_a_folder_without_a_run_with_exit_code_2(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert "run.json is missing" in capsys.readouterr().err


def test_a_run_that_is_a_file_is_refused_with_an_explanation(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main([str(tmp_path / "file")]) == 2
    assert "Not a directory; a file is where a folder is needed" in capsys.readouterr().err


def steps(tmp_path, right):
    """Twelve needles at three lengths and two depths."""
    suite = "name: fake\nlengths: [2000, 4000, 6000]\ndepths: [0.1, 0.5]\nfootage: {world: fake}\n"
    places = [(length, depth) for length in (2000, 4000, 6000) for depth in (0.1, 0.5)]
    cases = [make_case(f"n{i}", "full", *place) for i in range(12) for place in places]
    records = [make_record(case, "B" if right(int(case.needle[1:]), case.length) else "A") for case in cases]
    return run_of(tmp_path, cases, records, suite=suite)


def test_a_page_reports_the_slope_over_length_and_what_its_intervals_hold_for(tmp_path):
    # The first eight needles are lost after 2,000, 4,000 or 6,000 frames: 12, 8 and 4 of 12, a sixth per 1,000 frames
    told = power_summary([steps(tmp_path, lambda i, length: i >= 8 or length <= (2000 if i < 4 else 4000))])
    assert "slope over length: -16.7 points per 1,000 frames [" in told
    assert "by 12 needle sources; they hold for this one haystack (fewer than 20)" in told
    assert "smallest detectable difference (80 % power): " in told


def test_a_page_says_that_its_slopes_leave_out_cases_without_an_answer(tmp_path):
    run = steps(tmp_path, lambda i, length: i % 2 == 0)
    lost = {name: record for place, (name, record) in enumerate(run.records.items()) if place}
    assert "about the 71 of 72 cases that have an answer" in power_summary([dataclasses.replace(run, records=lost)])


def test_a_page_of_one_needle_does_not_generalise(tmp_path):
    case = make_case("n0")
    assert "one needle source" in power_summary([run_of(tmp_path, [case], [make_record(case)])])


def test_hits_follow_from_the_frames_kept_whatever_a_record_counts(tmp_path):
    case = make_case("n0", length=100)
    record = make_record(case, frames_kept=(5,), needle_frames_kept=1)
    assert row(table_rows([run_of(tmp_path, [case], [record])])).hits == 0

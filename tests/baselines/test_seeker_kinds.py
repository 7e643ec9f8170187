"""Seeker asked every kind of question by `niah run`: its answers are those that a loop over frames gives."""

import json

import pytest

from niah.analysis.load import read_run
from niah.analysis.table import score_cases
from tests.helpers import commands
from tests.helpers.generate_fakes import write_text
from tests.reference_impl import kinds as loop

FRAMES = 8  # so few that it misses clips
KINDS = ("single", "when", "lookalike", "first", "times")
SUITE = (
    "name: kinds",
    "lengths: [160, 320]",
    "depth_bins: 3",
    f"kinds: [{', '.join(KINDS)}]",
    "sampling: {rate: 1, width: 64, height: 64}",
    "footage: {world: kinds-test, haystacks: 1, needles: 6, calibration: true}",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return the folder of a run, the lines of its cases.jsonl, and the reply to each."""
    folder = tmp_path_factory.mktemp("kinds")
    suite = write_text(folder / "kinds.yaml", *SUITE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDEONIAH_CACHE", str(folder / "cache"))
        words = ["--model", "seeker", "--model_args", f"frames={FRAMES}", "--suite", str(suite), "--no_figures"]
        assert commands.run([*words, "--output_path", str(folder / "run")]) == 0
    return folder / "run", lines_of(folder / "run" / "cases.jsonl"), replies_of(folder / "run")


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def replies_of(folder):
    return {record["case"]: record["reply"] for record in lines_of(folder / "records.jsonl")}


def of(cases, kind, *conditions):
    return [one for one in cases if one.get("kind", "single") == kind and one["condition"] in conditions]


@pytest.mark.parametrize("kind", ["single", "when", "lookalike"])
def test_seeker_is_right_about_one_clip_exactly_where_it_sees_it(run, kind):
    _, cases, replies = run
    asked = of(cases, kind, "full", "needle_only")
    right = [replies[case["id"]] == case["answer"] for case in asked]
    assert right == [loop.is_right(case, FRAMES) for case in asked]
    assert 0 < sum(right) < len(right)


def test_seeker_knows_the_order_exactly_where_it_sees_both_clips(run):
    _, cases, replies = run
    asked = of(cases, "first", "full", "needle_only")
    assert all(case["answer"] == loop.order(case) for case in asked)
    right = [replies[case["id"]] == case["answer"] for case in asked]
    assert right == [loop.is_right_about_order(case, FRAMES) for case in asked]
    assert 0 < sum(right) < len(right)


def test_seeker_counts_exactly_the_copies_it_sees(run):
    _, cases, replies = run
    asked = of(cases, "times", "full", "needle_only", "swapped")
    for case in asked:
        assert case["options"]["ABCD".index(case["answer"])] == str(loop.copies(case))
        assert case["options"]["ABCD".index(replies[case["id"]])] == str(loop.copies_seen(case, FRAMES))
    assert {loop.copies(case) - loop.copies_seen(case, FRAMES) > 0 for case in asked} == {True, False}


def test_a_clip_that_was_not_asked_about_is_neither_placed_nor_ordered(run):
    _, cases, replies = run
    for kind in ("when", "lookalike", "first"):
        swapped = of(cases, kind, "swapped")
        assert swapped and all(replies[case["id"]] == "No inserted clip was found." for case in swapped)


def test_a_seeker_that_takes_the_first_clip_is_confused_exactly_where_the_loop_says(run, tmp_path, monkeypatch):
    folder, cases, _ = run
    monkeypatch.setenv("VIDEONIAH_CACHE", str(folder.parent / "cache"))
    words = ["--model", "seeker", "--model_args", f"frames={FRAMES},clip=first", "--conditions", "full"]
    suite = ["--suite", str(folder.parent / "kinds.yaml"), "--no_figures", "--output_path", str(tmp_path / "run")]
    assert commands.run([*words, *suite]) == 0
    replies = replies_of(tmp_path / "run")
    asked = of(cases, "lookalike", "full")
    for case in asked:
        found = loop.first_clip(case, FRAMES)
        right, confused = replies[case["id"]] == case["answer"], replies[case["id"]] == case["confused"]
        assert (right, confused) == (found == case["needle"], found not in ("", case["needle"]))
    assert {loop.first_clip(case, FRAMES) == case["needle"] for case in asked} == {True, False}


def test_seeker_names_the_interval_up_to_the_last_frame_that_it_sees(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "cache"))
    lines = [line.replace(f"[{', '.join(KINDS)}]", "[when]") for line in SUITE]
    suite = write_text(tmp_path / "when.yaml", *lines, "when: interval", "conditions: [full]")
    words = ["--model", "seeker", "--model_args", f"frames={FRAMES}", "--suite", str(suite), "--no_figures"]
    assert commands.run([*words, "--output_path", str(tmp_path / "run")]) == 0
    cases = {case["id"]: case for case in lines_of(tmp_path / "run" / "cases.jsonl")}
    overlaps = {}
    for scored in score_cases(read_run(tmp_path / "run")):
        overlaps[scored.case.id] = loop.interval_overlap(cases[scored.case.id], FRAMES)
        assert scored.overlap == pytest.approx(overlaps[scored.case.id])
        assert scored.correct == (overlaps[scored.case.id] >= 0.5)
        assert scored.unanswered == (overlaps[scored.case.id] == 0)
    assert min(overlaps.values()) == 0 and max(overlaps.values()) > 0.5
    capsys.readouterr()
    assert commands.table([str(tmp_path / "run")]) == 0
    recall = sum(found >= 0.5 for found in overlaps.values()) / len(overlaps)
    assert f"R@0.5 {recall:.1%}" in capsys.readouterr().out


def test_the_table_has_a_part_for_each_kind(run, capsys):
    folder, cases, _ = run
    assert commands.table([str(folder)]) == 0
    printed = capsys.readouterr().out
    for kind in KINDS:
        assert f"seeker (frames={FRAMES}) ({kind}) on suite kinds" in printed
    full = of(cases, "single", "full")
    share = sum(loop.is_right(case, FRAMES) for case in full) / len(full)
    assert f"read and placed {share:.1%}, read but not placed 0.0%, placed but not read 0.0%" in printed
    twins = [case for case in of(cases, "first", "full") if case["id"].endswith(".ab")]
    other = {case["id"]: case for case in cases}
    both = [
        loop.is_right_about_order(case, FRAMES) and loop.is_right_about_order(other[case["id"][:-2] + "ba"], FRAMES)
        for case in twins
    ]
    assert f"all     both right {sum(both) / len(both):.1%}" in printed
    columns = (folder / "table.csv").read_text().splitlines()[0].split(",")
    assert columns[-1] == "kind"

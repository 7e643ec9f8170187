"""Reading run folders: what is refused, and which runs are shards of one."""

from __future__ import annotations

import json

import pytest

from niah.analysis.load import join_shards, read_run
from niah.analysis.same_cases import case_differences, shared_cases
from niah.analysis.summary import summary_page
from niah.analysis.table import table_rows
from niah.types import UserError
from tests.helpers.fake_runs import make_case, make_record, write_run

GRID = "name: fake\nlengths: [2000, 4000]\ndepths: [0.1, 0.5]\nfootage: {world: fake}\n"


def run_of(tmp_path, cases, records, **more):
    return read_run(write_run(tmp_path / more.get("model", "run"), cases, records, **more))


def test_a_case_that_would_count_twice_among_all_types_is_refused(tmp_path):
    folder = write_run(tmp_path / "run", [make_case("n0")], [])
    text = (folder / "cases.jsonl").read_text()
    (folder / "cases.jsonl").write_text(text.replace('"type": "motion"', '"type": "all"'))
    with pytest.raises(UserError, match="line 1 cannot be read .*reserved for the table row of all types"):
        read_run(folder)


@pytest.mark.parametrize("name", ["cases.jsonl", "records.jsonl", "run.json"])
def test_a_missing_file_is_named(tmp_path, name):
    folder = write_run(tmp_path / "run", [make_case("n0")], [])
    (folder / name).unlink()
    with pytest.raises(UserError, match=name):
        read_run(folder)


@pytest.mark.parametrize("time", [float("inf"), float("nan"), -1.0, "long"])
def test_a_measured_time_that_is_no_number_is_refused_with_its_line(tmp_path, time):
    case = make_case("n0")
    folder = write_run(tmp_path / "run", [case], [make_record(case, measured={"seconds_to_first_token": time})])
    with pytest.raises(UserError, match=r"records\.jsonl, line 1 cannot be read .*seconds_to_first_token is"):
        read_run(folder)


def test_a_record_of_an_unknown_case_is_refused_by_name(tmp_path):
    folder = write_run(tmp_path / "run", [make_case("n0")], [make_record(make_case("n9"))])
    with pytest.raises(UserError, match="n9"):
        read_run(folder)


def test_two_records_of_one_case_are_refused(tmp_path):
    case = make_case("n0")
    folder = write_run(tmp_path / "run", [case], [make_record(case), make_record(case)])
    with pytest.raises(UserError, match="two records name case 'n0"):
        read_run(folder)


def test_a_case_that_is_there_twice_is_refused(tmp_path):
    case = make_case("n0")
    folder = write_run(tmp_path / "run", [case, case], [make_record(case)])
    with pytest.raises(UserError, match="names a case twice"):
        read_run(folder)


def test_a_record_of_an_older_version_is_refused_with_its_line(tmp_path):
    case = make_case("n0")
    folder = write_run(tmp_path / "run", [case], [])
    old = make_record(case).to_json()
    del old["decoder"]
    (folder / "records.jsonl").write_text(json.dumps(old) + "\n")
    with pytest.raises(UserError, match="line 1: .*another version"):
        read_run(folder)


def test_an_incomplete_last_line_is_dropped(tmp_path):
    case = make_case("n0")
    folder = write_run(tmp_path / "run", [case], [])
    (folder / "records.jsonl").write_text(json.dumps(make_record(case).to_json())[:40])
    assert read_run(folder).records == {}


def test_a_broken_line_is_named(tmp_path):
    folder = write_run(tmp_path / "run", [make_case("n0")], [])
    (folder / "records.jsonl").write_text("{}{\n")
    with pytest.raises(UserError, match="line 1 cannot be read"):
        read_run(folder)


def test_cases_other_than_those_asked_are_refused(tmp_path):
    folder = write_run(tmp_path / "run", [make_case("n0")], [])
    (folder / "cases.jsonl").write_text(json.dumps(make_case("n1").to_json()) + "\n")
    with pytest.raises(UserError, match="not what run.json says was asked"):
        read_run(folder)


def test_run_json_of_another_version_says_what_it_lacks(tmp_path):
    folder = write_run(tmp_path / "run", [make_case("n0")], [])
    (folder / "run.json").write_text('{"suite": "fake"}')
    with pytest.raises(UserError, match="lacks decides, model, model_args, cases_sha256"):
        read_run(folder)


def test_shards_are_joined_and_reruns_get_distinct_names(tmp_path):
    one, two = make_case("n0"), make_case("n1")
    shards = [read_run(write_run(tmp_path / f"shard{i}", [c], [make_record(c)])) for i, c in enumerate((one, two))]
    again = read_run(write_run(tmp_path / "again", [one], [make_record(one, "A")]))
    joined = join_shards([*shards, again])
    assert [(run.model, len(run.cases), len(run.records)) for run in joined] == [("fake", 2, 2), ("fake [again]", 1, 1)]


DECIDES = [("seed", 0, 1), ("decoder", "pyav", "decord"), ("sampling", {"width": 64}, {"width": 384})]


@pytest.mark.parametrize("what, one, other", DECIDES)
def test_runs_whose_records_depend_on_other_settings_are_no_shards(tmp_path, what, one, other):
    folders = [
        write_run(tmp_path / f"r{i}", [make_case(f"n{i}")], [], decides={what: value})
        for i, value in enumerate((one, other))
    ]
    assert [run.model for run in join_shards([read_run(folder) for folder in folders])] == ["fake", "fake [r1]"]


def test_runs_of_needles_selected_by_different_models_are_no_shards(tmp_path):
    runs = [
        run_of(tmp_path / by, [make_case(f"n-{by}")], [], suite=f"{GRID}kept: {{by: {by}, needles: [n-{by}]}}\n")
        for by in ("x", "y")
    ]
    assert [(run.model, run.needles_selected_by) for run in join_shards(runs)] == [("fake", "x"), ("fake [y/run]", "y")]


def test_runs_whose_folders_have_one_name_are_named_with_the_parent_folder(tmp_path):
    case = make_case("n0")
    three = [read_run(write_run(tmp_path / up / "run", [case], [make_record(case)])) for up in ("a", "b", "c")]
    joined = join_shards(three)
    assert [run.model for run in joined] == ["fake", "fake [b/run]", "fake [c/run]"]
    assert summary_page(table_rows(joined)).count("condition") == 3  # a page each


def test_a_folder_named_twice_is_refused(tmp_path):
    case = make_case("n0")
    run = read_run(write_run(tmp_path / "run", [case], [make_record(case)]))
    with pytest.raises(UserError, match="named twice"):
        join_shards([run, run])


def test_a_model_is_named_with_its_arguments(tmp_path):
    case = make_case("n0")
    assert run_of(tmp_path, [case], [], model="seeker", k=32).model == "seeker (k=32)"


def test_a_line_cut_within_a_character_is_dropped(tmp_path):
    case = make_case("n1")
    folder = write_run(tmp_path / "run", [case], [make_record(case)])
    with open(folder / "records.jsonl", "ab") as file:
        file.write('{"case": "n2", "reply": "\u732b'.encode()[:-1])  # a character of three bytes, killed after two
    assert list(read_run(folder).records) == [case.id]


def test_a_record_with_a_value_of_the_wrong_type_is_refused_with_its_line(tmp_path):
    case = make_case("n0")
    with pytest.raises(UserError, match=r"records\.jsonl, line 1 .*frames_kept must be of type .*five"):
        run_of(tmp_path, [case], [make_record(case, frames_kept=("five",))])


@pytest.mark.parametrize(
    ("damaged", "said"),
    [
        ({"repeats": -1}, "repeats is -1, and counts are never below 0"),
        ({"option_scores": (0.5, float("nan"))}, "option_scores must be .*nan"),
        ({"option_scores": (0.5, float("-inf"))}, "option_scores must be .*-inf"),
    ],
)
def test_numbers_that_no_run_writes_are_refused_with_their_line(tmp_path, damaged, said):
    case = make_case("n0")
    with pytest.raises(UserError, match=f"records.jsonl, line 1 .*{said}"):
        run_of(tmp_path, [case], [make_record(case, **damaged)])


def test_a_record_that_kept_frames_beyond_its_video_is_refused(tmp_path):
    case = make_case("n0", length=100)
    with pytest.raises(UserError, match="kept frame 100 of a video of 100"):
        run_of(tmp_path, [case], [make_record(case, frames_kept=(5, 100))])


def test_control_characters_in_a_model_name_are_escaped(tmp_path):
    case = make_case("n0")
    run = read_run(write_run(tmp_path / "run", [case], [make_record(case)], model="a\x1b[2Jb\nc"))
    assert run.model == r"a\x1b[2Jb\nc"


def test_differences_between_the_cases_of_two_runs_are_listed(tmp_path):
    one, both, other = make_case("n0"), make_case("n1"), make_case("n2")
    first = run_of(tmp_path, [one, both], [], model="a")
    second = run_of(tmp_path, [make_case("n1", answer="C"), other], [], model="b")
    found = case_differences(first, second)
    assert (found.only_first, found.only_second, found.changed) == ((one.id,), (other.id,), (both.id,))
    assert not case_differences(first, first)
    assert shared_cases([first, second]) == []

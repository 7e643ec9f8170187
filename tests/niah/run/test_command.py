"""The run command from its arguments to its exit code, in this process."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
import yaml

from niah.option_scores import is_correct
from niah.run.config import RunConfig
from niah.run.folder import locked
from niah.types import Case, Record
from tests.helpers.commands import run as main
from tests.helpers.commands import run_config
from tests.helpers.small_suite import make_suite


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    folder = tmp_path_factory.mktemp("command")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDEONIAH_CACHE", str(folder / "cache"))
        yield make_suite(folder)


@pytest.fixture
def run(suite, tmp_path):
    """Return a function that runs a fake adapter into tmp_path/out and returns the exit code."""

    def begin(name, *flags):
        target = f"tests.helpers.fake_adapters:{name}"
        out = str(tmp_path / "out")
        return main(["--suite", str(suite), "--model", target, "--output_path", out, "--no_figures", *flags])

    return begin


def records_in(folder):
    return [Record.from_json(json.loads(line)) for line in (folder / "records.jsonl").read_text().splitlines()]


def cases_in(folder):
    rows = [json.loads(line) for line in (folder / "cases.jsonl").read_text().splitlines()]
    return {row["id"]: Case.from_json(row) for row in rows}


def test_whole_suite_is_asked_and_answered(run, tmp_path, capsys):
    assert run("right") == 0
    records, cases = records_in(tmp_path / "out"), cases_in(tmp_path / "out")
    assert sorted(record.case for record in records) == sorted(cases)
    right = [record.case for record in records if is_correct(cases[record.case], record)]
    assert len([name for name in right if cases[name].condition == "full"]) == 12  # 3 needles x 2 lengths x 2 depths
    assert re.search(r"^full +100.0% ", capsys.readouterr().err, re.M)


def test_record_counts_what_the_adapter_kept_of_the_needle(run, tmp_path):
    run("right", "--in_process")
    by_name = {record.case: record for record in records_in(tmp_path / "out")}
    full, swapped = by_name["n1.full.20.4"], by_name["n1.swapped.20.8"]
    assert (full.frames_used, full.needle_frames_used, full.needle_frames_kept) == (20, 4, 1)
    assert full.frames_kept[0] in range(4, 8)
    assert swapped.frames_kept[0] in range(8, 12)  # the other needle's clip, which is not what is asked about
    assert (swapped.needle_frames_used, swapped.needle_frames_kept) == (0, 0)


def test_record_names_the_files_its_video_came_from_by_their_hash(run, tmp_path):
    run("right", "--in_process")
    by_name = {record.case: record for record in records_in(tmp_path / "out")}
    rows = [json.loads(line) for line in (tmp_path / "out" / "sources.jsonl").read_text().splitlines()]
    hashes = {row["name"]: row["sha256"][:16] for row in rows}
    case = cases_in(tmp_path / "out")["n1.full.20.4"]
    expected = [f"{name}@{hashes[name]}" for name in dict.fromkeys(span.source for span in case.timeline)]
    assert list(by_name[case.id].sources) == expected and len(expected) == 2
    assert [record.sources for record in by_name.values() if ".blind" in record.case] == [(), (), ()]


def test_cases_go_by_haystack_then_needle_start_after_one_cold_case_of_each_length(run, tmp_path):
    assert run("right") == 0
    records, cases = records_in(tmp_path / "out"), cases_in(tmp_path / "out")
    order = [cases[record.case] for record in records]
    assert [case.length for case in order[:2]] == [20, 40]
    assert [record.measured["cold"] for record in records] == [True, True] + [False] * 22
    assert [record.measured["worker"] for record in records] == [1] + [2] * 23
    places = [(case.haystack, case.needles[0].start if case.needles else -1) for case in order[2:]]
    assert places == sorted(places)


def test_folder_says_what_was_run(run, tmp_path):
    run("right", "--limit", "2", "--in_process")
    out = tmp_path / "out"
    held = json.loads((out / "run.json").read_text())
    assert held["versions"]["numpy"] and held["device"]["cores"] >= 1
    assert (held["runs"][0]["records_before"], held["runs"][0]["records_after"]) == (0, 2)
    assert yaml.safe_load((out / "config.yaml").read_text())["limit"] == 2
    sources = [json.loads(line) for line in (out / "sources.jsonl").read_text().splitlines()]
    assert {frozenset(row) for row in sources} == {frozenset(["name", "identity", "sha256", "frames", "seconds"])}
    assert {row["name"] for row in sources} == {"n1", "h1"}


def test_folder_names_no_place_of_this_machine(run, tmp_path):
    run("settings", "--model_args", f"weights={tmp_path}/weights", "--in_process", "--limit", "1")
    written = [path.read_text() for path in (tmp_path / "out").iterdir() if path.name != "records.jsonl"]
    assert [text for text in written if str(tmp_path) in text] == []


def test_cases_are_written_as_generation_wrote_them(run, suite, tmp_path):
    run("right", "--in_process")
    assert (tmp_path / "out" / "cases.jsonl").read_bytes() == (suite / "cases.jsonl").read_bytes()


def test_device_and_seed_reach_the_adapter_only_if_given(run, tmp_path):
    run("settings", "--in_process", "--limit", "1")
    assert records_in(tmp_path / "out")[0].reply == "[]"
    run("settings", "--in_process", "--limit", "1", "--fresh", "--device", "cpu", "--seed", "0", "--model_args", "k=8")
    assert records_in(tmp_path / "out")[0].reply == "[('device', 'cpu'), ('k', 8), ('seed', 0)]"


FILTERS = [
    (["--lengths", "20", "--conditions", "full"], 6),  # 3 needles x 2 depths
    (["--lengths", "20"], 18),  # and needle_only, blind, no_needle, swapped of each: those of 20 frames or no haystack
    (["--depths", "0.25", "--conditions", "full,blind"], 9),  # 3 needles x 2 lengths, and 3 blind
    (["--types", "grey", "--conditions", "blind"], 3),
    (["--limit", "5"], 5),
    (["--limit", "0.5"], 12),
]


@pytest.mark.parametrize("flags, count", FILTERS)
def test_flags_choose_the_cases(run, tmp_path, flags, count):
    assert run("right", "--in_process", *flags) == 0
    assert len(records_in(tmp_path / "out")) == count


def test_shards_together_are_the_suite(run, tmp_path):
    names = []
    for shard in ("1/3", "2/3", "3/3"):
        assert run("right", "--in_process", "--fresh", "--shard", shard) == 0
        names += [record.case for record in records_in(tmp_path / "out")]
    assert len(names) == 24
    assert set(names) == set(cases_in_suite(tmp_path, run))


def cases_in_suite(tmp_path, run):
    run("right", "--in_process", "--fresh")
    return cases_in(tmp_path / "out")


def test_config_file_gives_way_to_the_command_line(suite, tmp_path):
    file = tmp_path / "run.yaml"
    values = {"suite": str(suite), "model": "tests.helpers.fake_adapters:right", "limit": 3, "in_process": True}
    file.write_text(yaml.safe_dump({**values, "output_path": str(tmp_path / "out"), "figures": False}))
    assert main(["--config", str(file)]) == 0
    assert len(records_in(tmp_path / "out")) == 3
    assert main(["--config", str(file), "--limit", "4", "--fresh"]) == 0
    assert len(records_in(tmp_path / "out")) == 4


def test_memory_filled_by_earlier_answers_is_no_fault_of_the_case(run, tmp_path):
    assert run("leaking", "--in_process", "--limit", "6") == 0
    assert [record.status for record in records_in(tmp_path / "out")] == ["ok"] * 6


FAILURES = [
    (["killed", "--limit", "3"], 3, {"error": 1, "ok": 2}),
    (["raising", "--in_process"], 3, {"error": 6, "ok": 18}),  # 3 needles x 2 depths have 40 frames
    (["replying", "--in_process"], 3, {"error": 6, "ok": 18}),
    (["raising", "--model_args", "error=device", "--in_process"], 0, {"oom": 6, "ok": 18}),
    (["hanging", "--timeout", "0.5", "--limit", "3"], 3, {"timeout": 1, "ok": 2}),
    (["hungry", "--memory_limit_gib", "0.25", "--limit", "3"], 0, {"oom": 1, "ok": 2}),
    (["breaking_in", "--limit", "3"], 3, {"error": 1, "ok": 2}),
]


@pytest.mark.parametrize("flags, code, statuses", FAILURES)
def test_failed_cases_are_records_and_decide_the_exit_code(run, tmp_path, flags, code, statuses):
    assert run(*flags) == code
    found = [record.status for record in records_in(tmp_path / "out")]
    assert {status: found.count(status) for status in set(found)} == statuses


def test_worker_that_dies_gets_one_successor(run, tmp_path):
    assert run("killed_once", "--model_args", f"flag={tmp_path}/died", "--limit", "3") == 0
    attempts = {record.case: record.measured["attempts"] for record in records_in(tmp_path / "out")}
    assert attempts == {"n1.full.20.4": 1, "n1.full.20.12": 1, "n1.full.40.9": 2}


def test_failed_cases_are_asked_again_and_final_ones_are_not(run, tmp_path):
    assert run("raising", "--limit", "4", "--in_process") == 3
    before = records_in(tmp_path / "out")
    assert [record.status for record in before] == ["ok", "error", "ok", "error"]
    assert run("raising", "--limit", "4", "--in_process") == 3
    after = records_in(tmp_path / "out")
    assert [record.case for record in after] == [record.case for record in before]
    same = [one.measured == other.measured for one, other in zip(before, after, strict=True)]
    assert same == [True, False, True, False]


def test_complete_run_asks_nothing_again(run, tmp_path):
    assert run("right", "--in_process", "--limit", "4") == 0
    before = (tmp_path / "out" / "records.jsonl").read_bytes()
    assert run("right", "--in_process", "--limit", "4") == 0
    assert (tmp_path / "out" / "records.jsonl").read_bytes() == before


OTHERS = [
    (["--limit", "5"], "the cases"),
    (["--model_args", "seconds=0.1"], "model_args"),
    (["--decoder", "decord"], "decoder"),
    (["--seed", "1"], "seed"),
]


@pytest.mark.parametrize("flags, words", OTHERS)
def test_resuming_against_something_else_is_refused(run, capsys, flags, words):
    assert run("slow", "--in_process", "--limit", "2") == 0
    assert run("slow", "--in_process", *(flags if "--limit" in flags else ["--limit", "2", *flags])) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert words in error and "--fresh" in error and "--output_path" in error


def test_a_rule_for_options_is_named_before_the_run_and_stays(run, suite, capsys):
    path = suite / "suite.yaml"
    before = path.read_text()
    try:
        path.write_text(before + "score_by: sum\n")
        assert run("right", "--in_process", "--limit", "2") == 0
        path.write_text(before + "score_by: per_byte\n")
        assert run("right", "--in_process", "--limit", "2") == 2
        assert "these differ: score_by ('sum' there, 'per_byte' now)" in capsys.readouterr().err
        path.write_text(before)
        assert run("right", "--in_process", "--limit", "2") == 2
        assert "these differ: score_by ('sum' there, None now)" in capsys.readouterr().err
    finally:
        path.write_text(before)


def test_resuming_under_another_model_names_both(run, capsys):
    run("right", "--in_process", "--limit", "2")
    assert run("slow", "--in_process", "--limit", "2") == 2
    assert (
        "model ('tests.helpers.fake_adapters:right' there, 'tests.helpers.fake_adapters:slow' now)"
        in capsys.readouterr().err
    )


def test_fresh_keeps_the_earlier_records(run, tmp_path):
    for flags in ([], ["--fresh"], ["--fresh"]):
        assert run("right", "--in_process", "--limit", "1", *flags) == 0
    assert len(json.loads((tmp_path / "out" / "run.json").read_text())["runs"]) == 1  # the runs of these records
    names = sorted(path.name for path in (tmp_path / "out").glob("records.jsonl*"))
    assert names == ["records.jsonl", "records.jsonl.1", "records.jsonl.2"]


def test_fresh_leaves_no_list_of_what_another_suite_left_out(run, tmp_path):
    assert run("right", "--in_process", "--limit", "2") == 0
    for name in ("skipped.jsonl", "near_duplicates.jsonl"):
        (tmp_path / "out" / name).write_text("{}\n")  # as a suite that skips and doubles footage leaves them
    assert run("right", "--in_process", "--limit", "2", "--fresh") == 0
    assert not {"skipped.jsonl", "near_duplicates.jsonl"} & {path.name for path in (tmp_path / "out").iterdir()}


def test_second_run_into_a_folder_is_refused(run, tmp_path, capsys):
    with locked(tmp_path / "out"):
        assert run("right", "--in_process") == 2
    assert "another run is writing into" in capsys.readouterr().err


def test_file_in_place_of_the_output_folder_is_refused(run, tmp_path, capsys):
    (tmp_path / "out").write_text("a file")
    assert run("right", "--in_process") == 2
    assert "cannot be written into (File exists); name another --output_path" in capsys.readouterr().err


def test_folder_of_a_run_is_no_suite(run, tmp_path, capsys):
    run("right", "--in_process", "--limit", "1")
    assert main(["--suite", str(tmp_path / "out"), "--model", "tests.helpers.fake_adapters:right"]) == 2
    assert "is the folder of a run, not of a suite" in capsys.readouterr().err


WRONG = [
    (["--model", "seekr"], "no model is called 'seekr'. Did you mean 'seeker'?"),
    (["--suite", "smok"], "no suite is called 'smok'. Did you mean 'smoke'?"),
    (["--lengths", "20,33"], "no case has length 33: suite 'small' has lengths [20, 40]"),
    (["--depths", "0.3"], "no case has depth 0.3: suite 'small'"),
    (["--conditions", "empty"], "no case has condition 'empty': suite 'small'"),
    (["--types", "smell"], "no case has type 'smell': suite 'small'"),
    (["--shard", "4/3"], "--shard is i/N with i from 1 to N, got '4/3'"),
    (["--shard", "half"], "--shard is i/N"),
    (["--limit", "2.5"], "--limit is a number of cases or a fraction"),
    (["--limit", "inf"], "--limit is a number of cases or a fraction"),
    (["--limit", "nan"], "--limit is a number of cases or a fraction"),
    (["--timeout", "nan"], "--timeout is in seconds and above 0, got nan"),
    (["--memory_limit_gib", "inf"], "--memory_limit_gib must be above 0 and finite, got inf"),
    (["--limit", "0"], "--limit is a number of cases or a fraction"),
    (["--decoder", "pyaw", "--in_process"], "no decoder is called 'pyaw'. Did you mean 'pyav'?"),
    (["--config", "no-such.yaml"], "no-such.yaml does not exist"),
    (
        ["--model", "tests.helpers.fake_adapters:broken"],
        "not load: tests.helpers.fake_adapters:broken raised ImportError",
    ),
]


@pytest.mark.parametrize("flags, words", WRONG)
def test_mistake_is_told_without_a_traceback(run, capsys, flags, words):
    assert run("right", *flags) == 2
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error


@pytest.mark.parametrize("flags", [["--sweet", "x"], ["--limit", "few"], ["--fresh", "--resume"], ["--lengths", "2k"]])
def test_unknown_flag_or_value_is_a_usage_error(flags):
    assert main(flags) == 2


def test_unknown_key_of_a_config_file_lists_the_known(tmp_path, capsys):
    (tmp_path / "run.yaml").write_text("modle: seeker\n")
    assert main(["--config", str(tmp_path / "run.yaml")]) == 2
    assert "no key is called 'modle'. Did you mean 'model'?" in capsys.readouterr().err


def test_dry_run_counts_and_asks_nothing(run, tmp_path, capsys):
    assert run("right", "--dry_run") == 0
    said = capsys.readouterr().out
    assert "24: 12 full, 3 needle_only, 3 no_needle, 3 swapped, 3 blind" in said
    # 3 x (2 x 20 + 2 x 40 + 4 + 20 + 20) asked; of h1 36 frames, of h2 36, of each needle 4; cold: 20 + 40
    assert "frames asked   492" in said
    assert "source frames  84 distinct, and 60 again for the 2 cold cases" in said
    assert "unknown until some cases were asked" in said
    assert not (tmp_path / "out").exists()


def test_dry_run_learns_the_models_time_from_earlier_records(run, capsys):
    run("right", "--in_process", "--limit", "2")
    assert run("right", "--dry_run") == 0
    assert "for 22 cases left (median" in capsys.readouterr().out


@pytest.mark.parametrize("status, left", [("timeout", 23), ("error", 23), ("oom", 22)])
def test_dry_run_counts_a_case_as_left_that_is_asked_again_and_needs_no_time_of_it(run, tmp_path, capsys, status, left):
    run("right", "--in_process", "--limit", "2")
    path = tmp_path / "out" / "records.jsonl"
    first, second = records_in(tmp_path / "out")
    stopped = dataclasses.replace(second, status=status, reply=None, measured={})  # as a stopped worker leaves it
    path.write_text("".join(json.dumps(record.to_json()) + "\n" for record in (first, stopped)))
    assert run("right", "--dry_run") == 0
    took = first.measured["file_to_answer_seconds"]
    assert f"for {left} cases left (median {took:.1f} s over 1 asked)" in capsys.readouterr().out


def test_output_folder_is_named_after_suite_model_part_and_shard(suite, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = ["--suite", str(suite), "--model", "tests.helpers.fake_adapters:right", "--in_process", "--no_figures"]
    assert main([*flags, "--limit", "4", "--shard", "2/4"]) == 0
    assert [path.name for path in Path("runs").iterdir()] == [
        "suite-tests.helpers.fake_adapters-right-limit-4-shard-2-of-4"
    ]
    config = RunConfig(model="m", suite="smoke", types=("read aloud", "a/b"))  # whatever a table calls its types
    assert config.folder() == Path("runs/smoke-m-types-read-aloud-a-b")


@pytest.mark.parametrize(
    "suite, name",
    [
        ("mine.yaml", "holiday-videos-chance"),  # by its name:
        ("smoke", "smoke-chance"),
        ("default-v1", "default-v1-chance"),  # it shares its name: with another that ships
        ("gone.yaml", "gone-chance"),  # what reads it says that it is not there
        ("broken.yaml", "broken-chance"),
    ],
)
def test_output_folder_is_named_after_the_suite_s_own_name(suite, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("name: holiday videos\nfootage: {world: w}\n")
    (tmp_path / "broken.yaml").write_text("name: [")
    assert run_config(["--suite", suite, "--model", "chance"]).folder() == Path("runs") / name

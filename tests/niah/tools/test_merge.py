"""Shards put together are the run they are shards of."""

import json
import os
import shutil
from pathlib import Path

import pytest

from niah.run.folder import locked
from tests.helpers.commands import merge
from tests.helpers.commands import run as main
from tests.helpers.engine_runs import without_measured
from tests.helpers.small_suite import make_suite

WHOLE = ("cases.jsonl", "sources.jsonl", "suite.yaml")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("merge")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDEONIAH_CACHE", str(folder / "cache"))
        make_suite(folder)
        yield folder


@pytest.fixture(scope="module")
def run(folder):
    """Return a function that runs the small suite into a folder."""

    def begin(out, *flags, model="right"):
        target = f"tests.helpers.fake_adapters:{model}"
        common = ["--suite", str(folder / "suite"), "--model", target, "--in_process", "--no_figures"]
        return main([*common, "--output_path", str(out), *flags])

    return begin


@pytest.fixture(scope="module")
def made(folder, run):
    """Return the folder in which `whole` is a run of everything and s1, s2, s3 are its shards."""
    assert run(folder / "whole") == 0
    for i in (1, 2, 3):
        assert run(folder / f"s{i}", "--shard", f"{i}/3") == 0
    return folder


@pytest.fixture
def shards(made, tmp_path):
    """Return copies of the three shards."""
    return [shutil.copytree(made / f"s{i}", tmp_path / f"all-shard-{i}-of-3") for i in (1, 2, 3)]


def put_together(*folders, out=None):
    where = [] if out is None else ["-o", str(out)]
    return merge([*map(str, folders), *where, "--no_figures"])


def test_merged_shards_are_the_run_without_shards(made, shards, capsys):
    assert put_together(shards[2], shards[0], shards[1]) == 0
    out, whole = shards[0].parent / "all", made / "whole"
    assert without_measured(out) == without_measured(whole) and len(without_measured(out)) == 24
    assert [(out / name).read_bytes() for name in WHOLE] == [(whole / name).read_bytes() for name in WHOLE]
    decides = [json.loads((place / "run.json").read_text())["decides"] for place in (out, whole)]
    assert decides[0] == decides[1]
    assert (out / "table.csv").is_file()
    assert "24 records of 24 cases" in capsys.readouterr().out


def test_merging_again_changes_nothing(shards):
    put_together(*shards)
    before = (shards[0].parent / "all" / "records.jsonl").read_bytes()
    assert put_together(*shards) == 0
    assert (shards[0].parent / "all" / "records.jsonl").read_bytes() == before


def test_what_an_earlier_suite_left_out_is_not_said_of_the_whole(shards):
    out = shards[0].parent / "all"
    out.mkdir()
    (out / "skipped.jsonl").write_text('{"what":"old","why":"old"}\n')
    (out / "near_duplicates.jsonl").write_text("{}\n")
    for shard in shards:
        (shard / "skipped.jsonl").write_text('{"what":"n9","why":"too short"}\n')
    assert put_together(*shards) == 0
    assert (out / "skipped.jsonl").read_text() == '{"what":"n9","why":"too short"}\n'
    assert not (out / "near_duplicates.jsonl").exists()


def drop_records(folder, count):
    path = folder / "records.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-count]))


def test_unfinished_shards_are_merged_and_gone_on_with_without_shards(made, shards, run, capsys):
    drop_records(shards[1], 3)
    assert put_together(*shards) == 3
    assert "3 cases not asked yet" in capsys.readouterr().out
    out = shards[0].parent / "all"
    assert run(out) == 0
    assert without_measured(out) == without_measured(made / "whole")


def test_what_a_shard_answers_later_is_added_and_what_the_whole_holds_is_kept(made, shards):
    second = shutil.copytree(shards[1], shards[1].with_name("later"))
    drop_records(shards[1], 3)
    assert put_together(*shards) == 3
    out = shards[0].parent / "all"
    drop_records(shards[0], 2)  # lost there, but the merged folder still has them
    assert put_together(shards[0], second, shards[2], out=out) == 0
    assert without_measured(out) == without_measured(made / "whole")


def test_final_record_is_taken_before_a_failed_one(made, run, shards, tmp_path, capsys):
    shutil.copytree(shards[0], tmp_path / "copy")
    path = shards[0] / "records.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    failed = {**rows[0], "status": "error", "reply": None, "detail": "died", "measured": {}}
    path.write_text("".join(json.dumps(row) + "\n" for row in [failed, *rows[1:]]))
    assert put_together(*shards, tmp_path / "copy") == 0
    assert without_measured(tmp_path / "all") == without_measured(made / "whole")
    assert "1 cases were answered more than once" in capsys.readouterr().out


def refused(capsys, *folders, out=None):
    assert put_together(*folders, out=out) == 2
    return capsys.readouterr().err


def test_shards_of_other_versions_are_warned_of(shards, capsys):
    put_together(*shards)
    assert "differ in" not in capsys.readouterr().err
    path = shards[1] / "run.json"
    about = json.loads(path.read_text())
    about["versions"]["numpy"] = about["worker"]["versions"]["numpy"] = "0.1"
    path.write_text(json.dumps({**about, "git": {"commit": "f" * 40, "dirty": True}}))
    assert put_together(*shards) == 0
    said = capsys.readouterr().err
    assert "WARNING: the shards differ in git (" in said and "ffffffffffff with changes" in said
    assert "numpy (0.1, " in said and "their records may, too" in said


def test_shards_of_two_versions_of_the_rules_are_refused(shards, capsys):
    path = shards[1] / "cases.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps({**row, "version": 2}) + "\n" for row in rows))
    said = refused(capsys, *shards)
    assert f"different versions of the suite's rules (version 1 in {shards[0]}, version 2 in {shards[1]})" in said


def test_missing_shard_is_named(shards, capsys):
    said = refused(capsys, shards[0], shards[2])
    assert "8 of 24 cases lie in shards that were not named (2/3)" in said
    assert not (shards[0].parent / "all").exists()


def test_shards_of_two_models_are_refused(shards, run, tmp_path, capsys):
    run(tmp_path / "other", "--shard", "2/3", model="slow")
    said = refused(capsys, shards[0], tmp_path / "other", shards[2])
    assert "are not shards of one run; these differ: model" in said


def test_shards_of_other_cases_are_refused(shards, run, tmp_path, capsys):
    run(tmp_path / "other", "--shard", "2/3", "--limit", "20")
    said = refused(capsys, shards[0], tmp_path / "other", shards[2])
    assert "these differ: the cases of all shards together" in said


def test_whole_run_is_no_shard(made, capsys):
    assert "holds no shard but a whole run" in refused(capsys, made / "whole", out=made / "x")


def test_shard_that_is_being_written_is_refused(shards, capsys):
    with locked(shards[1]):
        assert "another run is writing into" in refused(capsys, *shards)


def test_folder_of_another_run_is_not_written_into(shards, run, tmp_path, capsys):
    run(tmp_path / "other", "--limit", "2", model="slow")
    before = (tmp_path / "other" / "records.jsonl").read_bytes()
    assert "holds records of another run" in refused(capsys, *shards, out=tmp_path / "other")
    assert (tmp_path / "other" / "records.jsonl").read_bytes() == before


def test_shard_is_not_merged_into_itself(shards, capsys):
    assert "is one of the shards" in refused(capsys, *shards, out=shards[1])


def test_whole_is_not_written_inside_a_shard(shards, capsys):
    assert "lies inside the shard" in refused(capsys, *shards, out=shards[1] / "deep" / "all")
    assert not (shards[1] / "deep").exists()


def test_shard_named_twice_is_said_to_be(shards, capsys):
    again = shards[0].parent / "." / ".." / shards[0].parent.name / shards[0].name
    assert f"{again} was named twice; name every shard once" in refused(capsys, *shards, again)


def test_shard_of_another_suite_with_the_same_cases_is_refused(shards, capsys):
    path = shards[1] / "suite.yaml"
    path.write_text(path.read_text().replace("width: 16", "width: 32"))
    assert "these differ: suite.yaml" in refused(capsys, *shards)
    assert not (shards[0].parent / "all").exists()


@pytest.mark.parametrize("name", ["config.yaml", "suite.yaml"])
@pytest.mark.parametrize("number", [0, 1])
def test_shard_without_its_settings_leaves_no_folder_behind(shards, capsys, number, name):
    (shards[number] / name).unlink()
    said = refused(capsys, *shards)
    assert str(shards[number]) in said and name in said
    assert not (shards[0].parent / "all").exists()


def test_a_pattern_that_matches_nothing_is_said_not_to_exist(tmp_path, capsys):
    assert put_together(tmp_path / "all-shard-*") == 2
    assert "all-shard-* does not exist; name folders" in capsys.readouterr().err


def test_name_without_a_shard_wants_a_folder(shards, capsys):
    other = shards[0].rename(shards[0].with_name("part"))
    assert "name the merged folder with -o" in refused(capsys, other, *shards[1:])


DAMAGE = [
    ("run.json", lambda text: "[]", "no readable run.json"),
    ("run.json", lambda text: text.replace('"places"', '"place"'), "cannot be merged (KeyError('places'))"),
    ("cases.jsonl", lambda text: text.split("\n", 1)[1], "do not belong together"),
    ("cases.jsonl", lambda text: text.replace("How bright", "How dark"), "do not have the recorded hash"),
    ("records.jsonl", lambda text: text + text.split("\n")[0] + "\n", "is there twice"),
    ("sources.jsonl", lambda text: text.replace('"sha256":"', '"sha256":"0'), "is another file than in a shard"),
]


@pytest.mark.parametrize("name, damage, words", DAMAGE)
def test_damaged_shard_is_refused_and_nothing_written(shards, capsys, name, damage, words):
    path = shards[1] / name
    path.write_text(damage(path.read_text()))
    assert words in refused(capsys, *shards)
    assert not (shards[0].parent / "all" / "records.jsonl").exists()


def test_folder_that_is_not_there_is_not_made(shards, capsys):
    assert "does not exist" in refused(capsys, *shards, shards[0].with_name("nowhere"))
    assert not shards[0].with_name("nowhere").exists()


def test_names_of_this_machine_stay_out_of_the_merged_folder(shards):
    put_together(*shards)
    out = Path(shards[0].parent / "all")
    texts = [(out / name).read_text() for name in os.listdir(out)]
    assert [text for text in texts if str(out.parent) in text] == []

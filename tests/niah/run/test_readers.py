"""Run folders whose files are gzipped, or whose cases are shared, read like any other."""

import gzip
import hashlib
import json
import shutil

import pytest

from niah.analysis.load import read_run
from niah.run.metadata import read_metadata, update_metadata
from niah.run.records import cases_path, read_cases, read_records, set_aside
from niah.types import UserError
from tests.helpers.engine_runs import rows_of, runner, without_measured
from tests.helpers.fake_runs import make_case, make_record, write_run


@pytest.fixture
def folder(tmp_path):
    cases = [make_case("n0"), make_case("n1")]
    return write_run(tmp_path / "runs" / "run", cases, [make_record(case) for case in cases])


def pack(path):
    """Replace a file by its gzipped copy."""
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()


def share(folder, name, where):
    """Move the folder's cases to `where`, and name them in run.json."""
    shutil.move(folder / "cases.jsonl", where)
    update_metadata(folder, {"cases": name})


@pytest.mark.parametrize("names", [["records.jsonl"], ["cases.jsonl"], ["records.jsonl", "cases.jsonl"]])
def test_gzipped_files_read_like_plain_ones(folder, names):
    plain = read_run(folder)
    for name in names:
        pack(folder / name)
    assert read_run(folder) == plain


def test_a_plain_file_beside_its_gzipped_copy_is_the_one_that_counts(folder):
    pack(folder / "records.jsonl")
    (folder / "records.jsonl").write_text("")
    assert read_records(folder / "records.jsonl") == []


def test_a_gzipped_file_that_was_cut_short_is_named(folder):
    pack(folder / "records.jsonl")
    packed = folder / "records.jsonl.gz"
    packed.write_bytes(packed.read_bytes()[:-9])
    with pytest.raises(UserError, match="records.jsonl.gz is not a complete gzip file"):
        read_run(folder)


def test_records_and_their_gzipped_copy_are_set_aside_together(folder):
    records = folder / "records.jsonl"
    data = records.read_bytes()
    pack(records)
    records.write_bytes(data)
    set_aside(records)
    assert sorted(path.name for path in folder.glob("records*")) == ["records.jsonl.1", "records.jsonl.gz.1"]
    assert read_records(records) == []


@pytest.mark.parametrize("packed", [False, True])
def test_two_runs_share_one_file_of_cases(folder, packed):
    plain = read_run(folder)
    other = shutil.copytree(folder, folder.with_name("other"))
    shared = folder.parent / "cases.jsonl"
    share(folder, "../cases.jsonl", shared)
    share(other, "../cases.jsonl", shared)
    if packed:
        pack(shared)
    assert read_run(folder) == plain
    assert read_run(other).cases == plain.cases


def test_shared_cases_that_changed_are_refused(folder):
    share(folder, "../cases.jsonl", folder.parent / "cases.jsonl")
    with (folder.parent / "cases.jsonl").open("a") as file:
        file.write(json.dumps(make_case("n2").to_json()) + "\n")
    with pytest.raises(UserError, match="is not what run.json says was asked"):
        read_run(folder)


def test_shared_cases_lie_beside_the_runs_and_nowhere_else(folder, tmp_path):
    shutil.copy(folder / "cases.jsonl", tmp_path / "cases.jsonl")
    for name in ("../../cases.jsonl", str(folder / "cases.jsonl"), "/etc/passwd"):
        update_metadata(folder, {"cases": name})
        with pytest.raises(UserError, match="which lie outside"):
            cases_path(folder)


def test_a_link_beside_the_runs_leads_to_no_file_elsewhere(folder, tmp_path):
    shutil.move(folder / "cases.jsonl", tmp_path / "cases.jsonl")
    (folder.parent / "cases.jsonl").symlink_to(tmp_path / "cases.jsonl")
    update_metadata(folder, {"cases": "../cases.jsonl"})
    with pytest.raises(UserError, match="which lie outside"):
        read_cases(folder)


def test_the_hash_is_that_of_the_unpacked_cases(folder):
    expected = hashlib.sha256((folder / "cases.jsonl").read_bytes()).hexdigest()
    pack(folder / "cases.jsonl")
    assert read_cases(folder)[1] == expected


def test_a_run_outside_a_git_checkout_can_be_read(folder):
    update_metadata(folder, {"git": None})
    assert read_metadata(folder)["git"] is None


def test_a_run_with_gzipped_records_and_shared_cases_is_resumed(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "cache"))
    run = runner(tmp_path)
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert run(whole, "--in_process", model="right", args="") == 0
    assert run(out, "--in_process", model="right", args="") == 0
    kept = (out / "records.jsonl").read_text().splitlines(keepends=True)[:5]
    (out / "records.jsonl").write_text("".join(kept))
    pack(out / "records.jsonl")
    share(out, "../cases.jsonl", tmp_path / "cases.jsonl")
    assert run(out, "--in_process", model="right", args="") == 0
    assert not (out / "cases.jsonl").exists()
    assert [json.dumps(row) for row in rows_of(out)[:5]] == [json.dumps(json.loads(line)) for line in kept]
    assert without_measured(out) == without_measured(whole)

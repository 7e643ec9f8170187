"""A run folder of a stranger may hold symbolic links: nothing is ever written to their targets."""

import gzip
import os
import shutil

import pytest

from niah.analysis.load import read_run
from niah.analysis.table import write_table
from niah.figures.draw import draw_runs
from niah.io import open_to_append, refuse_link, replace_file, replacing
from niah.run.metadata import update_metadata
from niah.run.records import Records
from niah.run.worker_log import copy_to_log
from niah.types import UserError
from tests.helpers.commands import merge, report, run
from tests.helpers.fake_runs import make_case, make_record
from tests.helpers.fake_runs import write_run as fake_run
from tests.helpers.small_suite import make_suite

SECRET = "export PATH=somewhere\n"


@pytest.fixture
def target(tmp_path):
    """A file of the user's, outside of every run folder; the test fails where it changes."""
    path = tmp_path / "bashrc"
    path.write_text(SECRET)
    yield path
    assert path.read_text() == SECRET


@pytest.fixture
def folder(tmp_path):
    cases = [make_case(f"n{number}") for number in range(2)]
    return fake_run(tmp_path / "run", cases, [make_record(case) for case in cases])


def test_a_link_is_replaced_by_the_file(target, folder):
    link = folder / "table.csv"
    link.symlink_to(target)
    replace_file(link, "a,b\n")
    assert not link.is_symlink()
    assert link.read_bytes() == b"a,b\n"


def test_a_file_stays_where_writing_it_anew_fails(folder):
    (folder / "a.bin").write_bytes(b"old")
    with pytest.raises(KeyError), replacing(folder / "a.bin") as temporary:
        temporary.write_bytes(b"half of the n")
        raise KeyError("x")
    assert (folder / "a.bin").read_bytes() == b"old"
    assert [path for path in folder.iterdir() if "partial" in path.name] == []


def test_a_new_file_has_the_rights_that_open_gives(tmp_path):
    (tmp_path / "one").touch()
    replace_file(tmp_path / "other", b"")
    assert (tmp_path / "one").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_folder_that_is_missing_is_named_with_the_file_asked_for(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        replace_file(tmp_path / "gone" / "a.txt", "")
    assert caught.value.filename == str(tmp_path / "gone" / "a.txt")


@pytest.mark.parametrize("name", ["table.csv", "heatmap.png", "heatmap.csv", "memory.svg"])
def test_tables_and_figures_replace_a_link(target, folder, name):
    (folder / name).symlink_to(target)
    write_table(folder)
    draw_runs([folder], folder)
    assert (folder / name).is_file() and not (folder / name).is_symlink()


def test_run_json_replaces_a_link(target, folder):
    shutil.move(folder / "run.json", folder / "other.json")
    (folder / "run.json").symlink_to(folder / "other.json")
    before = (folder / "other.json").read_text()
    update_metadata(folder, {"suite": "fake"})
    assert not (folder / "run.json").is_symlink()
    assert (folder / "other.json").read_text() == before


def test_a_report_replaces_a_link(target, folder, tmp_path):
    words = [str(folder), "--no_thumbnails", "-o"]
    (tmp_path / "mine.html").symlink_to(target)
    assert report([*words, str(tmp_path / "mine.html")]) == 2  # no page of ours, link or not
    assert report([*words, str(tmp_path / "older.html")]) == 0
    (tmp_path / "older.html").write_text((tmp_path / "older.html").read_text() + "<!-- note -->")
    before = (tmp_path / "older.html").read_text()
    (tmp_path / "report.html").symlink_to(tmp_path / "older.html")
    assert report([*words, str(tmp_path / "report.html")]) == 0
    assert not (tmp_path / "report.html").is_symlink()
    assert (tmp_path / "older.html").read_text() == before


def test_what_is_appended_to_is_refused_where_it_is_a_link(target, folder):
    (folder / "log").symlink_to(target)
    for refuse in (open_to_append, refuse_link, Records):
        with pytest.raises(UserError, match=r"log is a symbolic link, which is never written through; remove"):
            refuse(folder / "log")


def test_a_link_to_nothing_is_refused_as_well(folder, tmp_path):
    (folder / "log").symlink_to(tmp_path / "new")
    with pytest.raises(UserError, match="symbolic link"):
        open_to_append(folder / "log")
    assert not (tmp_path / "new").exists()


@pytest.fixture
def swap(tmp_path, folder):
    """Return what puts a link to another folder in the place of the run's, as its owner may at any moment."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "table.csv").write_text(SECRET)

    def put():
        folder.rename(tmp_path / "moved")
        folder.symlink_to(victim)

    yield put
    assert [path.name for path in victim.iterdir()] == ["table.csv"]
    assert (victim / "table.csv").read_text() == SECRET


def test_a_folder_that_is_swapped_for_a_link_while_a_file_is_written_gets_the_file(folder, swap, tmp_path):
    with replacing(folder / "table.csv") as temporary:
        swap()
        temporary.write_bytes(b"a,b\n")
    assert (tmp_path / "moved" / "table.csv").read_bytes() == b"a,b\n"
    assert [path for path in (tmp_path / "moved").iterdir() if "partial" in path.name] == []


def test_the_new_file_may_be_swapped_for_a_link_while_it_is_written(folder, target, monkeypatch):
    really = os.fdopen

    def swapping(descriptor, *rest):
        [temporary] = folder.glob(".*.partial.*")
        temporary.unlink()
        temporary.symlink_to(target)
        return really(descriptor, *rest)

    monkeypatch.setattr("os.fdopen", swapping)
    replace_file(folder / "table.csv", "a,b\n")


def test_a_log_goes_on_in_the_folder_it_began_in(folder, swap, tmp_path):
    class Lines:
        said = [b"one\n", b"two\n", b""]

        def read(self, _):
            if len(self.said) == 2:
                swap()
            return self.said.pop(0)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    copy_to_log(Lines(), folder / "worker.log")
    assert (tmp_path / "moved" / "worker.log").read_bytes() == b"one\ntwo\n"


def test_an_error_of_the_disk_names_the_file_that_was_asked_for(folder):
    (folder / "sub").mkdir()
    (folder / "sub" / "inside").touch()
    with pytest.raises(OSError) as caught:
        replace_file(folder / "sub", "a file in the place of a folder")
    assert caught.value.filename == str(folder / "sub")


@pytest.mark.parametrize("name", ["run.json", "records.jsonl", "cases.jsonl"])
def test_what_never_ends_is_not_read(folder, name):
    for number, make in enumerate((os.mkfifo, lambda path: path.symlink_to("/dev/zero"))):
        (folder / name).rename(folder / f"{name}.{number}")
        make(folder / name)
        with pytest.raises(UserError, match=f"{name} is not a regular file"):
            read_run(folder)
        (folder / name).unlink()
        (folder / f"{name}.{number}").rename(folder / name)


def test_nothing_is_appended_to_a_pipe(folder):
    os.mkfifo(folder / "log")
    with pytest.raises(UserError, match="log is not a regular file"):
        open_to_append(folder / "log")  # without a reader, opening would never end


def test_a_gzipped_file_that_unpacks_to_gigabytes_is_refused_by_the_limit_that_names_itself(folder, monkeypatch):
    (folder / "records.jsonl").unlink()
    (folder / "records.jsonl.gz").write_bytes(gzip.compress(b" " * 2_000_000))
    monkeypatch.setenv("VIDEONIAH_MAX_UNPACKED_GIB", "0.001")
    with pytest.raises(UserError, match="records.jsonl.gz unpacks to more than 0.001 GiB; raise VIDEONIAH_MAX_"):
        read_run(folder)


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    folder = tmp_path_factory.mktemp("links")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDEONIAH_CACHE", str(folder / "cache"))
        make_suite(folder)
        yield folder / "suite"


def begin(suite, out, *flags):
    common = ["--suite", str(suite), "--model", "tests.helpers.fake_adapters:right", "--no_figures"]
    return run([*common, "--output_path", str(out), *flags])


@pytest.mark.parametrize("name, flags", [(".lock", ["--in_process"]), ("worker.log", [])])
def test_a_run_refuses_links_for_its_lock_and_its_log(target, suite, tmp_path, capsys, name, flags):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).symlink_to(target)
    assert begin(suite, tmp_path / "out", *flags) == 2
    assert f"{name} is a symbolic link" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["records.jsonl", "cases.jsonl", "suite.yaml", "config.yaml", "table.csv"])
def test_a_run_writes_through_no_link(target, suite, tmp_path, name):
    empty = tmp_path / "empty"
    empty.touch()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).symlink_to(empty if name == "records.jsonl" else target)
    begin(suite, tmp_path / "out", "--in_process")
    assert empty.read_text() == ""


def test_a_merge_writes_through_no_link(target, suite, tmp_path):
    shards = [tmp_path / f"all-shard-{i}-of-2" for i in (1, 2)]
    for i, shard in enumerate(shards, start=1):
        assert begin(suite, shard, "--in_process", "--shard", f"{i}/2") == 0
    out = tmp_path / "all"
    out.mkdir()
    names = ("cases.jsonl", "sources.jsonl", "suite.yaml", "config.yaml", "table.csv")
    for name in names:
        (out / name).symlink_to(target)
    assert merge([*map(str, shards), "--no_figures"]) == 0
    assert not [name for name in names if (out / name).is_symlink()]
    os.unlink(shards[0] / ".lock")
    (shards[0] / ".lock").symlink_to(target)
    assert merge([*map(str, shards), "--no_figures"]) == 2

"""Videos held against their hashes: what is missing, what changed, and where else they may lie."""

import json
import re
import shutil

import pytest
from pyarrow import Table, parquet

from tests.helpers.commands import publish, run
from tests.helpers.commands import verify as main
from tests.helpers.fake_runs import make_case, make_record, write_run
from tests.helpers.generate_fakes import write_text
from tests.helpers.small_suite import make_suite


@pytest.fixture
def suite(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "cache"))
    return make_suite(tmp_path / "small")


def test_a_suite_whose_videos_are_there_is_as_recorded(suite, capsys):
    assert main([str(suite)]) == 0
    assert capsys.readouterr().out == "5 sources: 5 as recorded\n"


def test_a_video_that_is_gone_is_missing(suite, capsys):
    (suite.parent / "n2.mp4").unlink()
    assert main([str(suite)]) == 1
    said = capsys.readouterr().out
    assert f"missing  n2: no file at {suite.parent / 'n2.mp4'} with sha256 " in said
    assert "5 sources: 4 as recorded, 1 missing\nfix: put the files back" in said


def test_a_video_of_other_bytes_is_changed(suite, capsys):
    with open(suite.parent / "h1.mp4", "ab") as file:
        file.write(b"x")
    assert main([str(suite)]) == 1
    said = capsys.readouterr().out
    assert said.startswith(f"changed  h1: {suite.parent / 'h1.mp4'} has sha256 ") and "4 as recorded, 1 changed" in said


def test_an_empty_video_is_changed_with_the_reader_s_words(suite, capsys):
    (suite.parent / "h1.mp4").write_bytes(b"")
    assert main([str(suite)]) == 1
    assert "the file is empty (0 bytes)" in capsys.readouterr().out


def test_a_video_elsewhere_is_found_by_its_name_or_else_by_its_hash(suite, tmp_path, capsys):
    (tmp_path / "else" / "deep").mkdir(parents=True)
    shutil.move(suite.parent / "h1.mp4", tmp_path / "else" / "deep" / "h1.mp4")
    shutil.move(suite.parent / "h2.mp4", tmp_path / "else" / "renamed.mp4")
    assert main([str(suite)]) == 1
    assert main([str(suite), "--media", str(tmp_path / "else")]) == 0


def test_a_run_names_no_folder_and_its_videos_are_looked_for(suite, tmp_path, capsys):
    out = tmp_path / "run"
    flags = ["--model", "chance", "--no_figures", "--limit", "2", "--output_path", str(out)]
    assert run(["--suite", str(suite), *flags]) == 0
    assert main([str(out)]) == 1
    assert main([str(out), "--media", str(suite.parent)]) == 0
    lines = (out / "cases.jsonl").read_text()
    (out / "cases.jsonl").write_text(lines.replace("bright", "dark"))
    assert main([str(out), "--media", str(suite.parent)]) == 1
    assert "changed  cases.jsonl has sha256" in capsys.readouterr().out


def test_a_published_suite_becomes_one_that_runs(suite, tmp_path, capsys):
    publish(["suite", str(suite), "-o", str(tmp_path / "out")])
    shutil.move(suite.parent, tmp_path / "videos")
    again = tmp_path / "again"
    assert main([str(tmp_path / "out"), "-o", str(again)]) == 1 and not again.exists()
    assert main([str(tmp_path / "out"), "--media", str(tmp_path / "videos"), "-o", str(again)]) == 0
    assert (again / "cases.jsonl").read_bytes() == (tmp_path / "videos" / "suite" / "cases.jsonl").read_bytes()
    flags = ["--model", "chance", "--no_figures", "--limit", "2", "--output_path", str(tmp_path / "run")]
    assert run(["--suite", str(again), *flags]) == 0


def published(suite, tmp_path):
    publish(["suite", str(suite), "-o", str(tmp_path / "out")])
    return tmp_path / "out" / "data"


def rewritten(path, change):
    table = parquet.read_table(path)
    parquet.write_table(Table.from_pylist(change(table.to_pylist()), schema=table.schema), path)


CHANGES = [
    ("sources", lambda rows: [], "data/sources.parquet does not list 5 sources that its cases show, such as 'h1'"),
    ("sources", lambda rows: rows[:-1], "changed  data/sources.parquet has sha256"),
    ("cases", lambda rows: [{**row, "answer": "D"} for row in rows], "changed  data/cases.parquet has sha256"),
]


@pytest.mark.parametrize("table, change, words", CHANGES)
def test_a_changed_table_of_a_published_suite_is_noticed_and_no_suite_made_of_it(
    suite, tmp_path, capsys, table, change, words
):
    data = published(suite, tmp_path)
    rewritten(data / f"{table}.parquet", change)
    assert main([str(data.parent), "--media", str(suite.parent), "-o", str(tmp_path / "again")]) == 1
    assert words in capsys.readouterr().out and not (tmp_path / "again").exists()


LINES = [
    ("sources.jsonl", lambda text: "", "sources.jsonl does not list 5 sources that its cases show, such as 'h1'"),
    ("cases.jsonl", lambda text: text.replace('"answer":"A"', '"answer":"D"'), "changed  cases.jsonl has sha256"),
]


@pytest.mark.parametrize("hashes", [True, False])
@pytest.mark.parametrize("name, change, words", LINES)
def test_a_changed_file_of_a_suite_is_noticed(suite, capsys, name, change, words, hashes):
    (suite / name).write_text(change((suite / name).read_text()))
    if not hashes:  # a suite of before hashes.json
        (suite / "hashes.json").unlink()
    noticed = hashes or name == "sources.jsonl"
    assert main([str(suite)]) == int(noticed)
    told = capsys.readouterr()
    assert (words in told.out) == noticed and ("the cases have no recorded hash" in told.err) != hashes


def test_another_sampling_is_noticed_and_a_suite_of_before_has_no_hash_of_it(suite, tmp_path, capsys):
    def resized(folder):
        text = (folder / "suite.yaml").read_text()
        (folder / "suite.yaml").write_text(re.sub(r"width: \d+", "width: 7", text))

    data, out = published(suite, tmp_path).parent, tmp_path / "run"
    flags = ["--model", "chance", "--no_figures", "--limit", "2", "--output_path", str(out)]
    assert run(["--suite", str(suite), *flags]) == 0
    for folder in (suite, data, out):
        assert main([str(folder), "--media", str(suite.parent)]) == 0
        resized(folder)
        capsys.readouterr()
        assert main([str(folder), "--media", str(suite.parent)]) == 1
        assert "changed  suite.yaml " in capsys.readouterr().out
    kept = json.loads((suite / "hashes.json").read_text())
    del kept["suite_sha256"]
    (suite / "hashes.json").write_text(json.dumps(kept))
    assert main([str(suite)]) == 0


def test_a_run_without_its_sources_is_noticed(suite, tmp_path, capsys):
    out = tmp_path / "run"
    flags = ["--model", "chance", "--no_figures", "--limit", "2", "--output_path", str(out)]
    assert run(["--suite", str(suite), *flags]) == 0
    (out / "sources.jsonl").write_text("")
    assert main([str(out), "--media", str(suite.parent)]) == 1
    assert "changed  sources.jsonl has sha256" in capsys.readouterr().out


def test_a_name_that_leads_out_of_the_media_folder_is_not_followed(suite, tmp_path, capsys):
    rows = [json.loads(line) for line in (suite / "sources.jsonl").read_text().splitlines()]
    rows = [{**row, "path": "", "name": f"../small/{row['name']}.mp4"} for row in rows[:1]]
    write_text(suite / "sources.jsonl", *map(json.dumps, rows))
    (tmp_path / "empty").mkdir()
    assert main([str(suite), "--media", str(tmp_path / "empty")]) == 1
    assert "missing  ../small/n1.mp4" in capsys.readouterr().out


def test_a_suite_without_hashes_has_every_line_told_that_names_no_file(tmp_path, capsys):
    for name in ("long.mp4", "a.mp4"):
        (tmp_path / name).touch()
    row = {"question": "Who?", "options": ["Ann", "Bob"], "answer": "B"}
    write_text(tmp_path / "n.jsonl", *(json.dumps({"video": name, **row}) for name in ("a.mp4", "b.mp4", "c.mp4")))
    write_text(tmp_path / "s.yaml", "name: mine", "haystacks: {files: [long.mp4]}", "needles: {file: n.jsonl}")
    assert main([str(tmp_path / "s.yaml")]) == 1
    said = capsys.readouterr().out
    assert "line 2: video 'b.mp4'" in said and "line 3: video 'c.mp4'" in said and "line 1" not in said
    assert "1 haystack files, 3 needles, 2 problems" in said


def test_built_in_footage_is_looked_for_in_the_cache(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path))
    case = make_case("n1")
    folder = write_run(tmp_path / "run", [case], [make_record(case)])
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of "abc", as FIPS 180 prints it
    row = {"name": "haystack-0", "identity": "footage-1:w/haystack-0", "sha256": digest, "frames": 7, "seconds": 7.0}
    write_text(folder / "sources.jsonl", json.dumps(row))
    assert main([str(folder)]) == 1
    assert "fix: built-in footage is drawn by any run of its suite" in capsys.readouterr().out
    place = tmp_path / "footage-1" / "w" / "1-fps"
    place.mkdir(parents=True)
    (place / "haystack-0-7.mp4").write_bytes(b"abc")
    assert main([str(folder)]) == 0
    (place / "haystack-0-7.mp4").write_bytes(b"abd")
    assert main([str(folder)]) == 1
    assert "built-in footage drawn by another encoder has other bytes" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["nosuch"], ["."], [".", "--media", "nosuch"]])
def test_what_cannot_be_checked_is_a_mistake_in_the_command(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2

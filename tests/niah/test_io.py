"""Characters at which Python ends a line and JSON does not: they may stand in any string of any JSON-lines file."""

import dataclasses
import json
from hashlib import sha256
from pathlib import Path

import pytest

from niah.analysis.load import read_run
from niah.io import numbered_lines, parse_json_lines, read_json_lines, to_json_lines
from niah.report.footage import find_videos
from niah.run.records import read_records, rewrite_records
from niah.settings import is_number
from niah.suite.config import Needles
from niah.suite.folder import read_suite, write_suite
from niah.suite.needles import read_needles
from niah.tools.merge import read_shard
from niah.types import Case, UserError
from tests.helpers.commands import verify
from tests.helpers.fake_runs import make_case, make_record, write_run
from tests.helpers.small_suite import make_suite

SUITE = "name: fake\nhaystacks: {folder: .}\nneedles: {file: n.jsonl}\n"
BREAKS = "one\u2028two\u2029three\x85four"


@pytest.mark.parametrize("line", ["[" * 100_000, '{"a": ' * 50_000, "1" * 5000, '{"start": 1e999'])
def test_a_line_that_no_reader_bears_is_named(tmp_path, line):
    (tmp_path / "records.jsonl").write_text(line + "\n")
    with pytest.raises(UserError, match="line 1 cannot be read .*; use --fresh"):
        read_records(tmp_path / "records.jsonl")


def test_a_span_of_four_hundred_digits_is_a_damaged_line(tmp_path):
    row = json.dumps(make_case("n0").to_json()).replace('"start": 0', f'"start": -{10**400}')
    with pytest.raises(UserError, match="line 1 cannot be read"):
        list(parse_json_lines([row.encode()], tmp_path / "cases.jsonl", Case.from_json, "restore the file"))
    long = json.dumps(make_case("n0").to_json()).replace('"stop": ', f'"stop": {10**400}')
    with pytest.raises(UserError, match="line 1 cannot be read"):
        list(parse_json_lines([long.encode()], tmp_path / "cases.jsonl", Case.from_json, "restore the file"))


def test_numbers_that_no_float_holds_are_no_numbers():
    assert not is_number(10**400) and not is_number(float("nan")) and is_number(10**300)


def test_lines_end_at_newlines_alone_and_blank_ones_are_counted():
    assert list(numbered_lines(f"{BREAKS}\n\n \nlast\r\n")) == [(1, BREAKS), (4, "last\r")]


def test_a_row_is_one_line_whatever_it_holds():
    assert [json.loads(line) for _, line in numbered_lines(to_json_lines([{"a": BREAKS}, BREAKS]))] == [
        {"a": BREAKS},
        BREAKS,
    ]


def test_a_line_that_cannot_be_read_is_named_with_its_file(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1}\n\n{"a": 2}\n{"b": 3}\n{"a"')
    rows = read_json_lines(path, lambda row: row["a"], "restore it")
    assert [next(rows), next(rows)] == [(1, 1), (3, 2)]
    with pytest.raises(UserError, match=r"rows\.jsonl, line 4 cannot be read \(KeyError\('a'\)\); restore it"):
        next(rows)
    with pytest.raises(UserError, match=r"line 5 cannot be read \(JSONDecodeError"):
        list(read_json_lines(path, len, "restore it"))
    finished = parse_json_lines(
        path.read_bytes().splitlines(keepends=True), path, len, "restore it", drop_unfinished=True
    )
    assert list(finished) == [(1, 1), (3, 1), (4, 1)]


def test_a_missing_file_of_json_lines_is_named_with_the_remedy(tmp_path):
    with pytest.raises(UserError, match=r"gone\.jsonl is missing; restore it"):
        list(read_json_lines(tmp_path / "gone.jsonl", len, "restore it"))
    with pytest.raises(UserError, match="Is a directory"):
        list(read_json_lines(tmp_path, len, "restore it"))


def test_a_needle_is_read(tmp_path):
    (tmp_path / "a.mp4").touch()
    row = {"video": "a.mp4", "question": BREAKS, "options": ["x", BREAKS], "answer": "A"}
    (tmp_path / "n.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    [found] = read_needles(Needles(file="n.jsonl"), tmp_path)
    assert (found.needle.question, found.needle.options) == (BREAKS, ("x", BREAKS))


@pytest.fixture
def suite(tmp_path):
    """The small suite with a haystack and questions of such names."""
    folder = make_suite(tmp_path / "small")
    made = read_suite(folder)
    made.sources["h1"] = dataclasses.replace(made.sources["h1"], identity=BREAKS)
    write_suite(
        dataclasses.replace(made, cases=tuple(dataclasses.replace(c, question=BREAKS) for c in made.cases)), folder
    )
    return folder


def test_a_suite_is_read_and_verified_and_written_anew(suite, tmp_path):
    assert {case.question for case in read_suite(suite).cases} == {BREAKS}
    assert verify([str(suite), "-o", str(tmp_path / "again")]) == 0
    for name in ("cases.jsonl", "sources.jsonl"):
        assert (tmp_path / "again" / name).read_bytes() == (suite / name).read_bytes()


@pytest.fixture
def run(suite, tmp_path):
    """A run of one case in which everything that can holds them; it says that it is a shard."""
    case = make_case("n1", question=BREAKS)
    folder = write_run(tmp_path / "run", [case], [], suite=SUITE)
    rewrite_records(folder / "records.jsonl", [make_record(case, BREAKS)])
    lines = to_json_lines([case.to_json()])
    (folder / "cases.jsonl").write_text(lines, encoding="utf-8")
    (folder / "sources.jsonl").write_text((suite / "sources.jsonl").read_text(encoding="utf-8"), encoding="utf-8")
    about = json.loads((folder / "run.json").read_text())
    digest = sha256(lines.encode()).hexdigest()
    about["decides"]["cases_sha256"] = digest
    shard = {"i": 1, "count": 1, "cases": 1, "cases_sha256": digest, "places": [0]}
    (folder / "run.json").write_text(json.dumps({**about, "shard": shard}))
    (folder / "config.yaml").write_text("model: fake\n")
    return folder


def test_a_run_is_read(run):
    assert [record.reply for record in read_records(run / "records.jsonl")] == [BREAKS]
    assert [case.question for case in read_run(run).cases] == [BREAKS]


def test_a_shard_is_read(run):
    shard = read_shard(run)
    assert shard.cases[0].question == BREAKS and len(shard.sources) == 5


def test_a_report_finds_the_sources(run):
    videos, _ = find_videos([read_run(run)], None)
    assert BREAKS in {video.identity for video in videos.values()}


def test_no_file_of_the_harness_reads_json_off_lines_that_end_elsewhere():
    folder = Path(__file__).resolve().parents[2]
    for path in (file for part in ("niah", "baselines", "vilamp") for file in (folder / part).rglob("*.py")):
        lines = path.read_text(encoding="utf-8").split("\n")
        assert not [line for line in lines if "json.loads" in line and "splitlines" in line], path

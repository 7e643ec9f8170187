"""What a run prints at its end, and how a model that always fails ends it."""

import re
import shlex

import pytest

from niah.run.records import read_records
from niah.run.repeated_errors import RepeatedError, RepeatedErrors, cause, commonest
from tests.helpers import commands
from tests.helpers.fake_runs import make_case, make_record
from tests.helpers.small_suite import make_suite

MODEL = """
from niah.types import Reply

class Model:
    def answer(self, video, question):
        if {fails}:
            raise KeyError("layers.%d.weight" % len(video))
        return Reply("A")

def load():
    return Model()
"""


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Return a function that asks a model of one's own, and returns the exit code and what was said."""
    monkeypatch.chdir(tmp_path)
    suite = make_suite(tmp_path / "videos")

    def begin(fails, *flags, out="runs/mine"):
        (tmp_path / "mine.py").write_text(MODEL.format(fails=fails))
        words = ["--model", "mine:load", "--suite", str(suite), "-o", out, "--no_figures", *flags]
        return commands.run(words), capsys.readouterr().err

    return begin


def test_the_end_is_a_table_with_headings_the_files_and_the_next_commands(run):
    code, said = run("False")
    assert code == 0
    lines = said[said.index("\nmine:load on suite small") :].splitlines()[1:]
    assert lines[1].split() == ["condition", "accuracy", "95", "%", "interval", "right", "cases"]
    assert lines[2] == "full             33.3%  [0.0%, 100.0%]        4     12"  # A is right for one needle of three
    assert [line.split()[0] for line in lines[2:7]] == ["full", "needle_only", "no_needle", "swapped", "blind"]
    assert "records: 24 ok" in lines
    assert "files in runs/mine: records.jsonl, table.csv, run.json" in lines
    assert lines[-5] == "next:" and lines[-4].startswith("  niah table runs/mine  ")


def test_a_perfect_first_run_ends_without_a_warning(run):
    _, said = run("False")
    assert "WARNING" not in said
    assert "note: mine:load, needle_only: 3 needles are too few to tell whether clips are read" in said


def test_the_next_commands_can_be_pasted(run, capsys):
    _, said = run("False", "--conditions", "full,blind", "--limit", "9")
    told = [shlex.split(line, comments=True) for line in said.partition("next:\n")[2].splitlines()]
    assert [words[:2] for words in told] == [["niah", name] for name in ("table", "report", "run", "compare")]
    for words in told:
        if words[1] != "report":  # an extra
            assert getattr(commands, words[1])(words[2:]) == 0, words
    assert "mine:load" in capsys.readouterr().out


def test_a_run_of_the_same_cases_is_named_for_comparing(run, tmp_path):
    run("False", out="runs/other")
    run("False", "--limit", "3", out="runs/part")
    run("False", out="runs/another")
    records = tmp_path / "runs" / "another" / "records.jsonl"
    records.write_text(records.read_text().replace('"generated"', '"likelihood"'))  # no verdict would follow
    _, said = run("False")
    assert "niah compare runs/mine runs/other " in said
    assert "niah run " not in said.partition("next:")[2]


def test_a_model_that_always_fails_stops_the_run(run, tmp_path):
    code, said = run("True", "--stop_after_errors", "5")
    assert code == 3
    assert len(read_records(tmp_path / "runs" / "mine" / "records.jsonl")) == 5
    lines = said.splitlines()
    assert re.sub(r"layers\.\d+", "layers.N", lines[-2]) == (
        "stopped: the same error came 5 times in a row: KeyError: 'layers.N.weight'. Fix the cause and give the same "
        "command, which goes on from here, or go on whatever happens with --stop_after_errors 0"
    )
    assert lines[-1] == (
        "5 cases failed, 5 of them with: KeyError: 'layers.20.weight'; what the model printed: runs/mine/worker.log"
    )
    assert "5 error; 19 cases not asked yet" in said


def test_the_default_is_twenty(run, tmp_path):
    run("True")
    assert len(read_records(tmp_path / "runs" / "mine" / "records.jsonl")) == 20


def test_the_fixed_model_goes_on_with_the_same_command(run):
    run("True", "--stop_after_errors", "3")
    code, said = run("False", "--stop_after_errors", "3")
    assert code == 0 and "records: 24 ok" in said


def test_without_a_limit_every_case_is_asked(run):
    code, said = run("True", "--stop_after_errors", "0")
    assert code == 3 and "records: 24 error" in said
    assert said.splitlines()[-1].startswith("24 cases failed, 24 of them with: KeyError")


def test_several_workers_stop_too(run, tmp_path):
    code, said = run("True", "--stop_after_errors", "6", "--num_workers", "2")
    assert code == 3 and "stopped: the same error came 6 times in a row" in said
    assert 6 <= len(read_records(tmp_path / "runs" / "mine" / "records.jsonl")) <= 8


def test_an_error_is_printed_whole_once(run):
    _, said = run("True", "--stop_after_errors", "4")
    assert len(re.findall(r"mine.py:\d+ in answer", said)) == 1
    assert said.count("(as before)") == 3


def failed(name, detail, status="error"):
    return make_record(make_case(name, "full"), status=status, detail=detail)


def test_errors_that_differ_in_numbers_are_the_same():
    same = RepeatedErrors(2)
    same.add(failed("a", "IndexError: 12 of 0x7f3a\n  mine.py:3 in answer"))
    with pytest.raises(RepeatedError, match="came 2 times in a row: IndexError: 7 of 0x11"):
        same.add(failed("b", "IndexError: 7 of 0x11\n  mine.py:9 in look"))


@pytest.mark.parametrize("between", [("b", "other", "error"), ("b", "", "ok"), ("b", "x", "timeout")])
def test_anything_else_in_between_starts_the_count_again(between):
    same = RepeatedErrors(2)
    same.add(failed("a", "x"))
    same.add(failed(*between))
    same.add(failed("c", "x"))


def test_the_commonest_error_is_counted():
    records = [failed("a", "x 1"), failed("b", "y"), failed("c", "x 2"), failed("d", "", "ok"), failed("e", "z", "oom")]
    assert commonest(records) == ("x 1", 2, 3)
    assert commonest(records[3:]) is None
    assert cause(records[0]) == cause(records[2]) != cause(records[1])


def test_where_nothing_was_answered_nothing_is_compared_or_checked(run):
    _, said = run("True", "--stop_after_errors", "3")
    assert "no case was answered" in said
    assert "next:" not in said and "WARNING" not in said


def test_a_negative_limit_is_refused(run):
    code, said = run("True", "--stop_after_errors", "-1")
    assert code == 2 and "--stop_after_errors is a count, or 0 for no limit, got -1" in said

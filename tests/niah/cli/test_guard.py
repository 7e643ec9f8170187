"""How every command ends: in words and an exit code, whatever ended it."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from niah.cli.guard import guarded
from niah.io import CannotWrite, cache_folder
from niah.types import UserError
from tests.helpers.commands import bench_media, cache, compare, figures, generate, publish, report, table, verify
from tests.helpers.fake_runs import make_case, make_record, write_run

ENDS = [
    (UserError("fix it"), 2, "error: fix it\n"),
    (CannotWrite("full"), 3, "error: full\n"),
    (FileNotFoundError(errno.ENOENT, "No such file or directory", "gone.txt"), 2, "gone.txt: No such file"),
    (OSError(errno.EIO, "Input/output error", "x.mp4"), 2, "x.mp4: Input/output error; the disk or its server fails"),
    (OSError(errno.ENOSPC, "No space left on device"), 3, "here: No space left on device; free some space"),
    (KeyboardInterrupt(), 130, "stopped\n"),
]


@pytest.mark.parametrize("ended, code, words", ENDS)
def test_a_command_ends_with_a_code_and_words(ended, code, words, capsys):
    def command():
        raise ended

    assert guarded(command, stopped="stopped", place="here") == code
    assert words in capsys.readouterr().err


def test_the_end_of_a_command_needs_no_decoder():
    code = "import sys; import niah.cli.guard; sys.exit('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env={**os.environ}, check=False).returncode == 0


@pytest.mark.parametrize("name", ["cache", "doctor"])
def test_a_command_whose_reader_has_gone_ends_without_a_traceback(name, tmp_path):
    words = {"cache": ["list"], "doctor": ["cache"]}[name]
    reading, writing = os.pipe()
    os.close(reading)
    around = {**os.environ, "VIDEONIAH_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "niah", name, *words], stdout=writing, stderr=subprocess.PIPE, env=around, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(
    "command",
    [
        lambda: guarded(lambda: len(str(cache_folder()))),
        lambda: generate(["smoke", "-o", "nowhere"]),
        lambda: cache(["list"]),
    ],
)
def test_a_user_without_a_home_is_told_where_to_put_the_cache(command, monkeypatch, capsys):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("VIDEONIAH_CACHE", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert command() == 2
    assert "export VIDEONIAH_CACHE=FOLDER" in capsys.readouterr().err


DAMAGE = [
    (b"[1]", "it holds no keys and values"),
    (b"\xff", "holds no readable run.json"),
    (b'{"decides": []}', "decides is []"),
    (b'{"suite": 7}', "suite is 7"),
    (b'{"runs": [3]}', "an entry of runs is 3"),
    (b'{"decides": {"model_args": ["x"]}}', "model_args is ['x']"),
    (b'{"decides": {"cases_sha256": 3}}', "cases_sha256 is 3"),
    (b'{"decides": {"sampling": "64x64"}}', "sampling is '64x64'"),
]


@pytest.mark.parametrize("command", [table, compare, verify, report, figures])
@pytest.mark.parametrize("text, words", DAMAGE)
def test_a_run_json_that_no_run_writes_is_refused_in_words(tmp_path, capsys, command, text, words):
    case = make_case("n0")
    folder = write_run(tmp_path / "run", [case], [make_record(case)])
    (folder / "sources.jsonl").write_text("")
    (folder / "run.json").write_bytes(text)
    assert command([str(folder)]) == 2
    assert words in capsys.readouterr().err


def test_cases_that_are_no_keys_and_values_are_refused_with_their_line(tmp_path, capsys):
    folder = write_run(tmp_path / "run", [make_case("n0")], [])
    (folder / "cases.jsonl").write_text("[1]\n")
    assert table([str(folder)]) == 2
    assert "cases.jsonl, line 1 cannot be read" in capsys.readouterr().err


def test_a_run_that_does_not_say_when_it_ended_is_not_published(tmp_path, capsys):
    case = make_case("n0")
    folder = write_run(tmp_path / "run", [case], [make_record(case)])
    about = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**about, "runs": [{"ended": "later"}]}))
    assert publish(["run", str(folder), "-o", str(tmp_path / "out")]) == 2
    assert "does not say when the run ended" in capsys.readouterr().err


def test_a_folder_without_videos_cannot_be_timed(tmp_path, capsys):
    assert bench_media([str(tmp_path)]) == 2
    assert "holds no video that can be read" in capsys.readouterr().err

"""What ends a run early: kills at a record's end and within a line, Ctrl-C, a second run, a full disk.

The runner is really killed; the resumed records equal an undisturbed run's.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from niah.run import execute
from niah.run.case_runner import CaseRunner
from tests.helpers.commands import run as main
from tests.helpers.small_suite import make_suite

ROOT = Path(__file__).resolve().parents[3]
CASES = 8
# Runs the command that follows so that Ctrl-C reaches it: a job in a shell's background begins with it ignored.
WITH_CTRL_C = (
    "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "runpy.run_module('niah.run', run_name='__main__', alter_sys=True)"
)


@pytest.fixture(scope="module")
def flags(tmp_path_factory):
    """Return the command line but for the output folder."""
    folder = tmp_path_factory.mktemp("kills")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDEONIAH_CACHE", str(folder / "cache"))
        suite = make_suite(folder)
        yield [
            "--suite",
            str(suite),
            "--model",
            "tests.helpers.fake_adapters:stopping",
            "--limit",
            str(CASES),
            "--no_figures",
        ]


@pytest.fixture(scope="module")
def undisturbed(flags, tmp_path_factory):
    """Return the records of a run nobody killed, less what may differ."""
    out = tmp_path_factory.mktemp("undisturbed")
    assert main([*flags, "--output_path", str(out)]) == 0
    return without_measured(out)


def without_measured(out):
    rows = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "measured"} for row in rows]


def start(flags, out, count):
    """Start a run whose adapter stands still once there are `count` records, and wait for these."""
    command = [sys.executable, "-c", WITH_CTRL_C, *flags, "--output_path", str(out)]
    stop = {"STOPPING_RECORDS": str(out / "records.jsonl"), "STOPPING_AT": str(count)}
    runner = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **stop}, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    path = out / "records.jsonl"
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert runner.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    return runner


slow = pytest.mark.slow


@pytest.mark.parametrize("count", [pytest.param(1, marks=slow), 4, pytest.param(CASES - 1, marks=slow)])
def test_run_killed_after_a_record_resumes_to_the_same_records(flags, undisturbed, tmp_path, count):
    runner = start(flags, tmp_path, count)
    workers = psutil.Process(runner.pid).children(recursive=True)
    runner.kill()
    runner.communicate()
    assert (tmp_path / "records.jsonl").read_bytes().count(b"\n") == count
    assert main([*flags, "--output_path", str(tmp_path), "--in_process"]) == 0
    assert without_measured(tmp_path) == undisturbed
    assert psutil.wait_procs(workers, timeout=15)[1] == []  # the killed runner's worker has ended by itself


@pytest.mark.parametrize("kept_bytes", [pytest.param(1, marks=slow), 200, pytest.param(-1, marks=slow)])
def test_run_killed_in_the_middle_of_a_line_resumes_to_the_same_records(flags, undisturbed, tmp_path, kept_bytes):
    runner = start([*flags, "--in_process"], tmp_path, 3)
    runner.kill()
    runner.communicate()
    path = tmp_path / "records.jsonl"
    *whole, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*whole, last[:kept_bytes]]))  # as a kill within the write leaves it
    assert main([*flags, "--output_path", str(tmp_path), "--in_process"]) == 0
    assert without_measured(tmp_path) == undisturbed


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=slow)])
def test_interrupted_run_sums_up_and_resumes(flags, undisturbed, tmp_path, number):
    runner = start(flags, tmp_path, 3)
    os.kill(runner.pid, number)
    _, said = runner.communicate(timeout=60)
    assert runner.returncode == 130
    assert "the same command goes on from here" in said and "cases not asked yet" in said
    assert main([*flags, "--output_path", str(tmp_path), "--in_process"]) == 0
    assert without_measured(tmp_path) == undisturbed


def test_after_ctrl_c_no_record_is_read_again(flags, tmp_path, monkeypatch, capsys):
    ask, asked = CaseRunner.ask, []

    def interrupted(case_runner, case, cold):
        if len(asked) == 3:
            raise KeyboardInterrupt
        asked.append(case)
        return ask(case_runner, case, cold)

    monkeypatch.setattr(CaseRunner, "ask", interrupted)
    monkeypatch.setattr(execute, "read_records", lambda path: pytest.fail("read again"))
    assert main([*flags, "--output_path", str(tmp_path), "--in_process"]) == 130
    assert "records: 3 ok; 5 cases not asked yet" in capsys.readouterr().err
    assert len(without_measured(tmp_path)) == 3


def test_second_run_is_refused_while_the_first_writes(flags, tmp_path):
    runner = start(flags, tmp_path, 1)
    assert main([*flags, "--output_path", str(tmp_path)]) == 2
    runner.kill()
    runner.communicate()


# Runs the command that follows with files of at most 20,000 bytes, as a disk that fills up would have it.
ON_A_SMALL_DISK = (
    "import resource, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)); "
    "runpy.run_module('niah.run', run_name='__main__', alter_sys=True)"
)


def test_full_disk_leaves_whole_records_and_exit_code_3(flags, tmp_path):
    # 20,000 bytes hold every other file and the first records, but not 18 records of more than 1,500 bytes.
    long = ["--model", "tests.helpers.fake_adapters:settings", "--model_args", "text=" + 1000 * "x", "--limit", "18"]
    out = ["--in_process", "--output_path", str(tmp_path)]
    command = [sys.executable, "-c", ON_A_SMALL_DISK, *flags, *long, *out]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 3
    assert "records.jsonl cannot be written (File too large)" in done.stderr and "Traceback" not in done.stderr
    written = (tmp_path / "records.jsonl").read_bytes()
    assert written.endswith(b"\n")
    assert 5 < written.count(b"\n") < 18
    assert main([*flags, *long, *out]) == 0
    whole = (tmp_path / "records.jsonl").read_bytes()
    assert whole.startswith(written) and whole.count(b"\n") == 18

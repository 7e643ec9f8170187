import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from niah.run.case_runner import CaseRunner
from niah.run.config import Limits
from niah.run.messages import WorkerConfig, WorkerResult, case_request
from niah.run.process import InProcessWorker, ProcessWorker
from niah.run.records import check_record
from niah.suite.folder import read_suite
from niah.types import OptionLikelihood, Reply, UserError
from tests.helpers import fake_adapters
from tests.helpers.small_suite import make_suite

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    folder = tmp_path_factory.mktemp("worker")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDEONIAH_CACHE", str(folder / "cache"))
        yield read_suite(make_suite(folder))


@pytest.fixture
def start(suite, tmp_path):
    """Return a function that starts a worker with one fake adapter; all are closed at the end."""
    started = []

    def begin(name, seconds=30.0, host_bytes=None, python=None, **settings):
        config = config_of(suite, name, **settings)
        started.append(ProcessWorker(config, python, Limits(seconds, host_bytes), tmp_path / "worker.log"))
        return started[-1]

    yield begin
    for worker in started:
        worker.close()


def config_of(suite, name, **settings):
    target = f"tests.helpers.fake_adapters:{name}"
    return WorkerConfig(target, settings, suite.sources, suite.suite.sampling, "pyav", "renders")


def case_of(suite, length, condition="full"):
    return next(case for case in suite.cases if case.length == length and case.condition == condition)


def test_right_answer_comes_back_with_what_it_cost(start, suite):
    result = start("right").ask(case_of(suite, 40))
    assert (result.status, result.reply.text, result.reply.seconds) == ("ok", "A", {"look": 0.5})
    assert result.measured["handed_out"] == 40
    assert result.measured["decode_seconds"] > 0
    assert 2**24 < result.measured["peak_host_bytes"] < 2**31  # an interpreter with numpy takes 16 MiB and more


def test_noise_on_stdout_breaks_nothing(start, suite, tmp_path):
    worker = start("chatty")
    texts = [worker.ask(case_of(suite, length)).reply.text for length in (20, 40)]
    worker.close()
    assert texts == ["A", "A"]
    log = (tmp_path / "worker.log").read_text()
    assert "progress: 50%" in log and "nonsense without an end" in log


def test_log_of_a_worker_is_bounded(start, suite, tmp_path, monkeypatch):
    monkeypatch.setattr("niah.run.worker_log.MAX_LOG_BYTES", 100)
    worker = start("chatty")
    for _ in range(9):  # each writes 14 bytes and then 45 more
        worker.ask(case_of(suite, 20))
    worker.close()
    assert [path.name for path in sorted(tmp_path.glob("worker.log*"))] == ["worker.log", "worker.log.1"]
    sizes = [path.stat().st_size for path in tmp_path.glob("worker.log*")]
    assert sum(sizes) < 9 * (14 + 45)
    assert (tmp_path / "worker.log").read_text().endswith("nonsense without an end")


def test_adapter_learns_neither_answer_nor_name(start, suite):
    case = case_of(suite, 20)
    request = case_request(case)
    assert set(request) == {"timeline", "fps", "canvas", "question"}
    assert set(request["question"]) == {"text", "options", "template", "prompt"}
    words = start("peeping").ask(case).reply.text.split()
    assert set(words) & {"answer", "case", "id", "needles"} == set()


DEATHS = [
    ("killed", {}, "the worker died of SIGSEGV"),
    ("killed", {"by": 40}, "the worker died of signal 40"),  # a real-time signal, which has no name
    ("killed", {"by": "SIGKILL"}, "the worker died of SIGKILL"),
    ("left", {"code": 7}, "the worker ended with exit code 7"),
    ("left", {"code": 0}, "the worker ended with exit code 0"),
    ("breaking_in", {}, "the worker wrote something that is no reply to the runner's descriptor"),
]


@pytest.mark.parametrize("name, settings, detail", DEATHS)
def test_death_of_a_worker_is_told(start, suite, name, settings, detail):
    worker = start(name, **settings)
    assert worker.ask(case_of(suite, 20)).status == "ok"
    result = worker.ask(case_of(suite, 40))
    assert (result.status, result.detail, result.crashed, result.worker_gone) == ("error", detail, True, True)


def test_sigkill_is_out_of_memory_where_the_kernel_says_so(start, suite, monkeypatch):
    worker = start("killed", by="SIGKILL")
    worker._oom_kills -= 1  # as if the kernel's counter had risen since the worker started
    result = worker.ask(case_of(suite, 40))
    assert (result.status, result.crashed) == ("oom", False)


def test_hang_ends_at_the_limit_with_every_child(start, suite, tmp_path):
    note = tmp_path / "child"
    worker = start("hanging_with_child", seconds=1.0, note=str(note))
    result = worker.ask(case_of(suite, 40))
    assert (result.status, result.detail) == ("timeout", "no answer within 1 seconds")
    assert gone(int(note.read_text()))


@pytest.mark.parametrize("dies", [False, True])
def test_a_server_that_left_its_worker_s_session_ends_with_it(start, suite, tmp_path, dies):
    note = tmp_path / "server"
    worker = start("leaving_a_server", note=str(note), dies=dies)
    assert worker.ask(case_of(suite, 40)).status == ("error" if dies else "ok")
    if not dies:
        assert psutil.pid_exists(int(note.read_text()))
        worker.close()
    assert gone(int(note.read_text()))


@pytest.mark.parametrize("worker_too", [False, True])
def test_a_server_ends_where_the_runner_was_killed(tmp_path, monkeypatch, worker_too):
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "cache"))
    note, path = tmp_path / "server", make_suite(tmp_path)
    words = ["--model", "tests.helpers.fake_adapters:leaving_a_server", "--model_args", f"note={note}", "--grace", "1"]
    command = [sys.executable, "-m", "niah.run", "--suite", str(path), *words, "-o", str(tmp_path / "out")]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as runner:
        while not (note.exists() and note.read_text()):
            assert runner.poll() is None
            time.sleep(0.02)
        started = psutil.Process(runner.pid).children(recursive=True)
        if worker_too:  # a child of the runner's: the server is one of the worker's, with the same command line
            (worker,) = [one for one in psutil.Process(runner.pid).children() if "niah.run.worker" in one.cmdline()]
            worker.kill()
        runner.kill()
    assert gone(int(note.read_text()))
    assert all(gone(process.pid) for process in started)


def gone(pid, seconds=10.0):
    """Return True if a process ends within a while; a zombie that init has yet to collect has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


def test_memory_limit_is_out_of_memory(start, suite):
    worker = start("hungry", host_bytes=250 << 20, mib=300)
    assert worker.ask(case_of(suite, 20)).status == "ok"
    result = worker.ask(case_of(suite, 40))
    assert result.status == "oom"
    assert result.detail.startswith("host memory passed the limit of 0.24")


@pytest.mark.parametrize("error, status", [("host", "oom"), ("device", "oom"), ("words", "oom"), ("other", "error")])
def test_raised_error_is_recorded_and_the_worker_goes_on(start, suite, error, status):
    worker = start("raising", error=error)
    result = worker.ask(case_of(suite, 40))
    assert (result.status, result.reply, result.worker_gone) == (status, None, False)
    assert worker.ask(case_of(suite, 20)).status == "ok"


def test_error_is_told_with_its_place_and_without_folders(start, suite):
    detail = start("raising").ask(case_of(suite, 40)).detail
    assert detail.startswith("KeyError: 'layers.0.weight'\n")
    assert "fake_adapters.py:" in detail and "in fail" in detail
    assert str(ROOT) not in detail


BROKEN_CONTRACTS = [
    ("text", "TypeError: answer(video, question) must return a niah.types.Reply, got str"),
    ("outside", "ValueError: frames_used must lie within the video's 40 frames, got [40]"),
    ("unused", "ValueError: frames_kept must be among frames_used, got [2] besides"),
    ("scores", "ValueError: option_scores must be 4 finite numbers, got (1.0, 2.0)"),
    ("size", "ValueError: frame_size must be (height, width) in pixels, got (384,)"),
    ("likelihoods", "ValueError: option_likelihoods must be those of 4 options, got 1"),
    ("infinite", "ValueError: Out of range float values are not JSON compliant"),
    ("nan", "ValueError: Out of range float values are not JSON compliant"),
    ("mode", "ValueError: mode must be 'generated' or 'likelihood', got 'guessed'"),
    ("endless", "ValueError: a reply's text has at most 1,000,000 characters, got 1,000,001"),
    ("negative", "ValueError: usage counts from 0 up, got prompt_tokens=-1"),
    ("backwards", "ValueError: language_tokens counts from 0 up"),
    ("nested", "ValueError: settings of a reply holds at most 100,000 characters, nested at most 8 deep"),
    ("huge", "ValueError: settings of a reply holds at most 100,000 characters, nested at most 8 deep"),
]


@pytest.mark.parametrize("what, words", BROKEN_CONTRACTS)
def test_reply_that_breaks_the_contract_is_an_error(suite, what, words):
    result = InProcessWorker(config_of(suite, "replying", what=what)).ask(case_of(suite, 40))
    assert result.status == "error"
    assert result.detail.startswith(words)


@pytest.mark.parametrize(
    "reply, words",
    [
        ({"text": "B", "usage": {"prompt_tokens": -1}}, "usage counts from 0 up"),
        ({"text": "B", "settings": {"a": [[[[[[[[[[1]]]]]]]]]]}}, "nested at most 8 deep"),
        ({"text": "B", "settings": {"a": "x" * 200_000}}, "at most 100,000 characters"),
        ({"text": "B", "language_tokens": 10**400}, "language_tokens counts from 0"),
    ],
)
def test_a_worker_that_bypasses_its_own_checks_costs_its_case_and_nothing_else(start, suite, reply, words):
    worker = start("bypassing", reply=reply)
    result = worker.ask(case_of(suite, 40))
    assert result.status == "error" and words in result.detail
    assert worker.ask(case_of(suite, 40)).status == "error"  # it is asked on


def test_a_record_that_could_not_be_read_again_is_written_as_an_error(suite):
    class Lying:
        metadata = {"decoder": "none"}

        def ask(self, case):
            return WorkerResult("ok", reply=Reply("B", frame_size=(0, 3)))

        def close(self):
            pass

    case = case_of(suite, 40)
    hashes = {span.source: "0" * 64 for span in case.timeline}
    record = CaseRunner(Lying, "fake", hashes).ask(case, cold=False)
    assert record.status == "error" and "frame_size" in record.detail
    assert check_record(record) == record


def test_what_a_reply_says_of_frames_and_options_reaches_the_runner_as_it_was(start, suite):
    reply = start("reporting").ask(case_of(suite, 40)).reply
    assert (reply.frame_size, reply.frame_times, reply.finish_reason) == ((336, 448), True, "length")
    assert reply.option_likelihoods == tuple(OptionLikelihood(-1.5, 2, 3, -2.5) for _ in range(4))


def test_a_worker_that_lost_its_device_reports_it_and_ends(start, suite):
    worker = start("losing_its_device")
    assert worker.ask(case_of(suite, 20)).status == "ok"
    result = worker.ask(case_of(suite, 40))
    assert (result.status, result.crashed, result.worker_gone) == ("error", True, True)
    assert "an illegal memory access was encountered" in result.detail
    assert not psutil.pid_exists(worker._child.pid)
    assert not psutil.pid_exists(worker._child.pid)


def test_a_fresh_worker_goes_on_after_a_device_is_lost(suite, tmp_path):
    """Without it every later case of the run would fail: the fault stays with the process."""
    config = config_of(suite, "losing_its_device")
    hashes = {name: source.sha256 for name, source in suite.sources.items()}
    runner = CaseRunner(lambda: ProcessWorker(config, None, Limits(30.0), tmp_path / "log"), "model", hashes)
    try:
        records = [runner.ask(case_of(suite, length), cold=False) for length in (20, 40, 20)]
    finally:
        runner.close()
    assert [(record.status, record.measured["attempts"]) for record in records] == [("ok", 1), ("error", 2), ("ok", 1)]
    assert [record.measured["worker"] for record in records] == [1, 2, 3]


def test_what_an_error_held_in_a_cycle_is_freed_before_the_next_case(suite):
    worker = InProcessWorker(config_of(suite, "failing_in_a_cycle"))
    assert worker.ask(case_of(suite, 20)).status == "oom"
    assert fake_adapters.HELD() is None


def test_missing_video_is_an_error_that_names_the_source(suite, tmp_path):
    moved = {name: str(tmp_path / name) for name in suite.sources}
    lost = {name: replace(source, path=moved[name]) for name, source in suite.sources.items()}
    config = WorkerConfig("tests.helpers.fake_adapters:right", {}, lost, suite.suite.sampling, "pyav", "renders")
    result = InProcessWorker(config).ask(case_of(suite, 20))
    assert result.status == "error"
    assert result.detail.startswith("MediaError: ") and str(tmp_path) not in result.detail


@pytest.mark.parametrize("name", ["broken", "nothing", "no_such"])
def test_model_that_does_not_load_is_the_users_to_fix(start, name):
    with pytest.raises(UserError, match="the model did not load: "):
        start(name)


def test_unknown_interpreter_is_the_users_to_mend(start):
    with pytest.raises(UserError, match="no-such-python does not start"):
        start("right", python="no-such-python")


def test_interpreter_without_the_slice_is_the_users_to_mend(start, tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho no numpy here >&2\nexit 1\n")
    python.chmod(0o755)
    with pytest.raises(UserError, match="did not load: the worker ended with exit code 1"):
        start("right", python=str(python))
    assert (tmp_path / "worker.log").read_text() == "no numpy here\n"


def test_worker_ends_when_its_runner_is_gone(suite):
    worker = subprocess.Popen(
        [sys.executable, "-m", "niah.run.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    )
    assert worker.stdin is not None and worker.stdout is not None
    with worker.stdin as requests, worker.stdout:
        message = {"do": "load", "number": 0, "loading": config_of(suite, "right").to_json()}
        requests.write(json.dumps(message).encode() + b"\n")
        requests.flush()
        assert json.loads(worker.stdout.readline())["status"] == "ready"
        requests.close()
        assert worker.wait(30) == 0


def test_closed_worker_leaves_no_process(start):
    worker = start("right")
    pid = worker._child.pid
    worker.close()
    assert not psutil.pid_exists(pid)


@pytest.mark.skipif("VIDEONIAH_PYTHON39" not in os.environ, reason="VIDEONIAH_PYTHON39 names no Python 3.9 with av")
def test_worker_answers_from_python_39(start, suite):
    worker = start("right", python=os.environ["VIDEONIAH_PYTHON39"])
    assert worker.metadata["python"].startswith("3.9.")
    assert worker.ask(case_of(suite, 40)).reply.text == "A"


def test_a_worker_gets_the_grace_it_was_given_to_end(suite, tmp_path, monkeypatch):
    started, waited = [], []
    begin = subprocess.Popen

    def noted(command, **more):
        started.append(command)
        return begin(command, **more)

    monkeypatch.setattr(subprocess, "Popen", noted)
    worker = ProcessWorker(config_of(suite, "right"), None, Limits(30.0, grace=7.0), tmp_path / "worker.log")
    wait = worker._child.wait
    monkeypatch.setattr(worker._child, "wait", lambda seconds: waited.append(seconds) or wait(seconds))
    worker.close()
    assert started[0][-1] == "3.5"  # half of it, once its runner has gone
    assert waited == [7.0, 7.0]  # to end by itself, and to be gone once killed


def test_a_killed_worker_that_hangs_in_the_kernel_is_not_waited_for_without_end(start, monkeypatch):
    worker = start("right")
    wait = worker._child.wait

    def stuck(seconds):
        raise subprocess.TimeoutExpired("worker", seconds)

    monkeypatch.setattr(worker._child, "wait", stuck)
    worker.close()
    wait(30)
    assert worker._child.returncode is not None  # it was ended, though nobody waited for it

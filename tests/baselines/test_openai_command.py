"""API models from the command line: several questions at once, failures, Ctrl-C, and a key that no file holds."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from tests.helpers import few_real
from tests.helpers.chat_endpoint import completion, failure, serving
from tests.helpers.commands import run as main
from tests.helpers.commands import run_config as parse
from tests.helpers.small_suite import make_suite
from tests.niah.run.test_kills import WITH_CTRL_C

pytest.importorskip("openai")
ROOT = Path(__file__).resolve().parents[2]
KEY = "sk-not-a-key-0123456789"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def ok(number):
    return 200, {}, completion("B")


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    folder = tmp_path_factory.mktemp("openai")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDEONIAH_CACHE", str(folder / "cache"))
        yield make_suite(folder)


def flags(suite, out, url, settings, limit):
    """Return the command line; the conditions have no cold cases: 3 each of 4, 0, 20 and 20 frames."""
    given = f"model=some-model,base_url={url},max_frames=4,{settings}"
    return [
        "--suite", str(suite), "--model", "openai", "--model_args", given, "--output_path", str(out),
        "--conditions", "needle_only,blind,no_needle,swapped", "--limit", str(limit), "--no_figures",
    ]  # fmt: skip


def records_in(out):
    return [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]


def test_run_has_as_many_questions_under_way_as_it_was_told(suite, tmp_path):
    together = threading.Barrier(3)

    def answer(number):
        if number > 1:  # the first tells how many may come at once; of the other six always three must be here together
            together.wait(60)
        return 200, {}, completion("A")

    prices = "usd_per_million_in=1,usd_per_million_out=2"
    with serving(answer) as endpoint:
        assert main(flags(suite, tmp_path, endpoint.url, f"concurrency=3,{prices}", limit=7)) == 0
    records = records_in(tmp_path)
    assert (endpoint.most, len(endpoint.bodies), len(records)) == (3, 7, 7)
    assert {record["measured"]["worker"] for record in records} == {1, 2, 3}
    assert [record["measured"]["usage"]["usd"] for record in records] == [pytest.approx(0.001006)] * 7  # 1000 + 3 x 2
    assert json.loads((tmp_path / "run.json").read_text())["worker"]["concurrency"] == 3


def test_failed_requests_are_records_and_no_file_holds_the_key(suite, tmp_path, capfd):
    words = failure(f"no such model for key {KEY}")
    with serving(lambda number: (404, {}, words) if number == 2 else ok(number)) as endpoint:
        assert main(flags(suite, tmp_path, endpoint.url, "concurrency=1", limit=3)) == 3
    statuses = [record["status"] for record in records_in(tmp_path)]
    assert sorted(statuses) == ["error", "ok", "ok"]
    assert "no such model for key [key]" in (tmp_path / "records.jsonl").read_text()
    assert [path.name for path in tmp_path.rglob("*") if path.is_file() and KEY in path.read_text()] == []
    assert KEY not in "".join(capfd.readouterr())


@pytest.mark.parametrize("setting", [f"api_key={KEY}", f"hf_token={KEY}", "base_url=https://me:word@api.example/v1"])
def test_secret_among_the_settings_is_refused_before_anything_is_written(tmp_path, capsys, setting):
    out = tmp_path / "out"
    assert main(["--model", "openai", "--model_args", f"model=m,{setting}", "--output_path", str(out)]) == 2
    said = capsys.readouterr().err
    assert "environment variable" in said and KEY not in said and "word" not in said
    assert not out.exists()


@pytest.mark.slow
def test_interrupt_leaves_no_worker_and_whole_records(suite, tmp_path):
    stand = threading.Event()

    def answer(number):
        if number > 1:
            stand.wait(60)
        return ok(number)

    with serving(answer) as endpoint:
        command = [sys.executable, "-c", WITH_CTRL_C, *flags(suite, tmp_path, endpoint.url, "concurrency=2", limit=5)]
        runner = subprocess.Popen(command, cwd=ROOT, env={**os.environ}, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        while endpoint.under_way < 2:
            assert runner.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        workers = psutil.Process(runner.pid).children(recursive=True)
        runner.send_signal(signal.SIGINT)
        assert "goes on from here" in runner.communicate(timeout=60)[1]
        stand.set()
    assert runner.returncode == 130
    assert psutil.wait_procs(workers, timeout=15)[1] == []
    assert [record["status"] for record in records_in(tmp_path)] == ["ok"]


@pytest.mark.parametrize("setting", ["key_env=NONE", "max_tokens=5", "image_token=<image>", "base_url=http://a.b/v1@c"])
def test_setting_that_holds_no_secret_is_none(setting):
    assert parse(["--model_args", setting]).model_args.keys() == {setting.partition("=")[0]}


@pytest.mark.slow
@pytest.mark.skipif(not few_real.VIDEOS.is_dir(), reason="../shared/videos is not beside the project")
def test_real_footage_is_shown_and_answered_about(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "cache"))
    with serving(ok) as endpoint:
        given = f"model=some-model,base_url={endpoint.url},max_frames=4"
        command = ["--model", "openai", "--model_args", given, "--suite", str(few_real.write(tmp_path)), "--no_figures"]
        assert main([*command, "--in_process", "--output_path", str(tmp_path / "out")]) == 0
    # Blind cases are asked in all four rotations of their options.
    shown = [endpoint.images(number) for number in range(15)]
    assert sorted(len(images) for images in shown) == [0] * 12 + [4] * 3
    assert {image.shape for images in shown for image in images} == {(64, 64, 3)}
    assert {record["status"] for record in records_in(tmp_path / "out")} == {"ok"}

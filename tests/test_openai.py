"""The adapter for API models, against a server on 127.0.0.1."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from baselines.openai import EndpointError, load
from niah.run.arguments import parse
from niah.run.command import main
from niah.types import Question, UserError
from tests import few_real
from tests.chat_endpoint import AT_ONCE, completion, failure, serving
from tests.small_suite import make_suite
from tests.test_run_kills import WITH_CTRL_C

pytest.importorskip("openai")
ROOT = Path(__file__).resolve().parents[1]
KEY = "sk-not-a-key-0123456789"
QUESTION = Question("Which?", ("one", "two"), "One clip was inserted. {question}")


class Film:
    """A video whose frame number n is grey 2 n."""

    fps = 1.0
    decode_seconds = 0.0

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def frames(self, indices):
        return np.stack([np.full((16, 16, 3), 2 * index, np.uint8) for index in indices])


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def ask(url, count=40, **settings):
    """Put one question to the endpoint through the adapter."""
    adapter = load("some-model", base_url=url, **settings)
    try:
        return adapter.answer(Film(count), QUESTION)
    finally:
        adapter.client.close()


def ok(number):
    return 200, {}, completion("B")


def test_frames_are_sent_at_bin_centres_before_the_question():
    with serving(ok) as endpoint:
        reply = ask(endpoint.url, max_frames=4)
    assert (reply.text, reply.frames_used, reply.frames_kept) == ("B", (5, 15, 25, 35), (5, 15, 25, 35))
    assert [round(image.mean()) for image in endpoint.images()] == [10, 30, 50, 70]
    assert [part["type"] for part in endpoint.bodies[0]["messages"][0]["content"]] == ["image_url"] * 4 + ["text"]
    assert endpoint.text().startswith("One clip was inserted. Which?\nA. one\nB. two\n")


def test_budget_above_the_video_sends_every_frame_once():
    with serving(ok) as endpoint:
        assert ask(endpoint.url, count=3, max_frames=8).frames_used == (0, 1, 2)
    assert len(endpoint.images()) == 3


def test_blind_question_sends_no_image():
    with serving(ok) as endpoint:
        assert ask(endpoint.url, count=0).frames_used == ()
    assert endpoint.images() == []


def test_quality_100_sends_the_very_pixels():
    draw = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    film = Film(1)
    film.frames = lambda indices: draw[None]
    with serving(ok) as endpoint:
        load("m", base_url=endpoint.url, quality=100).answer(film, QUESTION)
    assert np.array_equal(endpoint.images()[0], draw)


def test_settings_that_are_none_are_left_out_of_the_request():
    with serving(ok) as endpoint:
        ask(endpoint.url, max_tokens=None, max_completion_tokens=500, temperature=None, detail="low", seed=7)
    body = endpoint.bodies[0]
    assert set(body) == {"model", "messages", "max_completion_tokens", "seed"}
    assert body["messages"][0]["content"][0]["image_url"]["detail"] == "low"


def test_tokens_and_cost_are_in_the_reply():
    with serving(ok) as endpoint:
        reply = ask(endpoint.url, usd_per_million_in=2.5, usd_per_million_out=10.0)
    assert reply.language_tokens == 1000
    expected = {"requests": 1, "model": "served-1", "prompt_tokens": 1000, "completion_tokens": 3}
    assert {what: said for what, said in reply.usage.items() if what != "usd"} == expected
    assert reply.usage["usd"] == pytest.approx(0.00253)  # 1,000 x 2.5 / 10^6 + 3 x 10 / 10^6


def test_endpoint_that_counts_nothing_leaves_tokens_open():
    with serving(lambda number: (200, {}, completion("B", usage=None))) as endpoint:
        reply = ask(endpoint.url)
    assert (reply.language_tokens, reply.usage) == (None, {"requests": 1, "model": "served-1"})


@pytest.mark.parametrize("status", [429, 500, 503])
def test_failure_of_the_moment_is_tried_again(status):
    with serving(lambda number: ok(number) if number == 3 else (status, AT_ONCE, failure("busy"))) as endpoint:
        reply = ask(endpoint.url)
    assert (reply.text, reply.usage["requests"]) == ("B", 3)


def test_failure_that_stays_is_an_error_after_the_last_retry():
    with (
        serving(lambda number: (429, AT_ONCE, failure("slow down"))) as endpoint,
        pytest.raises(EndpointError, match="some-model: RateLimitError: .*slow down"),
    ):
        ask(endpoint.url, retries=2)
    assert len(endpoint.bodies) == 3


def test_request_that_is_wrong_is_not_tried_again():
    with (
        serving(lambda number: (400, AT_ONCE, failure("context of 8192 tokens exceeded"))) as endpoint,
        pytest.raises(EndpointError, match="BadRequestError: .*context of 8192 tokens exceeded"),
    ):
        ask(endpoint.url)
    assert len(endpoint.bodies) == 1


def test_nobody_listening_is_an_error_that_says_so():
    with serving(ok) as endpoint:
        url = endpoint.url
    with pytest.raises(EndpointError, match="APIConnectionError: .*refused"):
        ask(url, retries=0)


SILENCES = [
    (completion(None, finish="length"), "used up its tokens"),
    (completion("B", choices=[]), "no choices"),
]


@pytest.mark.parametrize("body, words", SILENCES)
def test_answer_without_an_answer_is_an_error(body, words):
    with serving(lambda number: (200, {}, body)) as endpoint, pytest.raises(EndpointError, match=words):
        ask(endpoint.url)


def test_filtered_answer_is_an_empty_reply():
    with serving(lambda number: (200, {}, completion(None, finish="content_filter"))) as endpoint:
        assert ask(endpoint.url).text == ""


def test_key_goes_to_the_endpoint_and_nowhere_else():
    with (
        serving(lambda number: (401, {}, failure(f"Incorrect API key provided: {KEY}"))) as endpoint,
        pytest.raises(EndpointError, match=r"provided: \[key\]") as raised,
    ):
        ask(endpoint.url)
    assert endpoint.keys == [f"Bearer {KEY}"]
    assert KEY not in str(raised.value)
    assert raised.value.__context__ is None  # what a printed traceback would show besides


def test_missing_key_names_the_variable(monkeypatch):
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(UserError, match="environment variable MY_KEY, which is empty.*key_env=none"):
        load("m", key_env="MY_KEY")


def test_server_without_a_key_is_asked_without_one(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with serving(ok) as endpoint:
        ask(endpoint.url, key_env=None)
    assert KEY not in str(endpoint.keys)


MISTAKES = [
    ({"max_frames": 0}, "max_frames is at least 1"),
    ({"concurrency": 0}, "concurrency is at least 1"),
    ({"usd_per_million_in": 1.0}, "cost needs both prices"),
    ({"base_url": "gpu7:8000/v1"}, "base_url is the address before /chat/completions"),
    ({"max_frame": 8}, "no setting is called max_frame; known: model, max_frames"),
]


@pytest.mark.parametrize("settings, words", MISTAKES)
def test_mistake_in_a_setting_is_told(settings, words):
    with pytest.raises(UserError, match=words):
        load("m", **settings)


# ---- from the command line


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
    shown = [endpoint.images(number) for number in range(6)]
    assert sorted(len(images) for images in shown) == [0, 0, 0, 4, 4, 4]
    assert {image.shape for images in shown for image in images} == {(64, 64, 3)}
    assert {record["status"] for record in records_in(tmp_path / "out")} == {"ok"}

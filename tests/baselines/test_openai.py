"""The adapter for API models, against a server on 127.0.0.1."""

import http.server
import threading

import numpy as np
import pytest

from baselines.endpoint import EndpointError, image_limit, mask_key
from baselines.openai import load
from niah.scoring import CUT_SHORT, extract_answer
from niah.types import Question, UserError
from tests.helpers import wild_endpoint
from tests.helpers.chat_endpoint import AT_ONCE, completion, failure, serving
from tests.helpers.grey_film import GreyFilm

pytest.importorskip("openai")
KEY = "sk-not-a-key-0123456789"
QUESTION = Question("Which?", ("one", "two"), "One clip was inserted. {question}")


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def ask(url, count=40, **settings):
    """Put one question to the endpoint through the adapter."""
    adapter = load("some-model", base_url=url, **settings)
    try:
        return adapter.answer(GreyFilm(count), QUESTION)
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


def test_the_size_sent_and_the_endpoints_reason_are_in_the_reply():
    with serving(lambda number: (200, {}, completion("B", "length" if number == 1 else "stop"))) as endpoint:
        first, second, blind = (ask(endpoint.url, count=count, max_frames=4) for count in (40, 40, 0))
    assert [reply.finish_reason for reply in (first, second, blind)] == ["length", "stop", "stop"]
    assert (first.frame_size, first.frame_times) == ((16, 16), False)
    assert (blind.frame_size, blind.frame_times) == (None, None)


def test_each_frame_comes_after_a_line_with_its_time():
    with serving(ok) as endpoint:
        reply = ask(endpoint.url, max_frames=2, frame_times=True)
    content = endpoint.bodies[0]["messages"][0]["content"]
    assert [part.get("text") for part in content[:4]] == ["Frame at 10.0 s:", None, "Frame at 30.0 s:", None]
    assert [part["type"] for part in content[:4]] == ["text", "image_url"] * 2
    assert reply.frame_times is True


def test_a_video_is_sent_as_the_rendered_file_where_that_is_wanted(tmp_path):
    (tmp_path / "film.mp4").write_bytes(b"film")
    film = GreyFilm(40)
    film.path = lambda: str(tmp_path / "film.mp4")
    with serving(ok) as endpoint:
        adapter = load("m", base_url=endpoint.url, video_url=True)
        reply = adapter.answer(film, QUESTION)
        adapter.client.close()
    part = endpoint.bodies[0]["messages"][0]["content"][0]
    assert part == {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,ZmlsbQ=="}}
    assert (reply.frames_used, reply.frame_size, reply.frame_times) == ((), None, None)
    assert reply.settings == {"sent": "video", "sent_frames": 40, "sent_height": 16, "sent_width": 16}


def test_times_of_frames_and_a_file_exclude_each_other():
    with pytest.raises(UserError, match="leave one of them out"):
        load("m", base_url="http://127.0.0.1:1/v1", video_url=True, frame_times=True)


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
    film = GreyFilm(1)
    film.frames = lambda indices: draw[None]
    with serving(ok) as endpoint:
        adapter = load("m", base_url=endpoint.url, quality=100)
        adapter.answer(film, QUESTION)
        adapter.client.close()
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


LIMITS = [  # as endpoints put it, of 32 images sent -> how many they take
    ("At most 16 image(s) may be provided in one request.", 16),
    ("Too many images in request. Max is 10.", 10),
    ("Too much media: 0 document pages + 32 images > 20", 20),
    (
        "The request contains too many images: 32 images were provided, but the model supports a maximum of 10 images.",
        10,
    ),
    ("request contains 32 images, exceeding the maximum of 30 allowed per request", 30),
    ("Image count 32 exceeds limit 4 per request.", 4),
    ("too many images in the message, max allowed is 16", 16),
    ("At most 0 image(s) may be provided in one request.", None),
    ("image too large: at most 20 MB", None),
    ("This model's maximum context length is 12 tokens; your images have 3000", None),
    ("At most 16 tool calls", None),
]


@pytest.mark.parametrize("words, limit", LIMITS)
def test_a_limit_of_images_is_read_from_the_words_that_refuse(words, limit):
    assert image_limit(f"Error code: 400 - {words}", 32) == limit


def test_a_limit_of_images_is_found_once_and_kept_to():
    refusal = failure("At most 3 image(s) may be provided in one request.")
    with serving(lambda number: (400, {}, refusal) if number == 1 else ok(number)) as endpoint:
        adapter = load("some-model", base_url=endpoint.url, max_frames=4)
        replies = [adapter.answer(GreyFilm(count), QUESTION) for count in (30, 30, 2)]
        adapter.client.close()
    assert [len(endpoint.images(number)) for number in range(4)] == [4, 3, 3, 2]
    assert [reply.frames_used for reply in replies] == [(5, 15, 25), (5, 15, 25), (0, 1)]
    assert [reply.settings for reply in replies] == [{"image_limit": 3}, {"image_limit": 3}, {}]


def test_an_endpoint_that_refuses_its_own_limit_is_asked_no_third_time():
    refusal = failure("At most 3 image(s) may be provided")
    with serving(lambda number: (400, {}, refusal)) as endpoint, pytest.raises(EndpointError, match="At most 3"):
        ask(endpoint.url, max_frames=4)
    assert len(endpoint.bodies) == 2


def test_several_replies_are_asked_for_with_seeds_that_count_up():
    letters = "BBA"
    with serving(lambda number: (200, {}, completion(letters[number - 1]))) as endpoint:
        reply = ask(endpoint.url, samples=3, temperature=0.7, seed=5)
    assert [(one.text, one.seed) for one in reply.samples] == [("B", 5), ("B", 6), ("A", 7)]
    assert [body["seed"] for body in endpoint.bodies] == [5, 6, 7]
    assert (reply.text, reply.usage["requests"], reply.usage["completion_tokens"]) == ("B", 3, 9.0)
    assert reply.settings == {"temperature": 0.7}


@pytest.fixture(scope="module")
def wild():
    """A server that misbehaves as the model asked for says."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), wild_endpoint.Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def said(url, mode, **settings):
    adapter = load(mode, base_url=url, retries=0, **settings)
    try:
        return adapter.answer(GreyFilm(2), QUESTION)
    finally:
        adapter.client.close()


@pytest.mark.parametrize("mode", ["good", "parts", "negative"])
def test_an_answer_is_found_in_whatever_holds_it(wild, mode):
    reply = said(wild, mode)
    assert extract_answer(reply.text, ("one", "two")) == "B"
    assert all(isinstance(count, str) or count >= 0 for count in reply.usage.values())


@pytest.mark.parametrize(
    "mode, words",
    [
        ("html", "the address before /chat/completions"),
        ("stream", "the address before /chat/completions"),
        ("nomessage", "holds no message"),
        ("filter", "content filter withheld"),
        ("tokens", "Use 'max_completion_tokens'"),
    ],
)
def test_what_is_no_answer_is_an_error_in_words(wild, mode, words):
    with pytest.raises(EndpointError, match=words):
        said(wild, mode)


def test_a_reply_cut_in_its_thoughts_is_unanswered(wild):
    reply = said(wild, "cut")
    assert reply.finish_reason == CUT_SHORT
    assert extract_answer(reply.text, ("one", "two"), cut_short=True) is None


@pytest.mark.parametrize("settings", [{"reasoning": True}, {"max_completion_tokens": 500}])
def test_a_model_that_reasons_gets_the_one_limit_it_takes(wild, settings):
    assert said(wild, "tokens", **settings).text == "B"


def test_both_limits_are_refused():
    with pytest.raises(UserError, match="max_tokens or max_completion_tokens, not both"):
        load("m", base_url="http://127.0.0.1:9/v1", max_tokens=5, max_completion_tokens=5)


def test_a_redirect_to_another_host_is_not_followed():
    with serving(ok) as other, serving(lambda number: (307, {"Location": f"{other.url}/chat/completions"}, {})) as one:
        with pytest.raises(EndpointError, match="307"):
            ask(one.url, retries=0)
        assert other.bodies == []


@pytest.mark.parametrize(
    "words",
    [
        f"key {KEY}!",
        f"key {KEY[::-1]}!",
        f"key {KEY[:15]}!",
        f"key {KEY[6:]}!",
        "key sk-no******6789!",
        "key sk-not...789!",
    ],
)
def test_no_part_of_a_key_is_left_in_words(words):
    assert mask_key(words, KEY) == "key [key]!"


def test_a_key_that_the_model_repeats_is_masked_in_its_reply_and_name():
    with serving(lambda number: (200, {}, completion(f"B {KEY}", model=KEY))) as endpoint:
        reply = ask(endpoint.url)
    assert (reply.text, reply.usage["model"]) == ("B [key]", "[key]")


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


@pytest.mark.parametrize("text", [None, "", "The answer is A, but"])
def test_an_answer_that_was_filtered_is_an_error_and_no_wrong_answer(text):
    body = completion(text, finish="content_filter")
    with serving(lambda number: (200, {}, body)) as endpoint, pytest.raises(EndpointError, match="content filter"):
        ask(endpoint.url)


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

"""What `openai` sends, read against the source of SGLang's server, which installs on few machines.

pip download --no-deps sglang==0.5.23 -d build/sglang
"""

import pytest

from baselines.openai import load
from niah.types import Question
from tests.helpers import wheels
from tests.helpers.chat_endpoint import completion, serving
from tests.helpers.grey_film import GreyFilm
from tests.helpers.wheels import members

pytest.importorskip("openai")
PROTOCOL = "ChatCompletionMessageContent"
FRAMES = {"frame_times": True, "detail": "low", "seed": 1, "max_completion_tokens": 9}


@pytest.fixture(scope="module")
def wheel():
    return wheels.sources("sglang", "0.5.23")


def test_every_key_of_a_request_is_one_of_sglangs(wheel):
    with serving(lambda number: (200, {}, completion("B"))) as endpoint:
        adapter = load("some-model", base_url=endpoint.url, key_env=None, **FRAMES)
        adapter.answer(GreyFilm(4), Question("Which?", ("one", "two")))
        adapter.client.close()
    (body,) = endpoint.bodies
    assert set(body) <= members(wheel, "ChatCompletionRequest")
    parts = {part["type"]: part for part in body["messages"][0]["content"]}
    assert set(parts) == {"text", "image_url"}
    assert set(parts["text"]) <= members(wheel, f"{PROTOCOL}TextPart")
    assert set(parts["image_url"]) <= members(wheel, f"{PROTOCOL}ImagePart")
    assert set(parts["image_url"]["image_url"]) <= members(wheel, f"{PROTOCOL}ImageURL")
    assert {"type", "video_url"} <= members(wheel, f"{PROTOCOL}VideoPart")
    assert {"prompt_tokens", "completion_tokens"} <= members(wheel, "UsageInfo")


def test_a_limit_of_images_is_worded_as_one_that_is_understood(wheel):
    assert "exceeds limit {limit} per request" in wheel["sglang/srt/managers/tokenizer_manager.py"]

"""Which settings are taken for secrets, by name and by value: they would end in files that are given away."""

import pytest

from niah.run.config import RunConfig, holds_secret
from niah.types import UserError

LONG = "abcdefghijklmnopqrstuvwxyz0123456789"
SECRET = [
    ("openai_key", "x"),
    ("secret_key", "x"),
    ("bearer_token", "x"),
    ("access_tokens", "x"),
    ("Authorization", "x"),
    ("passwd", "x"),
    ("credentials", "x"),
    ("headers", {"X-Mine": "x"}),
    ("base_url", "https://api.example/v1?api_key=x"),
    ("base_url", "https://api.example/v1?alt=json&key=x"),
    ("base_url", "https://storage.example/a?X-Amz-Signature=x"),
    ("base_url", "https://me:word@api.example/v1"),
    ("extra", {"deep": {"api_key": "x"}}),
    ("extra", ["plain", f"sk-{LONG}"]),
    ("name", f"hf_{LONG}"),
    ("name", f"ghp_{LONG}"),
    ("name", f"Bearer {LONG}"),
]
PLAIN = [
    ("key_env", "OPENAI_API_KEY"),
    ("max_tokens", 64),
    ("image_token", "<image>"),
    ("pad_token", "<pad>"),
    ("keyframes", 8),
    ("model", "sk-small"),
    ("pretrained", "me/hf_model"),
    ("base_url", "https://api.example/v1?api-version=2024-06-01"),
    ("prompt", "Which one is it? key: A"),
    ("author", "me"),
]


@pytest.mark.parametrize("name, value", SECRET)
def test_a_setting_that_looks_like_a_secret_is_refused(name, value):
    with pytest.raises(UserError, match=f"the setting {name} would put a secret into run.json"):
        RunConfig(model_args={name: value})


@pytest.mark.parametrize("name, value", PLAIN)
def test_a_setting_that_is_no_secret_is_kept(name, value):
    assert not holds_secret(name, value)

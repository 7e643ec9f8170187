"""Which settings are taken for secrets, by name and by value: they would end in files that are given away."""

from pathlib import Path

import pytest

from niah.run.config import RunConfig
from niah.run.secret_settings import holds_secret
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
    ("key_env", f"gsk_{LONG}"),  # the key in place of its variable's name
    ("key_env", "0123456789abcdef" * 2),
    ("key_env", "Ab1" * 10),
    ("pat", "x"),
    ("github_pat", "x"),
    ("auth", "x"),
    ("cookie", "x"),
    ("session_cookies", "x"),
    ("h", "Authorization:x"),
    ("h", "X-API-Key: x"),
    ("h", "cookie=x"),
    ("prompt", f"use xai-{LONG} for it"),
    ("note", "eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.c2ln"),
    ("pretrained", "https://me:word@hub.example/model"),
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
    ("pattern", "x"),
    ("pretrained", "Ab1" * 10),
    ("folder", str(Path(__file__))),
    ("revision", "0123456789" * 4),
    ("model", "meta-llama/Llama-3.2-11B-Vision-Instruct-GPTQ-Int4"),
    ("model", "gpt-4o-audio-preview-2024-12-17"),
    ("key_env", "MY_COMPANYS_INTERNAL_GATEWAY_KEY_2026"),
]


@pytest.mark.parametrize("name, value", SECRET)
def test_a_setting_that_looks_like_a_secret_is_refused(name, value):
    with pytest.raises(UserError, match=f"the setting {name} would put a secret into run.json"):
        RunConfig(model_args={name: value})


@pytest.mark.parametrize("name, value", PLAIN)
def test_a_setting_that_is_no_secret_is_kept(name, value):
    assert not holds_secret(name, value)

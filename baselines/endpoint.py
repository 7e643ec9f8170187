"""What chat endpoints say: an answer, a refusal, a limit of images, and never the key.

Names and numbers differ between servers that call themselves compatible; what is read here was met at one of them.
"""

from __future__ import annotations

import re
from typing import Any

KEY_PART = 8  # characters of a key that are masked wherever they stand together
# How endpoints say how many images a request may hold: "At most 16 image(s) may be …", "Max is 50", "107 images > 100".
IMAGE_LIMIT = re.compile(
    r"(?:at most|max(?:imum)?(?: allowed)?(?: of| is|:)?|limit(?: of| is|:)?|>) *(\d+)"
    r"(?!\d| *(?:[kmg]i?b|bytes|px|pixel|token))",  # no size, and no tokens
    re.IGNORECASE,
)


class EndpointError(Exception):
    """The endpoint gave no answer. Not a RuntimeError: its words about memory are not about this machine's."""


class TooManyImagesError(EndpointError):
    """The endpoint takes fewer images in a request: `limit`."""

    def __init__(self, words: str, limit: int) -> None:
        super().__init__(words)
        self.limit = limit


def mask_key(words: str, key: str) -> str:
    """Return words without a key, whole, reversed or cut, and without one whose middle the endpoint has starred."""
    for text in (key, key[::-1]):
        words = words.replace(text, "[key]")
        parts = {text[start : start + KEY_PART] for start in range(len(text) - KEY_PART + 1)}
        hidden = [start for start in range(len(words)) if words[start : start + KEY_PART] in parts]
        inside = {place for start in hidden for place in range(start, start + KEY_PART)}
        words = "".join("\0" if place in inside else one for place, one in enumerate(words))
        words = re.sub("\0+", "[key]", words)
    if len(key) >= KEY_PART:
        words = re.sub(re.escape(key[:3]) + r"[\w-]{0,12}[*\u2022.\u2026]{3,}[\w-]{0,12}", "[key]", words)
    return words


def image_limit(words: str, sent: int) -> int | None:
    """Return how many images an endpoint says it takes, where it refuses `sent` of them; None for other words."""
    if "image" not in words.lower():
        return None
    named = [int(number) for number in IMAGE_LIMIT.findall(words)]
    return next((number for number in named if 1 <= number < sent), None)


def is_json(raw: Any) -> bool:
    """Return True for an answer in JSON: a page or a stream of events with status 200 is of another server."""
    return "json" in raw.headers.get("content-type", "json")


def count_of(count: Any) -> int | None:
    """Return a number of tokens, None for what is none: some servers count -1."""
    return count if isinstance(count, int) and count >= 0 else None


def text_of(said: Any) -> str:
    """Return the text of a completion; a refusal is a text too, and names no option.

    Of a content in parts the texts count, not the thoughts. Raises EndpointError where there is no answer.
    """
    choice = said.choices[0]
    if choice.finish_reason == "content_filter":
        raise EndpointError("the endpoint's content filter withheld the answer")
    if choice.message is None:
        raise EndpointError("the endpoint's choice holds no message")
    content = choice.message.content
    if isinstance(content, list):
        content = "\n".join(str(part.get("text") or "") for part in content if part.get("type") == "text")
    text = content or choice.message.refusal or ""
    if not text and choice.finish_reason == "length":
        raise EndpointError("it used up its tokens before it answered: raise max_tokens or max_completion_tokens")
    return text

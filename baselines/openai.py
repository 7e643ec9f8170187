"""Ask any OpenAI-compatible chat endpoint that sees images: GPT-4o, Gemini, a vLLM of your own.

pip install -e ".[api]"; export OPENAI_API_KEY=...
niah run --model openai --model_args model=gpt-4o,max_frames=32,concurrency=4
niah run --model openai --model_args model=NAME,base_url=http://127.0.0.1:8000/v1,key_env=none

The key comes from the environment and is in no setting, so that run.json and config.yaml, which keep
every setting, hold none; words of the endpoint that repeat it, whole, cut or reversed, are masked. A model that
reasons wants reasoning=true: its thoughts count as tokens of the answer, and it takes no temperature.
Prices change, so cost is recorded only where you name them: usd_per_million_in and usd_per_million_out.
"""

from __future__ import annotations

import base64
import io
import os
import time
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from baselines.endpoint import EndpointError, TooManyImagesError, count_of, image_limit, is_json, mask_key, text_of
from niah.adapters.sampling import bin_centres
from niah.adapters.shown import time_line
from niah.extras import install
from niah.prompt import format_prompt
from niah.types import DrawnReply, Question, Reply, UserError, Video

REASONING_TOKENS = 4096  # of an answer with its thoughts, where nothing else is said
CHUNK = 16  # frames decoded at a time; their JPEGs stay until the request is sent
PNG_QUALITY = 100  # `quality` at which nothing is lost


@dataclass(frozen=True)
class Asking:
    """What every request says besides the question; a value of None is left out of the request."""

    model: str
    max_frames: int = 32
    frame_times: bool = False  # each frame after a line of text with its time
    video_url: bool = False  # the rendered file in place of frames, for servers that take one; they choose the frames
    detail: str | None = None  # of images: low, high, auto
    quality: int = 90  # of JPEG; 100 sends PNG
    max_tokens: int | None = 64
    max_completion_tokens: int | None = None  # what models that reason want; setting one drops the other
    temperature: float | None = 0.0
    seed: int | None = None
    samples: int = 1  # replies that are asked for, in a request each; the seed, where there is one, counts up
    usd_per_million_in: float | None = None
    usd_per_million_out: float | None = None

    def __post_init__(self) -> None:
        if self.max_frames < 1 or not 1 <= self.quality <= PNG_QUALITY:
            raise UserError(
                f"max_frames is at least 1 and quality 1 to 100, got {self.max_frames} and {self.quality}; "
                "fix --model_args"
            )
        if self.samples < 1 or (self.samples > 1 and self.temperature == 0):
            raise UserError(f"samples={self.samples} needs a temperature above 0: without one, replies hardly differ")
        if self.video_url and self.frame_times:
            raise UserError("frame_times is for frames; a file sent by video_url has its own: leave one of them out")
        if (self.usd_per_million_in is None) != (self.usd_per_million_out is None):
            raise UserError("cost needs both prices: usd_per_million_in and usd_per_million_out")

    def seeds(self) -> list[int | None]:
        """Return the seed of each reply that is asked for."""
        return [None if self.seed is None else self.seed + number for number in range(self.samples)]


@dataclass(frozen=True)
class Sent:
    """What of a video is in a request: the parts before the question, and what is known of the frames in them."""

    parts: list[dict[str, Any]]
    used: tuple[int, ...]
    size: tuple[int, int] | None  # as sent: what the endpoint makes of it is not known
    settings: dict[str, float | str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """A completion, how many requests it took, and the seed that was sent."""

    said: Any
    requests: int
    seed: int | None


class OpenAIChat:
    """An adapter that sends frames as images.

    Between questions it keeps how many images the endpoint takes, once that has refused more: it would refuse again.
    """

    def __init__(self, client: Any, asking: Asking, concurrency: int, key: str | None) -> None:
        self.client, self.asking, self.concurrency = client, asking, concurrency
        self._key = key
        self._image_limit = asking.max_frames

    def answer(self, video: Video, question: Question) -> Reply:
        """Return what the endpoint says. Raises EndpointError with its words, the key masked."""
        try:
            return self._answer(video, question)
        except TooManyImagesError as refused:
            self._image_limit = refused.limit
        return self._answer(video, question)

    def _answer(self, video: Video, question: Question) -> Reply:
        """Return what the endpoint says, to frames up to the limit that is known."""
        began, waited = time.perf_counter(), video.decode_seconds
        sent = self._file(video) if self.asking.video_url and len(video) else self._frames(video)
        waited = video.decode_seconds - waited
        encoded = time.perf_counter()
        content = [*sent.parts, {"type": "text", "text": format_prompt(question)}]
        asked = [self._ask(content, seed) for seed in self.asking.seeds()]
        ended = time.perf_counter()
        said = asked[0].said
        replies = [self._drawn(one) for one in asked]
        drawn = {} if len(asked) == 1 else {"temperature": self.asking.temperature}
        return Reply(
            text=replies[0].text,
            frames_used=sent.used,
            frames_kept=sent.used,
            seconds={"decode": waited, "encode": encoded - began - waited, "request": ended - encoded},
            language_tokens=None if said.usage is None else count_of(said.usage.prompt_tokens),
            usage={
                "requests": sum(one.requests for one in asked),
                "model": self._masked(str(said.model)),
                **_added([self._usage(one.said.usage) for one in asked]),
            },
            frame_size=sent.size,
            frame_times=self.asking.frame_times if sent.used else None,
            settings={**sent.settings, **drawn},
            finish_reason=replies[0].finish_reason,
            samples=tuple(replies) if len(replies) > 1 else (),
        )

    def _drawn(self, one: Asked) -> DrawnReply:
        """Return the reply of one request."""
        ended_by = one.said.choices[0].finish_reason
        reason = None if ended_by is None else self._masked(str(ended_by))
        return DrawnReply(self._masked(text_of(one.said)), one.seed, reason)

    def _frames(self, video: Video) -> Sent:
        """Return the frames as images, each after its time where that is wanted."""
        used = bin_centres(len(video), self._image_limit)
        cut = len(used) < min(len(video), self.asking.max_frames)
        parts: list[dict[str, Any]] = []
        size: tuple[int, int] | None = None
        video.announce(used)
        for start in range(0, len(used), CHUNK):
            chunk = used[start : start + CHUNK]
            frames = video.frames(chunk)
            for number, frame in zip(chunk, frames, strict=True):
                if self.asking.frame_times:
                    parts.append({"type": "text", "text": time_line(number / video.fps)})
                parts.append(self._image(frame))
            size = frames.shape[1:3]
        return Sent(parts, tuple(used), size, {"image_limit": self._image_limit} if cut else {})

    def _file(self, video: Video) -> Sent:
        """Return the rendered video as one part. Which frames the server shows its model it alone knows."""
        height, width = video.frames([0]).shape[1:3]
        data = base64.b64encode(Path(video.path()).read_bytes()).decode()
        parts = [{"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{data}"}}]
        settings = {"sent": "video", "sent_frames": len(video), "sent_height": height, "sent_width": width}
        return Sent(parts, (), None, settings)

    def _image(self, frame: np.ndarray) -> dict[str, Any]:
        """Return one frame, (height, width, 3) uint8, as a part of a message."""
        kind = "png" if self.asking.quality == PNG_QUALITY else "jpeg"
        file = io.BytesIO()
        Image.fromarray(frame).save(file, kind, quality=self.asking.quality)
        link = {"url": f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"}
        return {"type": "image_url", "image_url": {**link, **_given(detail=self.asking.detail)}}

    def _ask(self, content: list[dict[str, Any]], seed: int | None) -> Asked:
        """Return the completion and how many requests it took. Raises TooManyImagesError where that is why not."""
        import openai

        asking = self.asking
        names = ("max_tokens", "max_completion_tokens", "temperature")
        settings = _given(**{name: vars(asking)[name] for name in names}, seed=seed)
        limit: int | None = None
        try:
            raw = self.client.chat.completions.with_raw_response.create(
                model=asking.model, messages=[{"role": "user", "content": content}], **settings
            )
            said = raw.parse() if is_json(raw) else None
        except openai.OpenAIError as error:
            kind, words = type(error).__name__, f"{error} ({error.__cause__})" if error.__cause__ else str(error)
            limit = image_limit(words, sum(part["type"] == "image_url" for part in content))
        except ValueError as error:  # what calls itself JSON is none
            kind, words = "no JSON", str(error)
        else:
            if said is not None and getattr(said, "choices", None):
                return Asked(said, raw.retries_taken + 1, seed)
            kind = f"no choices from {self.client.base_url} (wanted: the address before /chat/completions)"
            words = raw.text[:500]
        # Out here, so that the library's own error is not in its chain: that one is not masked, and logs show chains.
        message = f"{asking.model}: {kind}: {self._masked(words)}"
        raise EndpointError(message) if limit is None else TooManyImagesError(message, limit)

    def _masked(self, words: str) -> str:
        """Return an endpoint's words without the key."""
        return mask_key(words, self._key) if self._key else words

    def _usage(self, counted: Any) -> dict[str, float]:
        """Return tokens, and their price where prices are known."""
        if counted is None:
            return {}
        counts = {name: count_of(getattr(counted, name)) for name in ("prompt_tokens", "completion_tokens")}
        tokens = {name: float(count) for name, count in counts.items() if count is not None}
        into, out = self.asking.usd_per_million_in, self.asking.usd_per_million_out
        if into is None or out is None or len(tokens) < len(counts):
            return tokens
        return {**tokens, "usd": (tokens["prompt_tokens"] * into + tokens["completion_tokens"] * out) / 1e6}


def load(
    model: str,
    base_url: str = "https://api.openai.com/v1",
    key_env: str | None = "OPENAI_API_KEY",
    concurrency: int = 4,
    retries: int = 6,
    timeout: float = 300.0,
    reasoning: bool = False,
    **settings: Any,
) -> OpenAIChat:
    """Return an adapter of `model` at `base_url`; `settings` are those of `Asking`.

    Up to `concurrency` questions are under way at once. A request that fails for the moment (429, 5xx, no
    connection, `timeout` seconds) is sent up to `retries` times more, after 0.5, 1, 2, 4, 8, 8 seconds less
    some jitter, or what the endpoint asks for; none is sent to another host that it names. `key_env` None (none) is
    for a server that wants no key. `reasoning` is for models that think: `max_completion_tokens` in place of
    `max_tokens`, and no temperature, unless they are given.
    """
    try:
        import openai
    except ModuleNotFoundError:
        raise UserError(f"the model openai needs the package openai: {install('openai')}") from None
    if concurrency < 1 or retries < 0:
        raise UserError(f"concurrency is at least 1 and retries at least 0, got {concurrency} and {retries}")
    if urlsplit(base_url).scheme not in ("http", "https"):
        raise UserError(f"base_url is the address before /chat/completions, http(s)://.../v1, got {base_url!r}")
    unknown = sorted(set(settings) - set(Asking.__dataclass_fields__))
    if unknown:
        raise UserError(f"no setting is called {', '.join(unknown)}; known: {', '.join(Asking.__dataclass_fields__)}")
    if settings.get("max_tokens") is not None and settings.get("max_completion_tokens") is not None:
        raise UserError("give max_tokens or max_completion_tokens, not both: endpoints take one of them")
    if reasoning:
        settings = {"max_completion_tokens": REASONING_TOKENS, "temperature": None, **settings}
    if settings.get("max_completion_tokens") is not None:
        settings["max_tokens"] = None
    key = None if key_env is None else os.environ.get(key_env, "").strip()
    if key == "":
        raise UserError(
            f"the key is read from the environment variable {key_env}, which is empty: export it, name another with "
            "key_env=NAME, or pass key_env=none for a server that wants none"
        )
    # Another host must get neither the key nor the frames.
    http = openai.DefaultHttpxClient(follow_redirects=False)
    client = openai.OpenAI(
        api_key=key or "none", base_url=base_url, max_retries=retries, timeout=timeout, http_client=http
    )
    weakref.finalize(client, http.close)  # a client that is given one leaves it open
    return OpenAIChat(client, Asking(model, **settings), concurrency, key)


def _added(usages: list[dict[str, float]]) -> dict[str, float]:
    """Return the sums of what several requests used."""
    return {name: sum(one.get(name, 0.0) for one in usages) for name in usages[0]}


def _given(**values: Any) -> dict[str, Any]:
    """Return what is not None."""
    return {name: value for name, value in values.items() if value is not None}

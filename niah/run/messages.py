"""What the runner and a worker exchange: one configuration, then a request and a result for each case.

Each is a line of JSON on the worker's stdin or stdout. None of them holds the right answer, so no adapter can see it.
Like all that a worker needs, this file imports on Python 3.9 with NumPy alone.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from niah.types import STATUSES, Case, OptionLikelihood, Reply, Sampling, Source

MAX_DETAILS_CHARACTERS = 100_000  # of a reply's usage, settings or seconds, and of what a case cost
MAX_DETAILS_DEPTH = 8
MAX_COUNT = 1 << 60  # no machine counts further
MAX_REPLY_CHARACTERS = 1_000_000  # more than any model says, and less than an endless loop


@dataclass(frozen=True)
class WorkerConfig:
    """All that a worker needs before its first case: the adapter, its settings and the media library."""

    target: str  # "module:function" that makes the adapter
    settings: Mapping[str, Any]  # keyword arguments of that function
    sources: Mapping[str, Source]
    sampling: Sampling
    decoder: str
    renders: str  # folder for rendered videos

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> WorkerConfig:
        """Read what `to_json` wrote."""
        values = dict(row)
        values["sources"] = {name: Source(**source) for name, source in row["sources"].items()}
        values["sampling"] = Sampling(**row["sampling"])
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """Return the configuration as JSON can carry it."""
        return asdict(self)


def case_request(case: Case) -> dict[str, Any]:
    """Return the request for one case: its video and question, without name, needle or answer."""
    return {
        "timeline": [[span.source, span.start, span.stop] for span in case.timeline],
        "fps": case.fps,
        "canvas": case.canvas,
        "question": vars(case.to_question()),
    }


@dataclass(frozen=True)
class WorkerResult:
    """The outcome of one case: the status of its record, and the reply where there is one."""

    status: str
    detail: str = ""  # why the status is not "ok"
    reply: Reply | None = None
    measured: Mapping[str, Any] = field(default_factory=dict)
    crashed: bool = False  # the worker died or broke the protocol: a new worker may do better
    worker_gone: bool = False  # this worker cannot be used again

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> WorkerResult:
        """Read what `to_json` wrote. Raises ValueError for what no worker of ours writes."""
        reply = None if row["reply"] is None else Reply(**row["reply"])
        if reply is not None:
            check_bounds(reply)
        _check_details("measured", row["measured"])
        status, detail, lost = row["status"], row["detail"], bool(row["worker_gone"])
        if status not in STATUSES or (status == "ok") != (reply is not None) or not isinstance(detail, str):
            raise ValueError(f"status {status!r:.80} with {'no' if reply is None else 'a'} reply")
        return cls(status, detail[:MAX_DETAILS_CHARACTERS], reply, row["measured"], crashed=lost, worker_gone=lost)

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON can carry it; a worker that reports itself gone has lost its device."""
        reply = None if self.reply is None else _row(self.reply)
        row = {"status": self.status, "detail": self.detail, "reply": reply, "measured": dict(self.measured)}
        return {**row, "worker_gone": self.worker_gone}


def check_reply(reply: Any, frames: int, options: int) -> Reply:
    """Return an adapter's reply in plain Python numbers, which JSON can carry.

    Raises TypeError or ValueError where the reply breaks the contract of `niah.types.Reply` for a video
    of `frames` frames and a question with `options` options.
    """
    if not isinstance(reply, Reply):
        raise TypeError(f"answer(video, question) must return a niah.types.Reply, got {type(reply).__name__}")
    check_bounds(reply)
    _check_frames(reply, frames)
    if reply.mode not in ("generated", "likelihood"):
        raise ValueError(f"mode must be 'generated' or 'likelihood', got {reply.mode!r}")
    scores = reply.option_scores
    if scores is not None and (len(scores) != options or not all(map(math.isfinite, scores))):
        raise ValueError(f"option_scores must be {options} finite numbers, got {scores}")
    likelihoods = reply.option_likelihoods
    if likelihoods is not None and len(likelihoods) != options:
        raise ValueError(f"option_likelihoods must be those of {options} options, got {len(likelihoods)}")
    plain = Reply(
        text=reply.text,
        option_scores=scores,
        mode=reply.mode,
        frames_used=reply.frames_used,
        frames_kept=reply.frames_kept,
        seconds={str(stage): float(seconds) for stage, seconds in reply.seconds.items()},
        seconds_to_first_token=_optional(float, reply.seconds_to_first_token),
        peak_allocated_bytes=_optional(int, reply.peak_allocated_bytes),
        peak_reserved_bytes=_optional(int, reply.peak_reserved_bytes),
        peak_device_bytes=_optional(int, reply.peak_device_bytes),
        language_tokens=_optional(int, reply.language_tokens),
        reused_frames=int(reply.reused_frames),
        usage={str(key): value if isinstance(value, str) else float(value) for key, value in reply.usage.items()},
        settings={str(name): value for name, value in reply.settings.items()},
        frame_size=_frame_size(reply.frame_size),
        frame_times=_optional(bool, reply.frame_times),
        finish_reason=_optional(str, reply.finish_reason),
        option_likelihoods=None if likelihoods is None else tuple(map(_plain_likelihood, likelihoods)),
        prompt_opens_thought=_optional(bool, reply.prompt_opens_thought),
        samples=reply.samples,
    )
    json.dumps(_row(plain), allow_nan=False)  # raises ValueError for a time that is not a number
    return plain


def check_bounds(reply: Reply) -> None:
    """Raise ValueError where a reply is larger than any model's, or counts below 0: its record could not be read."""
    characters = len(reply.text) + sum(len(one.text) for one in reply.samples)
    if characters > MAX_REPLY_CHARACTERS:
        raise ValueError(f"a reply's text has at most {MAX_REPLY_CHARACTERS:,} characters, got {characters:,}")
    for name in ("usage", "settings", "seconds"):
        _check_details(name, getattr(reply, name))
    peaks = ("peak_allocated_bytes", "peak_reserved_bytes", "peak_device_bytes")
    for name in ("language_tokens", "reused_frames", *peaks):
        count = getattr(reply, name)
        if count is not None and not 0 <= int(count) < MAX_COUNT:
            raise ValueError(f"{name} counts from 0 up to {MAX_COUNT:,}, got {str(count):.40}")
    for name, count in reply.usage.items():
        if not isinstance(count, str) and not 0 <= float(count) < math.inf:
            raise ValueError(f"usage counts from 0 up, got {name}={count}")


def _check_details(name: str, details: Mapping[str, Any]) -> None:
    """Raise ValueError unless a reply's details are few, short and flat enough for a line of records.jsonl."""
    waiting: list[tuple[Any, int]] = [(details, 0)]
    size = 0
    while waiting:
        value, depth = waiting.pop()
        size += len(value) if isinstance(value, (str, bytes)) else 8
        if depth > MAX_DETAILS_DEPTH or size > MAX_DETAILS_CHARACTERS:
            raise ValueError(
                f"{name} of a reply holds at most {MAX_DETAILS_CHARACTERS:,} characters, nested at most "
                f"{MAX_DETAILS_DEPTH} deep"
            )
        if isinstance(value, Mapping):
            waiting += [(part, depth + 1) for pair in value.items() for part in pair]
        elif isinstance(value, (list, tuple)):
            waiting += [(part, depth + 1) for part in value]


def _check_frames(reply: Reply, frames: int) -> None:
    """Raise ValueError where a frame lies outside the video, or was kept without being used."""
    for name in ("frames_used", "frames_kept"):
        outside = [index for index in getattr(reply, name) if not 0 <= index < frames]
        if outside:
            raise ValueError(f"{name} must lie within the video's {frames} frames, got {outside[:5]}")
    unused = sorted(set(reply.frames_kept) - set(reply.frames_used))
    if reply.frames_used and unused:
        raise ValueError(f"frames_kept must be among frames_used, got {unused[:5]} besides")


def _frame_size(size: Any) -> Any:
    """Return height and width. Raises ValueError for anything but two numbers from 1 up."""
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise ValueError(f"frame_size must be (height, width) in pixels, got {size}")
    return size


def _row(reply: Reply) -> dict[str, Any]:
    """Return the fields of a reply; `asdict` would copy each of its thousands of frame numbers."""
    row = {field.name: getattr(reply, field.name) for field in dataclasses.fields(Reply)}
    if reply.option_likelihoods is not None:
        row["option_likelihoods"] = [asdict(one) for one in reply.option_likelihoods]
    row["samples"] = [asdict(one) for one in reply.samples]
    return row


def _plain_likelihood(one: OptionLikelihood) -> OptionLikelihood:
    """Return the likelihood of an option in plain numbers."""
    blind = _optional(float, one.without_video)
    return OptionLikelihood(float(one.log_probability), int(one.tokens), int(one.bytes), blind)


def _optional(kind: Any, value: Any) -> Any:
    """Convert a value that may be None; numbers of NumPy and torch become plain ones."""
    return None if value is None else kind(value)

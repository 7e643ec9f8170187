"""Serve one adapter to the runner, a JSON line at a time: `python -m niah.run.worker`.

Published baselines pin incompatible versions of transformers, so each runs in
its own interpreter. Their code also prints, from Python and from C. Replies
therefore travel on a private copy of stdout, and what anybody else writes to
stdout goes to stderr. The same with stdin: an adapter that reads it finds it empty.

The right answer never comes here, so no adapter can see it.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import math
import os
import queue
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

from niah.media.decoders.base import load_decoder
from niah.media.errors import MediaError
from niah.media.video import SplicedVideo
from niah.run.registry import load_adapter
from niah.types import Case, Question, Reply, Sampling, Source, Span, UserError

PACKAGES = ("numpy", "av", "decord", "torchcodec", "torch", "transformers", "open_clip_torch")
TRACEBACK_LINES = 4
LONGEST = 1_000_000  # characters of a reply: more than any model says, and less than a loop without an end
WORDS = 2000  # characters of an error's message: some print their tensors
GRACE_SECONDS = 5.0  # for an answer under way when the runner has gone, unless the runner says how long
_NO_MEMORY = re.compile(r"out of memory|can't allocate memory|cannot allocate memory", re.IGNORECASE)


@dataclass(frozen=True)
class WorkerConfig:
    """Everything a worker is told before the first question."""

    target: str  # "module:function"
    settings: Mapping[str, Any]
    sources: Mapping[str, Source]
    sampling: Sampling
    decoder: str
    renders: str  # the folder rendered videos go to

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> WorkerConfig:
        """Read what `to_json` wrote."""
        values = dict(row)
        values["sources"] = {name: Source(**source) for name, source in row["sources"].items()}
        values["sampling"] = Sampling(**row["sampling"])
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """Return the request that loads a worker."""
        return asdict(self)


def case_request(case: Case) -> dict[str, Any]:
    """Return the request for one case: its video and question, without name, needle or answer."""
    return {
        "timeline": [[span.source, span.start, span.stop] for span in case.timeline],
        "fps": case.fps,
        "question": asdict(case.to_question()),
    }


class AdapterServer:
    """One adapter with the media library it reads from, ready for questions.

    Raises UserError where the adapter cannot be made.
    """

    def __init__(self, loading: WorkerConfig) -> None:
        self.loading = loading
        self.decoder = load_decoder(loading.decoder)
        self.adapter = load_adapter(loading.target, loading.settings)

    def metadata(self) -> dict[str, Any]:
        """Say what answers: decoder, interpreter, versions."""
        return {
            "status": "ready",
            "decoder": self.decoder.name,
            "python": "{}.{}.{}".format(*sys.version_info),
            "versions": _versions(),
            "concurrency": int(getattr(self.adapter, "concurrency", 1)),  # optional in the contract
        }

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Ask the adapter once; return status, reply, detail and what it cost. Raises nothing a model can cause."""
        per_case = _reset_peak()
        begun, decoded = time.monotonic(), sum(self.decoder.decoded.values())
        video = None
        try:
            video = self._video(request)
            question = Question(**request["question"])
            outcome: dict[str, Any] = {"status": "ok", "detail": ""}
            outcome["reply"] = checked(self.adapter.answer(video, question), len(video), len(question.options))
        except Exception as error:  # whatever a model raises is a record, not the end of the run
            traceback.print_exc()
            outcome = {"status": "oom" if ran_out(error) else "error", "detail": self._words(error), "reply": None}
            del error
            gc.collect()  # the frames and features the traceback held
        outcome["measured"] = {
            "file_to_answer_seconds": time.monotonic() - begun,
            "decode_seconds": video.decode_seconds if video is not None else 0.0,
            "decoded_frames": sum(self.decoder.decoded.values()) - decoded,
            "handed_out": len(video.handed_out) if video is not None else 0,
            "peak_host_bytes": _peak_bytes(per_case),
            "peak_host_since": "case" if per_case else "start of the worker",
        }
        return outcome

    def _video(self, request: Mapping[str, Any]) -> SplicedVideo:
        """Return the video of one request; nothing is decoded yet."""
        timeline = tuple(Span(*span) for span in request["timeline"])
        loading = self.loading
        renders = Path(loading.renders)
        return SplicedVideo(timeline, loading.sources, loading.sampling, self.decoder, request["fps"], renders)

    def _words(self, error: BaseException) -> str:
        """Return the error in words, with the last places of its traceback, and no path of this machine."""
        places = traceback.extract_tb(error.__traceback__)[-TRACEBACK_LINES:]
        if isinstance(error, MediaError):
            places = []  # its words name file, cause and remedy
        where = "".join(f"\n  {os.path.basename(p.filename)}:{p.lineno} in {p.name}" for p in places)
        words = f"{type(error).__name__}: {error}"[:WORDS]
        for source in sorted(self.loading.sources.values(), key=lambda source: -len(source.path)):
            words = words.replace(source.path, source.name)
        return words + where


def checked(reply: Any, frames: int, options: int) -> dict[str, Any]:
    """Return a reply as JSON can carry it. Raises TypeError or ValueError where it breaks the contract."""
    if not isinstance(reply, Reply):
        raise TypeError(f"answer(video, question) must return a niah.types.Reply, got {type(reply).__name__}")
    if len(reply.text) > LONGEST:
        raise ValueError(f"a reply's text has at most {LONGEST:,} characters, got {len(reply.text):,}")
    for name in ("frames_used", "frames_kept"):
        outside = [index for index in getattr(reply, name) if not 0 <= index < frames]
        if outside:
            raise ValueError(f"{name} must lie within the video's {frames} frames, got {outside[:5]}")
    unused = sorted(set(reply.frames_kept) - set(reply.frames_used))
    if reply.frames_used and unused:
        raise ValueError(f"frames_kept must be among frames_used, got {unused[:5]} besides")
    if reply.mode not in ("generated", "likelihood"):
        raise ValueError(f"mode must be 'generated' or 'likelihood', got {reply.mode!r}")
    scores = reply.option_scores
    if scores is not None and (len(scores) != options or not all(map(math.isfinite, scores))):
        raise ValueError(f"option_scores must be {options} finite numbers, got {scores}")
    plain = {
        "text": reply.text,
        "option_scores": scores,
        "mode": reply.mode,
        "frames_used": reply.frames_used,
        "frames_kept": reply.frames_kept,
        "seconds": {str(stage): float(seconds) for stage, seconds in reply.seconds.items()},
        "seconds_to_first_token": _maybe(float, reply.seconds_to_first_token),
        "peak_allocated_bytes": _maybe(int, reply.peak_allocated_bytes),
        "peak_reserved_bytes": _maybe(int, reply.peak_reserved_bytes),
        "language_tokens": _maybe(int, reply.language_tokens),
        "reused_frames": int(reply.reused_frames),
        "usage": {str(what): said if isinstance(said, str) else float(said) for what, said in reply.usage.items()},
        "settings": {str(name): value for name, value in reply.settings.items()},
    }
    json.dumps(plain, allow_nan=False)  # raises ValueError: a time that is not a number is not a time
    return plain


def ran_out(error: BaseException) -> bool:
    """Tell whether an error means that memory, of host or device, did not suffice."""
    names = [kind.__name__ for kind in type(error).__mro__]
    if isinstance(error, MemoryError) or any("OutOfMemory" in name for name in names):
        return True
    return isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error)) is not None


def main(alone: float = GRACE_SECONDS) -> None:
    """Serve requests until stdin ends, and `alone` seconds more where an answer is under way then."""
    faulthandler.enable()
    replies = _private_stdout()
    requests = _requests(alone)
    served: AdapterServer | None = None
    while True:
        line = requests.get()
        if line is None:
            return
        message = json.loads(line)
        if message["do"] == "load":
            served, said = _load(message["loading"])
        elif served is None:
            raise RuntimeError("a worker must be loaded before it is asked")
        else:
            said = served.answer(message["asked"])
        said["number"] = message["number"]
        replies.write(json.dumps(said) + "\n")
        replies.flush()


def _load(row: Mapping[str, Any]) -> tuple[AdapterServer | None, dict[str, Any]]:
    """Make the adapter, or say why it cannot be made."""
    try:
        served = AdapterServer(WorkerConfig.from_json(row))
    except UserError as error:
        return None, {"status": "unusable", "detail": str(error)}
    except Exception as error:  # a model's own code may raise anything; the runner stops with these words
        traceback.print_exc()
        return None, {"status": "unusable", "detail": f"{row['target']} raised {type(error).__name__}: {error}"}
    return served, served.metadata()


def _private_stdout() -> TextIO:
    """Keep stdout for replies alone; whatever writes to descriptor 1 from now on reaches stderr."""
    private = os.dup(1)
    os.dup2(2, 1)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # so that the log holds what was printed before a crash
    return os.fdopen(private, "w", encoding="utf-8")


def _requests(alone: float) -> queue.Queue[str | None]:
    """Return the lines of stdin as they come, then None.

    A thread reads them, so that a worker notices the end of its runner even amid an
    answer: it then gets `alone` seconds to end by itself and is killed with its children.
    """
    private = os.fdopen(os.dup(0), encoding="utf-8")
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in private:
            lines.put(line)
        lines.put(None)
        time.sleep(alone)
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=read, name="requests", daemon=True).start()
    return lines


def _reset_peak() -> bool:
    """Let the kernel forget the peak of host memory; False where it will not (then peaks are of the whole worker)."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:  # not Linux, or not allowed in this container
        return False
    return True


def _peak_bytes(per_case: bool) -> int | None:
    """Return the peak of resident host memory, since `_reset_peak` if that worked."""
    if per_case:
        with open("/proc/self/status") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _versions() -> dict[str, str]:
    """Return the versions of the packages that can move a number, where installed."""
    from importlib.metadata import PackageNotFoundError, version

    found: dict[str, str] = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _maybe(kind: Any, value: Any) -> Any:
    """Convert a value that may be None; numpy's and torch's numbers become plain ones."""
    return None if value is None else kind(value)


if __name__ == "__main__":
    main(*map(float, sys.argv[1:2]))

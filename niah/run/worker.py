"""Serve one adapter to the runner, one JSON line at a time: `python -m niah.run.worker`.

Published baselines pin incompatible versions of transformers, so each runs in its own
interpreter. Their code also prints, from Python and from C. Results therefore travel on
a private copy of stdout, and everything else that is written to stdout goes to stderr.
stdin is treated likewise: an adapter that reads it finds it empty.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

from niah.media.decoders.base import load_decoder
from niah.media.errors import MediaError
from niah.media.video import SplicedVideo
from niah.run.family import adopt_orphans
from niah.run.faults import free_device_memory, is_device_lost, is_out_of_memory
from niah.run.identity import loaded_identity, origin_of
from niah.run.memory import peak_bytes, reset_peak
from niah.run.messages import WorkerConfig, WorkerResult, check_reply
from niah.run.registry import load_adapter
from niah.terminal import print_traceback
from niah.types import Question, Reply, Span, UserError

PACKAGES = ("numpy", "av", "decord", "torchcodec", "torch", "transformers", "open_clip_torch")
TRACEBACK_LINES = 4
MAX_ERROR_CHARACTERS = 2000  # some error messages print whole tensors


class AdapterServer:
    """One adapter and the media library it reads from, ready to answer requests.

    Raises UserError where the adapter cannot be made.
    """

    def __init__(self, config: WorkerConfig) -> None:
        self.config = config
        self.decoder = load_decoder(config.decoder)
        origin = origin_of(config.target, config.settings)  # before the adapter can change the current folder
        self.adapter = load_adapter(config.target, config.settings)
        self._identity = loaded_identity(origin, self.adapter)

    def metadata(self) -> dict[str, Any]:
        """Return the worker metadata: decoder, interpreter, package versions, concurrency, the model's identity."""
        return {
            "status": "ready",
            "decoder": self.decoder.name,
            "python": "{}.{}.{}".format(*sys.version_info),
            "versions": package_versions(PACKAGES),
            "concurrency": int(getattr(self.adapter, "concurrency", 1)),  # optional in the contract
            "identity": self._identity,
            "frame_side": getattr(self.adapter, "frame_side", None),  # likewise, as are the next
            "built_in_footage_only": bool(getattr(self.adapter, "built_in_footage_only", False)),
            "known_words": list(getattr(self.adapter, "known_words", ())),
        }

    def answer(self, request: Mapping[str, Any]) -> WorkerResult:
        """Ask the adapter once and measure it; an exception of the adapter becomes the result."""
        per_case = reset_peak()
        began = time.monotonic()
        decoded_before = sum(self.decoder.decoded.values())
        video: SplicedVideo | None = None
        reply: Reply | None = None
        status, detail, lost = "ok", "", False
        try:
            video = self._video(request)
            question = Question(**request["question"])
            reply = check_reply(self.adapter.answer(video, question), len(video), len(question.options))
        except Exception as error:  # whatever a model raises is a record, not the end of the run
            print_traceback(*sys.exc_info())
            status, detail = "oom" if is_out_of_memory(error) else "error", self._describe(error)
            lost = is_device_lost(error)
        if video is not None:
            video.close()
        if (
            status != "ok" and not lost
        ):  # not inside `except`, where the error and all that its traceback holds still live
            gc.collect()
            free_device_memory()
        measured = {
            "file_to_answer_seconds": time.monotonic() - began,
            "decode_seconds": video.decode_seconds if video is not None else 0.0,
            "decoded_frames": sum(self.decoder.decoded.values()) - decoded_before,
            "handed_out": len(video.handed_out) if video is not None else 0,
            "peak_host_bytes": peak_bytes(per_case),
            "peak_host_since": "case" if per_case else "start of the worker",
        }
        return WorkerResult(status, detail, reply, measured, crashed=lost, worker_gone=lost)

    def _video(self, request: Mapping[str, Any]) -> SplicedVideo:
        """Return the video of one request; nothing is decoded yet."""
        timeline = tuple(Span(*span) for span in request["timeline"])
        config = self.config
        renders = Path(config.renders)
        fps, canvas = request["fps"], request["canvas"]
        return SplicedVideo(timeline, config.sources, config.sampling, self.decoder, fps, renders, canvas)

    def _describe(self, error: BaseException) -> str:
        """Return an error's message and the end of its traceback, without any path of this machine."""
        frames = traceback.extract_tb(error.__traceback__)[-TRACEBACK_LINES:]
        if isinstance(error, MediaError):
            frames = []  # its message names the file, the cause and the remedy
        where = "".join(f"\n  {os.path.basename(f.filename)}:{f.lineno} in {f.name}" for f in frames)
        message = f"{type(error).__name__}: {error}"[:MAX_ERROR_CHARACTERS]
        for source in sorted(self.config.sources.values(), key=lambda source: -len(source.path)):
            message = message.replace(source.path, source.name)
        return message + where


def package_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the installed version of each package; packages that are not installed are left out."""
    from importlib.metadata import PackageNotFoundError, version

    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue  # optional
    return found


def main() -> None:
    """Serve requests until stdin ends; the runner, or its guard (`niah.run.family`), ends a case in progress."""
    faulthandler.enable()
    adopt_orphans()
    responses = _private_stdout()
    requests = _requests()
    server: AdapterServer | None = None
    for line in requests:
        message = json.loads(line)
        if message["do"] == "load":
            server, response = _load(message["loading"])
        elif server is None:
            raise RuntimeError("a worker must load its adapter before it can answer")
        else:
            response = server.answer(message["asked"]).to_json()
        response["number"] = message["number"]
        responses.write(json.dumps(response) + "\n")
        responses.flush()
        if response.get("worker_gone"):  # whatever it were asked next would fail
            return


def _load(row: Mapping[str, Any]) -> tuple[AdapterServer | None, dict[str, Any]]:
    """Make the adapter and return the worker metadata, or the reason why it cannot be made."""
    try:
        server = AdapterServer(WorkerConfig.from_json(row))
    except UserError as error:
        return None, {"status": "unusable", "detail": str(error)}
    except Exception as error:  # a model's own code may raise anything; the runner stops with this message
        print_traceback(*sys.exc_info())
        return None, {"status": "unusable", "detail": f"{row['target']} raised {type(error).__name__}: {error}"}
    return server, server.metadata()


def _private_stdout() -> TextIO:
    """Return a private copy of stdout; whatever writes to descriptor 1 from now on reaches stderr."""
    private = os.dup(1)
    os.dup2(2, 1)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # so that the log holds what was printed before a crash
    return os.fdopen(private, "w", encoding="utf-8")


def _requests() -> Iterator[str]:
    """Return the lines of stdin as they arrive; what reads descriptor 0 from now on finds it empty."""
    private = os.fdopen(os.dup(0), encoding="utf-8")
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    return iter(private.readline, "")


if __name__ == "__main__":
    main()

"""Decode files in a process of its own, so that a decoder which crashes, hangs or fills the memory costs one file.

FFmpeg decodes what strangers made. The process has limits, serves one file after another, and is started anew after a
file that ended it. Files whose index is cached need none to be scanned. `python -m niah.media.scan_apart` is that
process.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Dict, List, Optional, Union

from niah.media.bounds import MEMORY_VARIABLE, SCAN_VARIABLE, scan_memory_bytes, scan_seconds
from niah.media.errors import MediaError, reencode
from niah.media.index import Index, absolute
from niah.media.scan import cached_index, index_from_json
from niah.types import UserError

POLL_SECONDS = 1.0
OUT_OF_MEMORY = 99  # exit code
ROOT = Path(__file__).resolve().parents[2]


class ScanProcess:
    """Scans files, each as `niah.media.scan.scan` does; a context manager that ends the process."""

    def __init__(self) -> None:
        self._child: Optional[subprocess.Popen[bytes]] = None

    def __enter__(self) -> ScanProcess:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._end()

    def scan(self, path: Union[str, Path]) -> Index:
        """Return the index of a file. Raises MediaError for what is no video, and for a file that ends the process."""
        known = cached_index(path)
        if known is not None:
            return known
        found = self.call(path, "niah.media.scan:scan_to_json")
        return index_from_json(path, found["sha256"], found["index"])

    def call(self, path: Union[str, Path], target: str, *arguments: Any) -> Any:
        """Return what the function "module:function" returns for a file and more arguments, called in the process.

        Arguments and result are what JSON can carry. Raises MediaError, or UserError, as the function does, and for a
        file that ends the process.
        """
        limit = scan_seconds(os.path.getsize(path))
        if self._child is None:
            self._child = _start()
        try:
            answer = self._ask(absolute(path), [target, *arguments], limit)
        except BaseException:
            self._end()
            raise
        if answer is None:
            code = self._end()
            raise MediaError(path, f"decoding it {_ended(code)}", reencode(path))
        if "cause" in answer:
            raise MediaError(path, answer["cause"], answer["remedy"])
        if "refused" in answer:
            raise UserError(answer["refused"])
        return answer["result"]

    def kill(self) -> None:
        """Break off what is being scanned; whoever waits for it gets a MediaError."""
        child = self._child
        if child is not None:
            child.kill()

    def _ask(self, path: str, call: List[Any], seconds: float) -> Optional[Dict[str, Any]]:
        """Return the answer of the process; None where it ended. Raises MediaError where none comes in time."""
        assert self._child is not None and self._child.stdin is not None and self._child.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it ended; that shows below
            os.write(self._child.stdin.fileno(), json.dumps([path, *call]).encode() + b"\n")
        deadline = time.monotonic() + seconds
        parts = []
        while time.monotonic() < deadline:
            if not select.select([self._child.stdout], [], [], POLL_SECONDS)[0]:
                continue
            part = os.read(self._child.stdout.fileno(), 1 << 20)
            if not part:
                return None
            parts.append(part)
            if part.endswith(b"\n"):
                return json.loads(b"".join(parts))
        remedy = f"{reencode(path)}, or raise {SCAN_VARIABLE}"
        raise MediaError(path, f"decoding it takes more than {seconds:,.0f} seconds", remedy)

    def _end(self) -> int:
        """Kill the process, and return its exit code."""
        if self._child is None:
            return 0
        child, self._child = self._child, None
        died = child.poll()
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()
        return child.returncode if died is None else died


def _start() -> subprocess.Popen[bytes]:
    """Start a process that waits for paths."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    return subprocess.Popen(
        [sys.executable, "-m", "niah.media.scan_apart"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env=environment, start_new_session=True,
    )  # fmt: skip


def _ended(code: int) -> str:
    """Return how a process ended, given its exit code."""
    if code == -signal.SIGKILL or code == OUT_OF_MEMORY:
        return f"took more memory than there is, or than {MEMORY_VARIABLE} allows"
    return f"crashed FFmpeg ({signal.Signals(-code).name})" if code < 0 else f"ended FFmpeg with exit code {code}"


def _limit_memory() -> None:
    """Bound the address space of this process, where the system can."""
    import resource  # not on Windows

    with contextlib.suppress(ValueError, OSError):  # a lower limit holds already
        resource.setrlimit(resource.RLIMIT_AS, (scan_memory_bytes(), resource.RLIM_INFINITY))


def _answers(lines: Iterator[bytes]) -> Iterator[Dict[str, Any]]:
    """Yield what each call returns, or why it returns nothing."""
    for line in lines:
        path, target, *arguments = json.loads(line)
        module, _, function = target.partition(":")
        try:
            result = getattr(importlib.import_module(module), function)(path, *arguments)
        except MediaError as error:
            yield {"cause": error.cause, "remedy": error.remedy}
        except UserError as error:  # a bound in the environment that is no number
            yield {"refused": str(error)}
        else:
            yield {"result": result}


def main() -> None:
    """Serve until stdin ends. Out of memory, the process ends: what FFmpeg holds then is not known."""
    _limit_memory()
    try:
        for answer in _answers(iter(sys.stdin.buffer.readline, b"")):
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
    except MemoryError:
        os._exit(OUT_OF_MEMORY)


if __name__ == "__main__":
    main()

"""Load one checkpoint in this process, let it answer, and print what that took as JSON.

Only anonymous memory counts: pages of a mapped file can be dropped at any time. What torch and the tokenizer take is
measured before the weights and left out.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from niah.run.registry import find_adapter, load_adapter
from niah.types import Question
from tests.helpers.fake_video import FakeVideo

STATUS = Path("/proc/self/status")
EVERY = 0.005  # seconds between two looks
QUESTION = Question("Which way does the red circle move?", ("left", "right", "straight on", "back"))


def anonymous() -> int:
    """Return the bytes of anonymous memory this process has."""
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("RssAnon:"))
    return int(line.split()[1]) * 1024


@contextmanager
def peak_of(found: dict[str, float], name: str) -> Iterator[None]:
    """Measure the most anonymous memory and the seconds that a block takes."""
    done, most, began = threading.Event(), [anonymous()], time.monotonic()

    def watch() -> None:
        while not done.wait(EVERY):
            most[0] = max(most[0], anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        found[f"{name}_bytes"] = max(most[0], anonymous())
        found[f"{name}_seconds"] = time.monotonic() - began


def measure(name: str, folder: str, frames: int, dtype: str) -> dict[str, float | str]:
    """Return bytes before, at most while loading, after loading and at most while answering; seconds; the reply."""
    import niah.adapters.checkpoint  # noqa: F401  torch and transformers are no part of what is measured

    settings = {"pretrained": folder, "dtype": dtype, "max_new_tokens": 2, "store_gib": 0, "store_disk_gib": 0}
    found: dict[str, float | str] = {"before_bytes": anonymous()}
    peaks: dict[str, float] = {}
    with peak_of(peaks, "load"):
        adapter = load_adapter(find_adapter(name), settings)
    found["loaded_bytes"] = anonymous()
    with peak_of(peaks, "answer"):
        reply = adapter.answer(FakeVideo(("h", 0, frames)), QUESTION)
    return {**found, **peaks, "frames": len(reply.frames_used), "tokens": reply.language_tokens or 0}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])) + "\n")

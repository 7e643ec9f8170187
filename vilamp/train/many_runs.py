"""Ask many runs one after another in this process, with one store of features for all of them.

A frame's features depend on its pixels and the encoders' weights alone. So runs share them whatever constants,
language model or compressor they differ in, and each frame is encoded once. Times and memory of such runs mean nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from niah.adapters.feature_store import FeatureStore
from niah.cli.run_suite import run_suite
from niah.exit_codes import DONE, INTERRUPTED
from niah.io import cache_folder
from niah.media.decoders.base import DEFAULT_DECODER
from niah.run.config import RunConfig
from niah.run.messages import WorkerConfig
from niah.run.process import InProcessWorker
from niah.suite.folder import GeneratedSuite
from niah.terminal import to_stderr

TARGET = "vilamp.adapter:load"
MEMORY, DISK = 2**30, 2**33  # bytes of the feature store


@dataclass(frozen=True)
class NamedRun:
    """A run, and what belongs to it."""

    name: str  # printed before it is asked
    config: RunConfig
    when_done: Callable[[], None] | None = None  # called once every case has its answer


def run_all(runs: Iterable[NamedRun]) -> int:
    """Ask runs in their order; return 0, or the highest exit code of those that were not done.

    Runs are taken one at a time, so an iterator may train a model before it yields the run that asks it. What a run
    has answered already is not asked again. Ctrl-C ends the run it hits, and no later one begins.
    """
    worst = DONE
    with_shared_store = WithSharedStore()
    for one in runs:
        to_stderr(f"{one.name}\n")
        code = run_suite(one.config, make_worker=with_shared_store)
        if code == INTERRUPTED:
            return INTERRUPTED
        if code == DONE and one.when_done is not None:
            one.when_done()
        worst = max(worst, code)
    return worst


class WithSharedStore:
    """Makes `vilamp` workers in this process, all with the same feature store."""

    target = TARGET  # whose sources and checkpoint are the identity of its runs

    def __init__(self) -> None:
        self._store = FeatureStore(MEMORY, DISK, tempfile.gettempdir())

    def __call__(self, generated: GeneratedSuite, **settings: Any) -> InProcessWorker:
        """Return a loaded worker for these cases and settings."""
        config = WorkerConfig(
            TARGET,
            {**settings, "store": self._store},
            generated.sources,
            generated.suite.sampling,
            DEFAULT_DECODER,
            str(cache_folder() / "rendered"),
        )
        return InProcessWorker(config)

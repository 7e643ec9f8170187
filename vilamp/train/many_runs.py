"""Ask many runs one after another in this process, with one store of features for all of them.

A frame's features depend on its pixels and the encoders' weights alone. So runs share them whatever constants,
language model or compressor they differ in, and each frame is encoded once. Times and memory of such runs mean nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from typing import Any

from niah.adapters.feature_store import FeatureStore
from niah.cli.run_suite import NamedRun, run_all
from niah.io import cache_folder
from niah.media.decoders.base import DEFAULT_DECODER
from niah.run.messages import WorkerConfig
from niah.run.process import InProcessWorker
from niah.suite.folder import GeneratedSuite

TARGET = "vilamp.adapter:load"
MEMORY, DISK = 2**30, 2**33  # bytes of the feature store


def run_with_shared_store(runs: Iterable[NamedRun]) -> int:
    """Ask runs of the `vilamp` adapter in their order; return the exit code of `run_all`."""
    return run_all(runs, make_worker=WithSharedStore())


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

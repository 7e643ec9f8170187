"""Answer several runs in this process with one store of features.

A frame's features are known by its pixels and the encoders' weights, so runs share them whatever constants, language
model or compressor they differ in. Their times and memory mean nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

from niah.adapters.feature_store import FeatureStore
from niah.io import cache_folder
from niah.media.decoders.base import DEFAULT_DECODER
from niah.run.messages import WorkerConfig
from niah.run.process import InProcessWorker
from niah.suite.folder import GeneratedSuite

TARGET = "vilamp.adapter:load"


def shared_store() -> Callable[..., InProcessWorker]:
    """Return what makes adapters for runs in this process; all of them have one store, of 1 GiB, then 8 of disk."""
    store = FeatureStore(2**30, 2**33, tempfile.gettempdir())

    def loaded(generated: GeneratedSuite, **settings: Any) -> InProcessWorker:
        renders = str(cache_folder() / "rendered")
        given = {**settings, "store": store}
        return InProcessWorker(
            WorkerConfig(TARGET, given, generated.sources, generated.suite.sampling, DEFAULT_DECODER, renders)
        )

    return loaded

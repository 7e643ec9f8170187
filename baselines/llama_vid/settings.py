"""What a user may ask of LLaMA-VID by `--model_args`, checked before any weight is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from baselines.llama_vid.prompt import PATHS
from baselines.llama_vid.rope import MODES
from niah.adapters.feature_store import FeatureStore
from niah.adapters.options import make_store, read_options
from niah.settings import positive_int
from niah.types import UserError


@dataclass(frozen=True)
class Options:
    """All of them, with their defaults."""

    path: str | None = None  # short or long; unset it is the one the checkpoint was trained for
    rope: str = "faithful"
    config: str = "config.json"
    tower: str | None = None  # the file of the vision tower, where it lies elsewhere
    bert: str | None = None  # the folder of the Q-Former's words, where it lies elsewhere
    max_new_tokens: int = 32
    store_gib: float = 1.0  # for the tower's features, which later cases may share
    store_disk_gib: float = 8.0


@dataclass(frozen=True)
class Settings:
    """The options, read."""

    path: str | None
    rope: str
    config: str
    tower: str | None
    bert: str | None
    max_new_tokens: int
    store: FeatureStore | None  # None where it was given no room


def read_settings(given: Mapping[str, Any]) -> Settings:
    """Check the options. Raises UserError naming what is wrong."""
    options = read_options(Options, "llama_vid", given)
    if options.path not in (None, *PATHS):
        raise UserError(f"path is short or long, got {options.path!r}; mend --model_args")
    if options.rope not in MODES:
        raise UserError(f"rope is one of {', '.join(MODES)}, got {options.rope!r}; mend --model_args")
    return Settings(
        path=options.path,
        rope=options.rope,
        config=str(options.config),
        tower=None if options.tower is None else str(options.tower),
        bert=None if options.bert is None else str(options.bert),
        max_new_tokens=positive_int("max_new_tokens", options.max_new_tokens),
        store=make_store(options.store_gib, options.store_disk_gib),
    )

"""What a user may change about a released folder, checked before any weight is read."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from baselines.videochat_flash.config import Dropout, VideoChatFlashConfig, read, stored_dropout
from baselines.videochat_flash.rope import MODES
from baselines.videochat_flash.sampling import FEWEST
from baselines.videochat_flash.sizes import DROPOUTS
from niah.adapters.feature_store import FeatureStore
from niah.adapters.options import make_store, read_options
from niah.settings import positive_int
from niah.types import UserError

DROPOUT_NAMES = ("config", "off", "stored", *DROPOUTS)


@dataclass(frozen=True)
class Options:
    """All of them, with their defaults."""

    max_frames: int = 512
    max_new_tokens: int = 32
    rope: str = "faithful"  # or exact
    dropout: str = "config"  # what the config's switch says; stored switches on what it spells out
    max_length: int | None = None  # where answers are refused, in place of where the release cuts
    yarn: float | None = None  # a factor, with rope=exact
    store_gib: float = 1.0  # for merged tokens of clips, which later cases may share
    store_disk_gib: float = 8.0


@dataclass(frozen=True)
class Settings:
    """The options, read."""

    max_frames: int
    max_new_tokens: int
    rope: str
    dropout: str
    max_length: int | None
    yarn: float | None
    store: FeatureStore | None  # None where it was given no room

    def configure(self, row: Mapping[str, Any]) -> VideoChatFlashConfig:
        """Return the config.json `row` with what the user changed. Raises UserError where the two do not fit."""
        config = read(row)
        if self.max_length is not None:
            config = dataclasses.replace(config, limit=self.max_length)
        if self.yarn is not None:
            positions = config.language.positions
            scaling = {"rope_type": "yarn", "factor": self.yarn, "original_max_position_embeddings": positions}
            config = dataclasses.replace(config, language=dataclasses.replace(config.language, rope_scaling=scaling))
        return dataclasses.replace(config, dropout=_dropout(row, config, self.dropout))


def read_settings(given: Mapping[str, Any]) -> Settings:
    """Check the options. Raises UserError naming what is wrong."""
    options = read_options(Options, "videochat_flash", given)
    if options.rope not in MODES:
        raise UserError(f"rope is one of {', '.join(MODES)}; got {options.rope!r}")
    if options.dropout not in DROPOUT_NAMES:
        raise UserError(f"dropout is one of {', '.join(DROPOUT_NAMES)}; got {options.dropout!r}")
    return Settings(
        max_frames=_frames_limit(options.max_frames),
        max_new_tokens=positive_int("max_new_tokens", options.max_new_tokens),
        rope=options.rope,
        dropout=options.dropout,
        max_length=None if options.max_length is None else positive_int("max_length", options.max_length),
        yarn=_yarn(options.yarn, options.rope),
        store=make_store(options.store_gib, options.store_disk_gib),
    )


def _frames_limit(max_frames: int) -> int:
    """Return the most frames shown. Raises UserError for a number the release's rule would not keep to."""
    if positive_int("max_frames", max_frames) < FEWEST or max_frames % 4:
        raise UserError(
            f"max_frames is a multiple of 4 from {FEWEST} on, as the release shows clips of 4 frames and never "
            f"fewer than {FEWEST} frames of a video that has them; got {max_frames}"
        )
    return max_frames


def _yarn(factor: Any, rope: str) -> float | None:
    """Return the factor."""
    if factor is None:
        return None
    if rope != "exact":
        raise UserError("yarn needs rope=exact: the release's own language model ignores rope_scaling")
    if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 1 <= factor < math.inf:
        raise UserError(f"yarn is a factor from 1 on, 4 in the authors' own haystack run; got {factor!r}")
    return float(factor)


def refuse_beyond(limit: int | None, tokens: int, shown: int, max_frames: int) -> None:
    """Raise UserError for a sequence whose end, the question, the release would cut off."""
    if limit is not None and tokens > limit:
        raise UserError(
            f"{shown} frames and the question are {tokens} tokens; the release cuts the sequence after {limit} and "
            f"would answer without the question. Show fewer frames (max_frames is {max_frames}) or lift the cut with "
            f"max_length={tokens} (then rope=exact keeps positions apart)"
        )


def told(config: VideoChatFlashConfig, rope: str) -> dict[str, float | str]:
    """Return which of the ways to run the model an answer came from, for its record."""
    dropped = config.dropout
    return {
        "rope": rope,
        "scaling": str(config.language.rope_scaling if rope == "exact" else None),
        "dropout": f"{dropped.kind} {list(dropped.layers)} {list(dropped.ratios)}" if dropped else "off",
        "limit": str(config.limit),
    }


def _dropout(row: Mapping[str, Any], config: VideoChatFlashConfig, name: str) -> Dropout | None:
    """Return the dropout a setting names."""
    if name == "config":
        return config.dropout
    return {"off": None, "stored": stored_dropout(row), **DROPOUTS}[name]

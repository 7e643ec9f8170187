"""What a user may change about a released folder, checked before any weight is read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from baselines.videochat_flash.config import Dropout, VideoChatFlashConfig, read, stored_dropout
from baselines.videochat_flash.sampling import FEWEST
from baselines.videochat_flash.sizes import DROPOUTS
from niah.types import UserError

DROPOUT_NAMES = ("config", "off", "stored", *DROPOUTS)


def configure(
    row: Mapping[str, Any], dropout: str, max_length: int | None, yarn: float | None, rope: str
) -> VideoChatFlashConfig:
    """Return the config.json `row` with what the user changed.

    `dropout` "config" does what the config's switch says, "stored" switches on what the config spells out.
    `max_length` is where answers are refused, in place of where the release cuts. Raises UserError.
    """
    config = read(row)
    if max_length is not None:
        config = dataclasses.replace(config, limit=whole("max_length", max_length))
    if yarn is not None:
        if rope != "exact":
            raise UserError("yarn needs rope=exact: the release's own language model ignores rope_scaling")
        if isinstance(yarn, bool) or not isinstance(yarn, (int, float)) or yarn < 1:
            raise UserError(f"yarn is a factor from 1 on, 4 in the authors' own haystack run; got {yarn!r}")
        positions = config.language.positions
        scaling = {"rope_type": "yarn", "factor": float(yarn), "original_max_position_embeddings": positions}
        config = dataclasses.replace(config, language=dataclasses.replace(config.language, rope_scaling=scaling))
    return dataclasses.replace(config, dropout=_dropout(row, config, dropout))


def frames_limit(max_frames: int) -> int:
    """Return the most frames shown. Raises UserError for a number the release's rule would not keep to."""
    if whole("max_frames", max_frames) < FEWEST or max_frames % 4:
        raise UserError(
            f"max_frames is a multiple of 4 from {FEWEST} on, as the release shows clips of 4 frames and never "
            f"fewer than {FEWEST} frames of a video that has them; got {max_frames}"
        )
    return max_frames


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


def whole(name: str, value: Any) -> int:
    """Return a whole number from 1 on. Raises UserError with the setting's name."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(f"{name} is a whole number from 1 on, got {value!r}")
    return value


def _dropout(row: Mapping[str, Any], config: VideoChatFlashConfig, name: str) -> Dropout | None:
    """Return the dropout a setting names."""
    if name not in DROPOUT_NAMES:
        raise UserError(f"dropout is one of {', '.join(DROPOUT_NAMES)}; got {name!r}")
    if name == "config":
        return config.dropout
    return {"off": None, "stored": stored_dropout(row), **DROPOUTS}[name]

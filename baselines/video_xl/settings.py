"""What a user may ask of Video-XL by `--model_args`, checked before any frame is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from baselines.video_xl.prompt import STYLES
from baselines.video_xl.ratios import RatioRule
from niah.adapters.feature_store import FeatureStore
from niah.adapters.options import make_store, read_options
from niah.settings import positive_int, unknown_name
from niah.types import UserError


@dataclass(frozen=True)
class Compression:
    """How a video is summarised."""

    rule: RatioRule
    dynamic: bool = False
    frames: int | None = None  # at most so many, spread evenly as the release does
    seed: int = 0


@dataclass(frozen=True)
class Options:
    """All of them, with their defaults."""

    ratio: int | str | None = None  # 16, or several as 2/4/8; the checkpoint's own if not given
    mix: str | None = None  # how one of several is picked: see `ratios`
    dynamic: bool = False  # the paper's, not the release's: see `dynamic`
    frames: int | None = None
    prompt: str = "chat"
    max_new_tokens: int = 32
    store_gib: float = 1.0  # for summary tokens that later cases may share
    store_disk_gib: float = 8.0


@dataclass(frozen=True)
class Settings:
    """The options, read."""

    compression: Compression
    prompt: str
    max_new_tokens: int
    store: FeatureStore | None  # None where it was given no room

    def told(self) -> dict[str, float | str | None]:
        """Return what a record says of how its video was compressed."""
        how = self.compression
        return {
            "ratio": "/".join(map(str, how.rule.ratios)),
            "mix": how.rule.mix if len(how.rule.ratios) > 1 and not how.dynamic else "",
            "dynamic": str(how.dynamic),
            "frames": how.frames,
            "prompt": self.prompt,
        }


def read_settings(given: Mapping[str, Any], rule: RatioRule, seed: int = 0) -> Settings:
    """Check the options of a checkpoint whose own ratio rule is `rule`. Raises UserError naming what is wrong."""
    options = read_options(Options, "video_xl", given)
    for name in ("frames", "max_new_tokens"):
        positive_int(name, given.get(name, 1))
    if options.prompt not in STYLES:
        raise UserError(unknown_name("prompt", str(options.prompt), STYLES))
    if not isinstance(options.dynamic, bool):
        raise UserError(f"dynamic is True or False, got {options.dynamic!r}")
    asked = RatioRule(_ratios(options.ratio, rule.ratios), rule.mix if options.mix is None else str(options.mix))
    if options.dynamic and len(set(asked.ratios)) < 2:
        raise UserError(f"dynamic compression chooses between ratios, got only {asked.ratios[0]}: give ratio=2/4/8/16")
    return Settings(
        Compression(asked, options.dynamic, options.frames, seed),
        options.prompt,
        options.max_new_tokens,
        make_store(options.store_gib, options.store_disk_gib),
    )


def _ratios(value: int | str | None, own: tuple[int, ...]) -> tuple[int, ...]:
    """Read a ratio or several ("2/4/8"); None gives the checkpoint's."""
    if value is None:
        return own
    try:
        return tuple(int(part) for part in str(value).split("/"))
    except ValueError:
        raise UserError(f"ratio is a number or several as 2/4/8, got {value!r}") from None

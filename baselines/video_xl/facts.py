"""Compare what a reference folder says in words and sums of the published 7B model: its tensors, prompts and bytes.

Kept from `parity`, which compares tensors: these files may be absent, and need the 7B sizes, not the tiny ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from baselines.video_xl import config
from baselines.video_xl.config import VideoXLConfig
from baselines.video_xl.model import build, rename, unused
from baselines.video_xl.prompt import around
from baselines.video_xl.ratios import SEED, RatioRule
from niah.adapters.checkpoint import mismatches
from niah.adapters.config_reader import read_config
from niah.adapters.parity import Parity

LAYOUT, FACTS = "checkpoint_layout_7b.json", "facts.json"
HALF = 2  # bytes


def compare(parity: Parity, folder: Path) -> None:
    """Compare the layout and the facts, each where it is there."""
    settings: VideoXLConfig | None = None
    if (folder / LAYOUT).is_file():
        parity.uses(folder / LAYOUT)
        layout = read_config(folder, LAYOUT)
        settings, names = seven_billion(layout), expand(layout)
        parity.equal(f"{LAYOUT}: mismatches", mismatches(build(settings), names, rename, unused(settings)), [])
        parity.equal(f"{LAYOUT}: tensors", len(names), layout["num_tensors"])
    if (folder / FACTS).is_file():
        parity.uses(folder / FACTS)
        _facts(parity, read_config(folder, FACTS), settings)


def seven_billion(layout: Mapping[str, Any]) -> VideoXLConfig:
    """Return the configuration that a checkpoint_layout file assumes.

    It does not say which of the tower's states is selected, and no name or shape depends on it.
    """
    assumed = {"mm_vision_select_layer": -2, **layout["config_assumed"]}
    return config.parse(assumed, layout["vision_config_assumed"])


def expand(layout: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return every tensor name and shape of a checkpoint_layout file."""
    names = {entry["name"]: tuple(entry["shape"]) for entry in layout["single"]}
    for group in layout["repeated"]:
        for number in range(*group["index_range"]):
            for entry in group["tensors"]:
                name = group["name_pattern"].format(i=number, suffix=entry["suffix"])
                names[name] = tuple(entry["shape"])
    return names


def _facts(parity: Parity, facts: Mapping[str, Any], settings: VideoXLConfig | None) -> None:
    """Compare prompts and draws, and bytes of the cache where the layout gave the sizes."""
    prompts, beacon = facts["prompts"], facts["beacon"]
    for style in ("chat", "niah"):
        before, after = around(style, "{question}")
        parity.equal(f"{FACTS}: prompt {style}", f"{before}<image>{after}", prompts[style])
    parity.equal(f"{FACTS}: system of vnbench", prompts["vnbench_system"] in around("vnbench", "")[0], True)
    draws = beacon["first_draws_for_2_4_8"]
    window, rng = beacon["window"], np.random.default_rng(SEED)
    picked = RatioRule((2, 4, 8)).pick([window] * len(draws), window, window * len(draws), 1, rng)
    parity.equal(f"{FACTS}: first draws of 2, 4, 8", picked, draws)
    if settings is None:
        return
    language, tokens, cache = settings.language, settings.vision.tokens, facts["kv_cache"]
    token = 2 * language.layers * language.key_value_heads * language.head * HALF
    parity.equal(f"{FACTS}: bytes of a token", token, cache["bytes_per_token_fp16"])
    parity.equal(f"{FACTS}: bytes of a frame", token * tokens, cache["bytes_per_frame_uncompressed"])
    for ratio in (2, 4, 8, 16):
        got = token * (tokens // ratio)
        parity.equal(f"{FACTS}: bytes of a frame at ratio {ratio}", got, cache[f"bytes_per_frame_ratio_{ratio}"])

"""Read a released ViLaMP's config.json into sizes and behaviour, refusing what was never released.

Every odd value is named at once, with what was wanted and what came. Keys that the release never looks at when it
answers (`mm_vision_select_layer`, `image_aspect_ratio`, `mm_newline_position`, ...) are not looked at here either, keys
that are missing have the release's defaults, and `rope_scaling` is forced off, whatever it says, as in the release.
What is passed over although it says something else is warned of, in the worker's log.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from niah.adapters.config_reader import read_config
from niah.settings import unknown_name
from niah.types import UserError
from vilamp.release.behaviour import CHOICES, RELEASE, Behaviour
from vilamp.release.tower_sizes import (
    CLIP,
    SIGLIP,
    SIGLIP_PICTURE,
    ClipSizes,
    PictureSizes,
    TransformerSizes,
    is_count,
    is_number,
    read_clip,
    read_siglip,
)

# What the code computes; a config that says otherwise belongs to another model.
FIXED: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("silu",),
    "mm_projector_type": ("mlp2x_gelu",),
    "mm_resampler_type": (None,),
    "mm_patch_merge_type": ("spatial_unpad",),  # with "flat" there would be no newline
    "mm_vision_select_feature": ("patch",),
    "frame_selector_type": ("SeqFrameSelector",),
    "activate_frame_selector": (True,),
    "activate_pre_fusion": (False,),
    "composer_proj_mlp_depth": (2,),
    "use_sliding_window": (False, None),
    "tie_word_embeddings": (False,),
    "attention_bias": (True,),
    "mm_use_im_start_end": (False,),
}
HEADS = ("hidden_size", "num_attention_heads", "num_key_value_heads")
REQUIRED = (*HEADS, "intermediate_size", "num_hidden_layers", "vocab_size")
DEFAULTS = {"max_frame_num": 32, "f2f_thrd": 0.85}  # the release's, for a config that lacks the key
WHOLE = "a whole number from 1 up"
Check = Callable[[Any], bool]
VALUES: dict[str, tuple[Check, str]] = {  # key -> what it must be
    **{name: (is_count, WHOLE) for name in (*REQUIRED, "max_frame_num")},
    "max_position_embeddings": (is_count, WHOLE),
    "mm_spatial_pool_stride": (lambda value: value is None or is_count(value), WHOLE),  # null: bilinear has none
    "tokenizer_model_max_length": (lambda value: value is None or is_count(value), f"{WHOLE}, or null for no limit"),
    "f2f_thrd": (is_number, "a number"),
    "f2t_thrd": (is_number, "a number"),
    "rms_norm_eps": (lambda value: is_number(value) and value > 0, "a number above 0"),
    "rope_theta": (lambda value: is_number(value) and value > 0, "a number above 0"),
    "composer_type": (lambda value: isinstance(value, str), "one of " + ", ".join(CHOICES["composer"])),
    "mm_spatial_pool_mode": (CHOICES["pool"].__contains__, "one of " + ", ".join(CHOICES["pool"])),
}
OTHERS = ("mm_hidden_size", "composer_proj_dim", "head_dim", "rope_parameters", "rope_scaling")
KEYS = (*FIXED, *VALUES, *OTHERS)  # what is looked at, so what an override can change
RELEVANCE_FLOOR = 0.2  # the release's class default of f2t_thrd


@dataclass(frozen=True)
class LanguageSizes:
    """The Qwen2 language model."""

    stack: TransformerSizes
    key_value_heads: int
    vocabulary: int
    positions: int
    rope_theta: float


@dataclass(frozen=True)
class ReleaseConfig:
    """Everything a checkpoint folder says but the weights."""

    siglip: TransformerSizes
    siglip_picture: PictureSizes
    clip: ClipSizes
    language: LanguageSizes
    keyframes: int  # K
    threshold: float  # tau_f
    longest: int | None  # tokens of a whole sequence; None: the release cuts nothing
    behaviour: Behaviour = RELEASE
    unknown_composer: str | None = None  # a composer_type of the config that no release had; tensors may decide

    def __post_init__(self) -> None:
        stride, grid = self.behaviour.pool_stride, self.siglip_picture.grid
        if self.behaviour.pool in ("average", "max") and stride > grid:
            raise UserError(
                f"mm_spatial_pool_stride must be at most {grid}, the edge of a frame's grid of patches, got {stride}"
            )
        widths = self.clip.width, self.siglip.hidden_size
        if self.behaviour.relevance == "cosine" and widths[0] != widths[1]:
            raise UserError(
                f"relevance=cosine needs queries and patches of one width, got {widths[0]} and {widths[1]}: "
                "leave relevance=learned, which goes through the checkpoint's maps"
            )

    @property
    def patches(self) -> int:
        """Patches a frame."""
        return self.siglip_picture.grid**2


def read_release(folder: Path, overrides: Mapping[str, Any] | None = None) -> ReleaseConfig:
    """Return the config of a checkpoint folder; `overrides` replace keys of its config.json.

    Raises UserError naming every odd value at once.
    """
    for name in overrides or {}:
        if name not in KEYS:
            raise UserError(unknown_name("key of config.json", name, KEYS))
    found = {**read_config(folder), **(overrides or {})}
    return config_of(found, f"config.json of {folder.name}", *read_siglip(folder), read_clip(folder))


def config_of(
    found: Mapping[str, Any],
    name: str,
    siglip: TransformerSizes = SIGLIP,
    picture: PictureSizes = SIGLIP_PICTURE,
    clip: ClipSizes = CLIP,
) -> ReleaseConfig:
    """Return the config that the keys of a config.json and two towers make; `name` is for errors.

    Raises UserError naming every odd value at once.
    """
    found = _with_defaults(found, name)
    wrong = _odd(found)
    for key, width in (("mm_hidden_size", siglip.hidden_size), ("composer_proj_dim", clip.width)):
        if found.get(key, width) not in (width, None):
            wrong.append(f"{key} must be {width}, the tower's width, got {found[key]!r}")
    if not wrong:
        wrong = _heads(found)
    if wrong:
        raise UserError(f"{name} cannot be used:" + "".join(f"\n  {line}" for line in wrong))
    longest = found.get("tokenizer_model_max_length")
    return ReleaseConfig(
        siglip,
        picture,
        clip,
        _language(found),
        found["max_frame_num"],
        float(found["f2f_thrd"]),
        longest,
        _behaviour(found),
        None if _composer(found) in CHOICES["composer"] else found["composer_type"],
    )


def _with_defaults(found: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the keys with the release's defaults for missing ones; warn of what is passed over."""
    told = [
        f"{key} is missing, {value} is taken, as in the release" for key, value in DEFAULTS.items() if key not in found
    ]
    place = found.get("mm_newline_position", "one_token")
    if place != "one_token":
        told.append(f"mm_newline_position {place!r} is not read: one newline follows the last frame, as in the release")
    composer = _composer(found)
    if isinstance(composer, str) and composer not in CHOICES["composer"]:
        told.append(f"composer_type {composer!r} is none of {', '.join(CHOICES['composer'])}: the tensors decide")
    for line in told:
        warnings.warn(f"{name}: {line}", stacklevel=3)
    return {**DEFAULTS, **found}


def _composer(found: Mapping[str, Any]) -> Any:
    """Return which composer a config names; "average_pooling_27" averages too, as in the release."""
    named = found.get("composer_type", "single_token")  # the class default; tensor names decide before it
    return "average_pooling" if isinstance(named, str) and "average_pooling" in named else named


def _odd(found: Mapping[str, Any]) -> list[str]:
    """Return in words what is missing and what must be otherwise."""
    wrong = [f"{name} is missing, wanted {VALUES[name][1]}" for name in REQUIRED if name not in found]
    wrong += [
        f"{name} must be {known[0]!r}, as in ViLaMP, got {found[name]!r}"
        for name, known in FIXED.items()
        if name in found and found[name] not in known
    ]
    wrong += [
        f"{name} must be {words}, got {found[name]!r}"
        for name, (good, words) in VALUES.items()
        if name in found and not good(found[name])
    ]
    rope = found.get("rope_parameters") or {}
    if not isinstance(rope, Mapping):
        wrong.append(f"rope_parameters must be an object, got {rope!r}")
    elif "rope_theta" not in found:
        good, words = VALUES["rope_theta"]
        if "rope_theta" not in rope:
            wrong.append(f"rope_theta is missing, wanted {words}")
        elif not good(rope["rope_theta"]):
            wrong.append(f"rope_parameters' rope_theta must be {words}, got {rope['rope_theta']!r}")
    strided = found.get("mm_spatial_pool_mode") in ("average", "max")
    if strided and found.get("mm_spatial_pool_stride") is None:
        wrong.append(f"mm_spatial_pool_stride is missing, wanted {WHOLE}")
    return wrong


def _behaviour(found: Mapping[str, Any]) -> Behaviour:
    """Return the release's behaviour with the values a config holds."""
    composer = _composer(found)
    return RELEASE.with_settings(
        relevance_floor=float(found.get("f2t_thrd", RELEVANCE_FLOOR)),
        composer=composer if composer in CHOICES["composer"] else "single_token",
        pool=found.get("mm_spatial_pool_mode", "bilinear"),
        pool_stride=found.get("mm_spatial_pool_stride") or 2,
    )


def _heads(found: Mapping[str, Any]) -> list[str]:
    """Return what does not divide."""
    width, heads, groups = (found[name] for name in HEADS)
    wrong = []
    if width % heads:
        wrong.append(f"hidden_size {width} is no multiple of num_attention_heads {heads}")
    elif found.get("head_dim") not in (None, width // heads):
        whole = f"hidden_size / num_attention_heads = {width // heads}"
        wrong.append(f"head_dim must be {whole}, got {found['head_dim']!r}")
    if heads % groups:
        wrong.append(f"num_attention_heads {heads} is no multiple of num_key_value_heads {groups}")
    return wrong


def _language(found: Mapping[str, Any]) -> LanguageSizes:
    """Read the language model."""
    stack = TransformerSizes(
        found["hidden_size"],
        found["intermediate_size"],
        found["num_hidden_layers"],
        found["num_attention_heads"],
        float(found.get("rms_norm_eps", 1e-6)),
    )
    theta = found["rope_theta"] if "rope_theta" in found else found["rope_parameters"]["rope_theta"]
    positions = found.get("max_position_embeddings", 32768)
    return LanguageSizes(stack, found["num_key_value_heads"], found["vocab_size"], positions, float(theta))

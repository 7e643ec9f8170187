"""Read a released ViLaMP's config.json into sizes and behaviour, refusing what was never released.

The sizes of the two towers are not in config.json: it names them, and the release takes
SigLIP's from its class defaults and CLIP's from the folder `clip_model_path` names. Here
`siglip_tower.json` and `clip_selector.json` beside it win, else they are those of the 7B model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from niah.adapters.checkpoint import read_config
from niah.types import UserError
from vilamp.release.behaviour import CHOICES, RELEASE, Behaviour

# What the code computes; a config that says otherwise belongs to another model.
FIXED: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("silu",),
    "mm_projector_type": ("mlp2x_gelu",),
    "mm_resampler_type": (None,),
    "mm_newline_position": ("one_token",),
    "mm_vision_select_feature": ("patch",),
    "frame_selector_type": ("SeqFrameSelector",),
    "activate_frame_selector": (True,),
    "activate_pre_fusion": (False,),
    "composer_proj_mlp_depth": (2,),
    "use_sliding_window": (False,),
    "tie_word_embeddings": (False,),
    "mm_use_im_start_end": (False,),
}
REQUIRED = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
COUNTS = (*REQUIRED, "vocab_size", "max_frame_num")
RELEVANCE_FLOOR = 0.2  # the release's class default of f2t_thrd


@dataclass(frozen=True)
class TransformerSizes:
    """A stack of pre-norm blocks."""

    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    eps: float


@dataclass(frozen=True)
class PictureSizes:
    """What a tower takes: square pictures cut into patches, and how their colours are scaled."""

    side: int
    patch: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def grid(self) -> int:
        """Patches along one edge; what is left over at the right and below is not looked at."""
        return self.side // self.patch


@dataclass(frozen=True)
class ClipSizes:
    """The selector's two towers."""

    vision: TransformerSizes
    picture: PictureSizes
    text: TransformerSizes
    vocabulary: int
    positions: int
    width: int  # of the space both are projected to


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
    longest: int  # tokens of a whole sequence
    behaviour: Behaviour = RELEASE

    @property
    def patches(self) -> int:
        """Patches a frame."""
        return self.siglip_picture.grid**2


def read_release(folder: Path, overrides: Mapping[str, Any] | None = None) -> ReleaseConfig:
    """Return the config of a checkpoint folder; `overrides` replace keys of its config.json.

    Raises UserError naming every odd value at once.
    """
    found = {**read_config(folder), **(overrides or {})}
    siglip, picture = _siglip(folder)
    wrong = [
        f"{name} is {found[name]!r}, ViLaMP has {known[0]!r}"
        for name, known in FIXED.items()
        if name in found and found[name] not in known
    ]
    wrong += [f"{name} is missing" for name in ("max_frame_num", "f2f_thrd", *REQUIRED) if name not in found]
    wrong += [
        f"{name} must be a whole number from 1 up, got {found[name]!r}"
        for name in COUNTS
        if name in found and (not isinstance(found[name], int) or isinstance(found[name], bool) or found[name] < 1)
    ]
    wrong += [
        f"{name} must be a number, got {found[name]!r}"
        for name in ("f2f_thrd", "f2t_thrd", "rope_theta", "rms_norm_eps")
        if name in found and not _is_number(found[name])
    ]
    wrong += [
        f"{name} {found[name]!r} is unknown; known: {', '.join(CHOICES[field])}"
        for name, field in (("composer_type", "composer"), ("mm_spatial_pool_mode", "pool"))
        if name in found and found[name] not in CHOICES[field]
    ]
    if found.get("mm_hidden_size", siglip.hidden_size) != siglip.hidden_size:
        wrong.append(f"mm_hidden_size is {found['mm_hidden_size']}, the vision tower's width is {siglip.hidden_size}")
    clip = _clip(folder)
    if found.get("composer_proj_dim", clip.width) != clip.width:
        wrong.append(f"composer_proj_dim is {found['composer_proj_dim']}, CLIP projects to {clip.width}")
    if not wrong:
        wrong = _heads(found)
    if wrong:
        raise UserError(f"config.json of {folder.name} cannot be used:" + "".join(f"\n  {line}" for line in wrong))
    language = _language(found)
    longest = found.get("tokenizer_model_max_length") or language.positions
    return ReleaseConfig(
        siglip, picture, clip, language, found["max_frame_num"], float(found["f2f_thrd"]), longest, _behaviour(found)
    )


def _behaviour(found: Mapping[str, Any]) -> Behaviour:
    """Return the release's behaviour with the values a config holds."""
    return RELEASE.with_settings(
        relevance_floor=float(found.get("f2t_thrd", RELEVANCE_FLOOR)),
        composer=found.get("composer_type", "single_token"),  # the class default; tensor names decide before it
        pool=found.get("mm_spatial_pool_mode", "bilinear"),
        pool_stride=found.get("mm_spatial_pool_stride", 2),
    )


def _heads(found: Mapping[str, Any]) -> list[str]:
    """Return what does not divide."""
    width, heads, groups = (found[n] for n in ("hidden_size", "num_attention_heads", "num_key_value_heads"))
    wrong = []
    if width % heads:
        wrong.append(f"hidden_size {width} is no multiple of num_attention_heads {heads}")
    if heads % groups:
        wrong.append(f"num_attention_heads {heads} is no multiple of num_key_value_heads {groups}")
    return wrong


def _language(found: Mapping[str, Any]) -> LanguageSizes:
    """Read the language model; `rope_scaling` is forced off, whatever the config says, as in the release."""
    stack = TransformerSizes(
        found["hidden_size"],
        found["intermediate_size"],
        found["num_hidden_layers"],
        found["num_attention_heads"],
        float(found.get("rms_norm_eps", 1e-6)),
    )
    theta = found.get("rope_theta") or (found.get("rope_parameters") or {}).get("rope_theta", 1e6)
    return LanguageSizes(
        stack,
        found["num_key_value_heads"],
        found.get("vocab_size", 152064),
        found.get("max_position_embeddings", 32768),
        float(theta),
    )


def _siglip(folder: Path) -> tuple[TransformerSizes, PictureSizes]:
    """Return SigLIP so400m/14 at 384 without its last block, or what `siglip_tower.json` says."""
    half = (0.5, 0.5, 0.5)
    if not (folder / "siglip_tower.json").is_file():
        return TransformerSizes(1152, 4304, 26, 16, 1e-6), PictureSizes(384, 14, half, half)
    found = _Reader(folder, "siglip_tower.json")
    found.must_be("hidden_act", "gelu_pytorch_tanh")
    stack = found.stack(found.values, "num_hidden_layers_kept", 1e-6)
    return stack, found.picture(found.values, found.values.get("image_mean", half), found.values.get("image_std", half))


def _clip(folder: Path) -> ClipSizes:
    """Return CLIP ViT-B/32, or what `clip_selector.json` says."""
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    if not (folder / "clip_selector.json").is_file():
        vision, text = TransformerSizes(768, 3072, 12, 12, 1e-5), TransformerSizes(512, 2048, 12, 8, 1e-5)
        return ClipSizes(vision, PictureSizes(224, 32, mean, std), text, 49408, 77, 512)
    found = _Reader(folder, "clip_selector.json")
    vision, text = found.part("vision_config"), found.part("text_config")
    for part in (vision, text):
        if part.get("hidden_act", "quick_gelu") != "quick_gelu":
            raise UserError(f"clip_selector.json: hidden_act is {part['hidden_act']!r}, ViLaMP's CLIP has quick_gelu")
    colours = found.values.get("preprocess", {})
    return ClipSizes(
        found.stack(vision, "num_hidden_layers", 1e-5),
        found.picture(vision, colours.get("image_mean", mean), colours.get("image_std", std)),
        found.stack(text, "num_hidden_layers", 1e-5),
        found.count(text, "vocab_size"),
        found.count(text, "max_position_embeddings"),
        found.count(found.values, "projection_dim"),
    )


class _Reader:
    """Reads the two towers' files, naming file and key where one is odd."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name, self.values = name, read_config(folder, name)

    def count(self, values: Mapping[str, Any], key: str) -> int:
        """Return a whole number from 1 up."""
        found = values.get(key)
        if not isinstance(found, int) or isinstance(found, bool) or found < 1:
            raise UserError(f"{self.name}: {key} must be a whole number from 1 up, got {found!r}")
        return found

    def part(self, key: str) -> Mapping[str, Any]:
        """Return an object within the object."""
        if not isinstance(self.values.get(key), dict):
            raise UserError(f"{self.name}: {key} must be an object, got {self.values.get(key)!r}")
        return self.values[key]

    def must_be(self, key: str, wanted: str) -> None:
        """Refuse another value."""
        if self.values.get(key, wanted) != wanted:
            raise UserError(f"{self.name}: {key} is {self.values[key]!r}, ViLaMP has {wanted!r}")

    def stack(self, values: Mapping[str, Any], layers: str, eps: float) -> TransformerSizes:
        """Read a stack of blocks; its heads must divide its width."""
        width, heads = self.count(values, "hidden_size"), self.count(values, "num_attention_heads")
        if width % heads:
            raise UserError(f"{self.name}: hidden_size {width} is no multiple of num_attention_heads {heads}")
        mlp, eps = self.count(values, "intermediate_size"), values.get("layer_norm_eps", eps)
        return TransformerSizes(width, mlp, self.count(values, layers), heads, eps)

    def picture(self, values: Mapping[str, Any], mean: Any, std: Any) -> PictureSizes:
        """Read the size of pictures; at least one patch must fit."""
        side, patch = self.count(values, "image_size"), self.count(values, "patch_size")
        if patch > side:
            raise UserError(f"{self.name}: patch_size {patch} is larger than image_size {side}")
        return PictureSizes(side, patch, tuple(mean), tuple(std))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)

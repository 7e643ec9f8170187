"""Sizes of the two towers of a released ViLaMP, which its config.json names and does not hold.

The release takes SigLIP's from its class defaults and CLIP's from the folder `clip_model_path` names.
Here `siglip_tower.json` and `clip_selector.json` beside config.json win, else they are the 7B model's.
A key that says what this code does not compute is refused with file, key, what was wanted and what came.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from niah.adapters.config_reader import read_config
from niah.types import UserError

SIGLIP_FILE, CLIP_FILE = "siglip_tower.json", "clip_selector.json"
BICUBIC = ("bicubic", 3)  # by name, or Pillow's number for it
COLOURS = ("resize_shortest_edge", "center_crop", "resample", "image_mean", "image_std")
ARGMAX = 2  # an `eos_token_id` of 2 makes CLIP's code take the largest id for the end of the text


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


HALF = (0.5, 0.5, 0.5)
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
# SigLIP so400m/14 at 384 without its last block, and CLIP ViT-B/32
SIGLIP = TransformerSizes(1152, 4304, 26, 16, 1e-6)
SIGLIP_PICTURE = PictureSizes(384, 14, HALF, HALF)
CLIP = ClipSizes(
    TransformerSizes(768, 3072, 12, 12, 1e-5),
    PictureSizes(224, 32, MEAN, STD),
    TransformerSizes(512, 2048, 12, 8, 1e-5),
    vocabulary=49408,
    positions=77,
    width=512,
)


def read_siglip(folder: Path) -> tuple[TransformerSizes, PictureSizes]:
    """Return the vision tower of a checkpoint folder. Raises UserError for the first odd key."""
    if not (folder / SIGLIP_FILE).is_file():
        return SIGLIP, SIGLIP_PICTURE
    found = _Part(SIGLIP_FILE, read_config(folder, SIGLIP_FILE))
    found.one_of("hidden_act", ("gelu_pytorch_tanh",))
    found.one_of("resample", BICUBIC)
    stack = found.stack("num_hidden_layers_kept", 1e-6)
    found.one_of("num_hidden_layers_built", (stack.layers + 1,))  # the release deletes the last one
    return stack, found.picture(found.colours("image_mean", HALF), found.colours("image_std", HALF))


def read_clip(folder: Path) -> ClipSizes:
    """Return the selector's towers of a checkpoint folder. Raises UserError for the first odd key."""
    if not (folder / CLIP_FILE).is_file():
        return CLIP
    found = _Part(CLIP_FILE, read_config(folder, CLIP_FILE))
    vision, text = found.part("vision_config"), found.part("text_config")
    colours = found.part("preprocess", {})
    for part in (vision, text):
        part.one_of("hidden_act", ("quick_gelu",))
    picture = vision.picture(colours.colours("image_mean", MEAN), colours.colours("image_std", STD))
    colours.known(COLOURS)
    colours.one_of("resample", BICUBIC)
    for key in ("resize_shortest_edge", "center_crop"):
        colours.one_of(key, (picture.side,))
    vocabulary = text.count("vocab_size")
    text.one_of("eos_token_id", (ARGMAX, vocabulary - 1))  # both are the largest id
    return ClipSizes(
        vision.stack("num_hidden_layers", 1e-5),
        picture,
        text.stack("num_hidden_layers", 1e-5),
        vocabulary,
        text.count("max_position_embeddings"),
        found.count("projection_dim"),
    )


class _Part:
    """An object of a towers' file, read key by key; errors name the file, the object within it and the key."""

    def __init__(self, name: str, values: Mapping[str, Any]) -> None:
        self.name, self.values = name, values

    def part(self, key: str, absent: Mapping[str, Any] | None = None) -> _Part:
        """Return an object within the object."""
        found = self.values.get(key, absent)
        if not isinstance(found, Mapping):
            raise UserError(f"{self.name}: {key} must be an object, got {found!r}")
        return _Part(f"{self.name}, {key}", found)

    def count(self, key: str) -> int:
        """Return a whole number from 1 up."""
        found = self.values.get(key)
        if not is_count(found):
            raise UserError(f"{self.name}: {key} must be a whole number from 1 up, got {found!r}")
        return found

    def one_of(self, key: str, wanted: tuple[Any, ...]) -> None:
        """Refuse another value; an absent key is what the release takes for it."""
        if key in self.values and self.values[key] not in wanted:
            raise UserError(f"{self.name}: {key} must be {wanted[0]!r}, as in ViLaMP, got {self.values[key]!r}")

    def known(self, keys: tuple[str, ...]) -> None:
        """Refuse a key that is none of these."""
        for key in self.values:
            if key not in keys:
                raise UserError(f"{self.name}: {key} is unknown, wanted {', '.join(keys)}")

    def colours(self, key: str, absent: tuple[float, ...]) -> tuple[float, ...]:
        """Return three numbers; a spread must be positive."""
        found = self.values.get(key, absent)
        good = isinstance(found, (list, tuple)) and len(found) == 3 and all(map(is_number, found))
        if not good or (key == "image_std" and min(found) <= 0):
            kind = "positive numbers" if key == "image_std" else "numbers"
            raise UserError(f"{self.name}: {key} must be three {kind}, one a colour, got {found!r}")
        return tuple(found)

    def stack(self, layers: str, eps: float) -> TransformerSizes:
        """Read a stack of blocks; its heads must divide its width."""
        width, heads = self.count("hidden_size"), self.count("num_attention_heads")
        if width % heads:
            raise UserError(f"{self.name}: hidden_size {width} is no multiple of num_attention_heads {heads}")
        small = self.values.get("layer_norm_eps", eps)
        if not is_number(small) or small <= 0:
            raise UserError(f"{self.name}: layer_norm_eps must be a number above 0, got {small!r}")
        return TransformerSizes(width, self.count("intermediate_size"), self.count(layers), heads, float(small))

    def picture(self, mean: tuple[float, ...], std: tuple[float, ...]) -> PictureSizes:
        """Read the size of pictures; at least one patch must fit."""
        side, patch = self.count("image_size"), self.count("patch_size")
        if patch > side:
            raise UserError(f"{self.name}: patch_size {patch} is larger than image_size {side}")
        return PictureSizes(side, patch, mean, std)


def is_count(value: Any) -> TypeGuard[int]:
    """Return True if a value is a whole number from 1 up."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def is_number(value: Any) -> bool:
    """Return True if a value is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)

"""What a VideoChat-Flash folder's config.json says, checked once.

The 7B code has the tower's sizes as constants, so its config names only "umt-hd-large" (448 px) or
"umt-large" (224 px); a small test checkpoint spells them out under `tiny_vision`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from niah.types import UserError

TOKENS_PER_FRAME = 16
TYPES = ("attention", "uniform", "uniform0_attention", "uniform1_attention")
_REQUIRED = (
    "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size",
    "vocab_size", "rms_norm_eps", "max_position_embeddings", "mm_vision_tower", "mm_projector_type", "mm_hidden_size",
)  # fmt: skip
_FIXED = {  # other values are other models: nothing of them is built here
    "mm_projector_type": "tome16_mlp_hd64",
    "hidden_act": "silu",
    "use_sliding_window": False,
    "mm_newline_position": "nothing",
    "frame_aspect_ratio": "square",
}
_UMT_LARGE = {
    "patch_size": 16, "embed_dim": 1024, "depth": 24, "num_heads": 16, "tubelet_size": 1, "mlp_ratio": 4.0,
    "block_layer_norm_eps": 1e-6, "final_layer_norm_eps": 1e-12,
}  # fmt: skip


@dataclass(frozen=True)
class TowerConfig:
    """Sizes of the UMT video tower."""

    image_size: int
    patch_size: int
    width: int
    heads: int
    blocks: int  # built and run: one fewer than the published depth
    intermediate: int
    clip_frames: int
    block_eps: float
    final_eps: float
    merge_heads: int  # slices of the width that merging averages over; no config says, the 7B model has the tower's 16

    def __post_init__(self) -> None:
        if self.image_size % self.patch_size or self.width % self.heads or self.blocks < 1 or self.clip_frames < 1:
            raise UserError(
                f"the tower needs image_size divisible by patch_size, width by heads, a block and a frame; got {self}"
            )

    @property
    def grid(self) -> int:
        """Patches along one side of a frame."""
        return self.image_size // self.patch_size

    @property
    def clip_tokens(self) -> int:
        """Tokens a clip is merged to: 16 a frame, where it has so many."""
        return min(TOKENS_PER_FRAME, self.grid**2) * self.clip_frames


@dataclass(frozen=True)
class LanguageConfig:
    """Sizes of the Qwen2 language model; `rope_scaling` acts only with `rope: exact`, as in the release."""

    width: int
    layers: int
    heads: int
    key_value_heads: int
    intermediate: int
    vocabulary: int
    norm_eps: float
    rope_theta: float
    positions: int
    tied: bool
    rope_scaling: Mapping[str, Any] | None

    def __post_init__(self) -> None:
        if self.width % self.heads or self.heads % self.key_value_heads or self.layers < 1:
            raise UserError(
                f"the language model needs width divisible by heads, heads by key-value heads; got {self}"
            )

    @property
    def head_width(self) -> int:
        """Channels of one attention head."""
        return self.width // self.heads

    @property
    def scaling(self) -> str:
        """Which kind `rope_scaling` is."""
        return str((self.rope_scaling or {}).get("rope_type", "default"))


@dataclass(frozen=True)
class Dropout:
    """Where the language model drops visual tokens: `ratios` of the original number, one more than `layers`."""

    kind: str
    layers: tuple[int, ...]
    ratios: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        object.__setattr__(self, "ratios", tuple(float(ratio) for ratio in self.ratios))
        falling = all(one >= other > 0 for one, other in zip(self.ratios, self.ratios[1:], strict=False))
        rising = all(one < other for one, other in zip((0, *self.layers), self.layers, strict=False))
        if self.kind not in TYPES:
            raise UserError(f"dropout is one of {', '.join(TYPES)}; got {self.kind!r}")
        if len(self.ratios) != len(self.layers) + 1 or self.ratios[0] != 1 or not falling or not rising:
            raise UserError(
                "dropout needs rising layers from 1 on and one more ratio than layers, from 1 falling but above 0; "
                f"got layers {list(self.layers)}, ratios {list(self.ratios)}"
            )


@dataclass(frozen=True)
class VideoChatFlashConfig:
    """A whole model. `limit` is where the release cuts the sequence; `dropout` is None where it is off."""

    tower: TowerConfig
    language: LanguageConfig
    limit: int | None
    dropout: Dropout | None
    end_ids: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.dropout and self.dropout.layers and self.dropout.layers[-1] >= self.language.layers:
            raise UserError(f"dropout at layer {self.dropout.layers[-1]}, but there are {self.language.layers} layers")


def read(row: Mapping[str, Any]) -> VideoChatFlashConfig:
    """Return the model that a config.json describes; raises UserError naming the keys that are missing or other."""
    missing = [key for key in _REQUIRED if key not in row]
    if missing:
        raise UserError(f"config.json of a VideoChat-Flash folder lacks {', '.join(missing)}; is it another model's?")
    other = [f"{key}={row[key]!r}, not {want!r}" for key, want in _FIXED.items() if row.get(key, want) != want]
    if other:
        raise UserError(f"config.json describes a model that is not built here: {'; '.join(other)}")
    end = row.get("eos_token_id")
    return VideoChatFlashConfig(
        tower=_tower(row),
        language=_language(row),
        limit=row.get("tokenizer_model_max_length"),
        dropout=stored_dropout(row) if row.get("mm_llm_compress") else None,
        end_ids=() if end is None else tuple(end) if isinstance(end, list) else (end,),
    )


def stored_dropout(row: Mapping[str, Any]) -> Dropout:
    """Return the dropout a config.json spells out, used or not; where it says nothing, the code's own default."""
    return Dropout(
        row.get("llm_compress_type", "attention"),
        tuple(row.get("llm_compress_layer_list", (8, 16, 24))),
        tuple(row.get("llm_image_token_ratio_list", (1.0, 0.5, 0.25, 0.125))),
    )


def _tower(row: Mapping[str, Any]) -> TowerConfig:
    name = str(row["mm_vision_tower"])
    if "umt" not in name:
        raise UserError(f"the vision tower here is UMT-L (umt-large, umt-hd-large); config.json wants {name!r}")
    large = {**_UMT_LARGE, "image_size": 448 if "umt-hd" in name else 224}
    sizes = {**large, "num_frames": row.get("mm_local_num_frames", 4), **row.get("tiny_vision", {})}
    unknown = sorted(set(sizes) - {*large, "num_frames"})
    if unknown or sizes["tubelet_size"] != 1 or sizes["embed_dim"] != row["mm_hidden_size"]:
        raise UserError(
            f"the tower needs tubelet_size 1, embed_dim equal to mm_hidden_size and no keys beyond "
            f"{sorted(large)}; got {sizes}, mm_hidden_size {row['mm_hidden_size']}"
        )
    select = row.get("mm_vision_select_layer", -2)
    return TowerConfig(
        image_size=sizes["image_size"],
        patch_size=sizes["patch_size"],
        width=sizes["embed_dim"],
        heads=sizes["num_heads"],
        blocks=sizes["depth"] + 1 + select if select < 0 else select,  # -2: the last block is neither built nor run
        intermediate=int(sizes["embed_dim"] * sizes["mlp_ratio"]),
        clip_frames=sizes["num_frames"],
        block_eps=sizes["block_layer_norm_eps"],
        final_eps=sizes["final_layer_norm_eps"],
        merge_heads=sizes["num_heads"],
    )


def _language(row: Mapping[str, Any]) -> LanguageConfig:
    rope = row.get("rope_parameters") or {}  # where transformers 5 writes what earlier versions spread out
    theta = row.get("rope_theta", rope.get("rope_theta"))
    if theta is None:
        raise UserError("config.json of a VideoChat-Flash folder lacks rope_theta")
    scaling = dict(row.get("rope_scaling") or {key: value for key, value in rope.items() if key != "rope_theta"})
    if "type" in scaling:  # its name in older configs
        scaling["rope_type"] = scaling.pop("type")
    return LanguageConfig(
        width=row["hidden_size"],
        layers=row["num_hidden_layers"],
        heads=row["num_attention_heads"],
        key_value_heads=row["num_key_value_heads"],
        intermediate=row["intermediate_size"],
        vocabulary=row["vocab_size"],
        norm_eps=row["rms_norm_eps"],
        rope_theta=float(theta),
        positions=row["max_position_embeddings"],
        tied=row.get("tie_word_embeddings", False),
        rope_scaling=scaling or None,
    )

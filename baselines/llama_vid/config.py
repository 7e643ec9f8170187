"""Sizes of a LLaMA-VID, read from the release's own `config.json` and BERT's, checked once.

The release keeps the tower's sizes in its code; a small checkpoint names its own under
`tiny_vision`. A setting this port does not follow is refused, never ignored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from niah.types import UserError


@dataclass(frozen=True)
class Vision:
    """EVA-ViT-g without its last block: it is never built, and neither is the final norm."""

    image_size: int = 224
    patch_size: int = 14
    width: int = 1408
    blocks: int = 39
    heads: int = 16
    mlp_ratio: float = 4.3637
    layer_norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        if self.image_size % self.patch_size or self.width % self.heads:
            raise UserError(
                f"the tower needs patches that tile the image and heads that share the width evenly, got image_size "
                f"{self.image_size}, patch_size {self.patch_size}, width {self.width}, {self.heads} heads; mend "
                "tiny_vision in config.json"
            )

    @property
    def patches(self) -> int:
        """Patches of one frame, the class row not counted."""
        return (self.image_size // self.patch_size) ** 2

    @property
    def mlp_width(self) -> int:
        """Width inside a block's feed-forward; cut to a whole number as the release does."""
        return int(self.width * self.mlp_ratio)


@dataclass(frozen=True)
class QFormer:
    """BERT sizes of the Q-Former; `vocabulary` counts the extra [DEC] token."""

    vocabulary: int = 30523
    width: int = 768
    layers: int = 12
    heads: int = 12
    mlp_width: int = 3072
    positions: int = 512
    layer_norm_eps: float = 1e-12
    activation: str = "gelu"
    padding: int = 0


@dataclass(frozen=True)
class Language:
    """LLaMA; `rope_factor` divides positions (1 for the short-video model)."""

    vocabulary: int = 32000
    width: int = 4096
    layers: int = 32
    heads: int = 32
    key_value_heads: int = 32
    mlp_width: int = 11008
    positions: int = 4096  # length of the rotary table made at start-up
    rms_norm_eps: float = 1e-5
    activation: str = "silu"
    rope_theta: float = 10000.0
    rope_factor: float = 1.0
    tied: bool = False
    start: int = 1
    end: int = 2

    @property
    def head_width(self) -> int:
        """Channels of one attention head."""
        return self.width // self.heads


@dataclass(frozen=True)
class LlamaVidConfig:
    """A whole LLaMA-VID; without arguments the 7B short-video model at 224 px."""

    vision: Vision = Vision()
    qformer: QFormer = QFormer()
    language: Language = Language()
    queries: int = 32
    compress: str | None = "mean"  # "mean", "grid:G" or None: how patches become content tokens
    projector_layers: int = 2
    long_video: bool = False  # trained with features and the movie prompt

    @property
    def grid(self) -> int | None:
        """G of "grid:G", else None."""
        return int(self.compress[5:]) if self.compress and self.compress.startswith("grid:") else None


def parse(config: Mapping[str, Any], bert: Mapping[str, Any]) -> LlamaVidConfig:
    """Read the release's config.json and the Q-Former's BERT config.json.

    Raises UserError naming a missing key, or one whose value this port does not follow.
    """
    _refuse_what_is_not_followed(config)
    vision = _vision(config.get("tiny_vision"), _need(config, "mm_hidden_size"))
    return LlamaVidConfig(
        vision=vision,
        qformer=_qformer(bert),
        language=_language(config),
        queries=_need(config, "num_query"),
        compress=_compress(config.get("compress_type"), vision),
        projector_layers=_projector_layers(_need(config, "mm_projector_type")),
        long_video=config.get("rope_scaling") is not None,
    )


def _need(config: Mapping[str, Any], key: str, file: str = "config.json") -> Any:
    if key not in config:
        raise UserError(f"LLaMA-VID's {file} must have {key!r}; it has {sorted(config)}")
    return config[key]


def _refuse_what_is_not_followed(config: Mapping[str, Any]) -> None:
    if not str(_need(config, "bert_type")).startswith("qformer"):
        raise UserError(f"only Q-Former checkpoints are known (bert_type qformer...), got {config['bert_type']!r}")
    wanted = {"mm_vision_select_feature": "patch", "mm_use_im_start_end": False, "mm_use_im_patch_token": False}
    for key, value in wanted.items():
        if config.get(key, value) != value:
            raise UserError(f"LLaMA-VID with {key} {config[key]!r} is not supported, only {value!r}")


def _vision(sizes: Mapping[str, Any] | None, width: int) -> Vision:
    """Return the tower's sizes: the release's constants unless the checkpoint names its own."""
    vision = Vision()
    if sizes is not None:
        file = "config.json under tiny_vision"
        vision = Vision(
            image_size=_need(sizes, "image_size", file),
            patch_size=_need(sizes, "patch_size", file),
            width=_need(sizes, "embed_dim", file),
            blocks=_need(sizes, "depth", file),
            heads=_need(sizes, "num_heads", file),
            mlp_ratio=_need(sizes, "mlp_ratio", file),
            layer_norm_eps=_need(sizes, "layer_norm_eps", file),
        )
    if vision.width != width:
        raise UserError(f"config.json says mm_hidden_size {width}, but the tower is {vision.width} wide")
    return vision


def _qformer(bert: Mapping[str, Any]) -> QFormer:
    file = "BERT config.json"
    return QFormer(
        vocabulary=_need(bert, "vocab_size", file) + 1,  # the release adds [DEC]
        width=_need(bert, "hidden_size", file),
        layers=_need(bert, "num_hidden_layers", file),
        heads=_need(bert, "num_attention_heads", file),
        mlp_width=_need(bert, "intermediate_size", file),
        positions=_need(bert, "max_position_embeddings", file),
        layer_norm_eps=_need(bert, "layer_norm_eps", file),
        activation=_need(bert, "hidden_act", file),
        padding=_need(bert, "pad_token_id", file),
    )


def _language(config: Mapping[str, Any]) -> Language:
    scaling = config.get("rope_scaling") or {}
    kind = scaling.get("rope_type", scaling.get("type", "linear"))
    if kind != "linear":
        raise UserError(f"LLaMA-VID scales RoPE linearly or not at all, got rope_scaling {dict(scaling)!r}")
    return Language(
        vocabulary=_need(config, "vocab_size"),
        width=_need(config, "hidden_size"),
        layers=_need(config, "num_hidden_layers"),
        heads=_need(config, "num_attention_heads"),
        key_value_heads=config.get("num_key_value_heads", config["num_attention_heads"]),
        mlp_width=_need(config, "intermediate_size"),
        positions=_need(config, "max_position_embeddings"),
        rms_norm_eps=_need(config, "rms_norm_eps"),
        activation=_need(config, "hidden_act"),
        rope_theta=config.get("rope_theta", 10000.0),  # the release's transformers had it as a constant
        rope_factor=float(_need(scaling, "factor", "rope_scaling") if scaling else 1.0),
        tied=_need(config, "tie_word_embeddings"),
        start=_need(config, "bos_token_id"),
        end=_need(config, "eos_token_id"),
    )


def _compress(kind: str | None, vision: Vision) -> str | None:
    if kind is None or kind == "mean":
        return kind
    grid = re.fullmatch(r"grid:([1-9]\d*)", kind)
    side = vision.image_size // vision.patch_size
    if grid is None or int(grid[1]) > side:
        raise UserError(f"compress_type is mean, grid:1 to grid:{side}, or absent, got {kind!r}")
    return kind


def _projector_layers(kind: str) -> int:
    found = re.fullmatch(r"mlp([1-9]\d*)x_gelu", kind)
    if found is None:
        raise UserError(f"mm_projector_type must be mlp<layers>x_gelu, got {kind!r}")
    return int(found[1])

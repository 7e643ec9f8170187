"""Sizes of a LLaMA-VID, read from the release's own `config.json` and BERT's, checked once.

The release keeps the tower's sizes in its code; a small checkpoint names its own under
`tiny_vision`. A setting this port does not follow is refused, never ignored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from niah.adapters.config_reader import JsonKeys
from niah.types import UserError

SUPPORTED = {  # an absent one has the value
    "mm_vision_select_feature": "patch", "mm_use_im_start_end": False, "mm_use_im_patch_token": False,
    "attention_bias": False, "mlp_bias": False,
}  # fmt: skip


@dataclass(frozen=True)
class EvaConfig:
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
                f"{self.image_size}, patch_size {self.patch_size}, width {self.width}, {self.heads} heads; fix "
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
class QFormerConfig:
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
class LlamaSizes:
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

    vision: EvaConfig = EvaConfig()
    qformer: QFormerConfig = QFormerConfig()
    language: LlamaSizes = LlamaSizes()
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

    Raises UserError naming every key that is missing, of the wrong kind, or whose value this port does not follow.
    """
    raw = JsonKeys("config.json", config)
    raw.only(SUPPORTED)
    if not str(raw.get("bert_type")).startswith("qformer"):
        raw.wrong.append(f"only Q-Former checkpoints are known (bert_type qformer...), got {raw.get('bert_type')!r}")
    vision = _vision(raw.get("tiny_vision"), raw)
    found = LlamaVidConfig(
        vision=vision,
        qformer=_qformer(bert),
        language=_language(raw),
        queries=raw.whole("num_query"),
        compress=_compress(raw, vision),
        projector_layers=_projector_layers(raw),
        long_video=raw.get("rope_scaling") is not None,
    )
    raw.complain()
    return found


def _vision(given: Any, raw: JsonKeys) -> EvaConfig:
    """Return the tower's sizes: the release's constants unless the checkpoint names its own."""
    vision = EvaConfig()
    if given is not None:
        sizes = JsonKeys("tiny_vision in config.json", given)
        vision_sizes = {
            "image_size": sizes.whole("image_size"),
            "patch_size": sizes.whole("patch_size"),
            "width": sizes.whole("embed_dim"),
            "blocks": sizes.whole("depth"),
            "heads": sizes.whole("num_heads"),
        }
        ratio, epsilon = sizes.number("mlp_ratio"), sizes.number("layer_norm_eps")
        sizes.complain()
        vision = EvaConfig(**vision_sizes, mlp_ratio=ratio, layer_norm_eps=epsilon)
    if raw.whole("mm_hidden_size") != vision.width:
        raw.wrong.append(f"mm_hidden_size is {raw.get('mm_hidden_size')}, but the tower is {vision.width} wide")
    return vision


def _qformer(bert: Mapping[str, Any]) -> QFormerConfig:
    raw = JsonKeys("BERT's config.json", bert)
    raw.only({"position_embedding_type": "absolute"})
    found = QFormerConfig(
        vocabulary=raw.whole("vocab_size") + 1,  # the release adds [DEC]
        width=raw.whole("hidden_size"),
        layers=raw.whole("num_hidden_layers"),
        heads=raw.whole("num_attention_heads"),
        mlp_width=raw.whole("intermediate_size"),
        positions=raw.whole("max_position_embeddings"),
        layer_norm_eps=raw.number("layer_norm_eps"),
        activation=raw.one_of("hidden_act", ("gelu", "relu", "gelu_new")),
        padding=raw.whole("pad_token_id", least=0),
    )
    if found.width % found.heads:
        raw.wrong.append(f"hidden_size {found.width} does not divide into {found.heads} heads")
    raw.complain()
    return found


def _language(raw: JsonKeys) -> LlamaSizes:
    heads = raw.whole("num_attention_heads")
    theta = raw.get("rope_parameters")  # where transformers 5 writes it; the release's had it as a constant
    language = LlamaSizes(
        vocabulary=raw.whole("vocab_size"),
        width=raw.whole("hidden_size"),
        layers=raw.whole("num_hidden_layers"),
        heads=heads,
        key_value_heads=raw.whole("num_key_value_heads", heads),
        mlp_width=raw.whole("intermediate_size"),
        positions=raw.whole("max_position_embeddings"),
        rms_norm_eps=raw.number("rms_norm_eps"),
        activation=raw.one_of("hidden_act", ("silu",)),
        rope_theta=raw.number("rope_theta", theta.get("rope_theta") if isinstance(theta, dict) else 10000.0),
        rope_factor=_rope_factor(raw),
        tied=raw.flag("tie_word_embeddings", False),
        start=raw.whole("bos_token_id", least=0),
        end=raw.whole("eos_token_id", least=0),
    )
    if language.width % heads or language.head_width % 2 or heads % language.key_value_heads:
        raw.wrong.append(
            f"hidden_size {language.width}, {heads} heads and {language.key_value_heads} key/value heads make no heads "
            "of an even number of channels"
        )
    raw.only({"head_dim": language.head_width})
    return language


def _rope_factor(raw: JsonKeys) -> float:
    """Return what positions are divided by."""
    given = raw.get("rope_scaling")
    if given is None:
        return 1.0
    scaling = JsonKeys("rope_scaling in config.json", given)
    kind = scaling.get("rope_type", scaling.get("type", "linear"))
    if kind != "linear":
        scaling.wrong.append(f"LLaMA-VID scales RoPE linearly or not at all, got {dict(scaling)!r}")
    factor = scaling.number("factor")
    scaling.complain()
    return factor


def _compress(raw: JsonKeys, vision: EvaConfig) -> str | None:
    kind = raw.get("compress_type")
    if kind is None or kind == "mean":
        return kind
    grid = re.fullmatch(r"grid:([1-9]\d*)", str(kind))
    side = vision.image_size // vision.patch_size
    if grid is None or int(grid[1]) > side:
        raw.wrong.append(f"compress_type is mean, grid:1 to grid:{side}, or absent, got {kind!r}")
    return str(kind)


def _projector_layers(raw: JsonKeys) -> int:
    kind = raw.get("mm_projector_type")
    found = re.fullmatch(r"mlp([1-9]\d*)x_gelu", str(kind))
    if found is None:
        raw.wrong.append(f"mm_projector_type must be mlp<layers>x_gelu, got {kind!r}")
    return int(found[1]) if found else 1

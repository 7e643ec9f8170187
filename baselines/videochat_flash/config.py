"""What a VideoChat-Flash folder's config.json says, checked once.

The 7B code has the tower's sizes as constants, so its config names only "umt-hd-large" (448 px) or
"umt-large" (224 px); a small test checkpoint spells them out under `tiny_vision`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from niah.adapters.config_reader import JsonKeys
from niah.types import UserError

TOKENS_PER_FRAME = 16
TYPES = ("attention", "uniform", "uniform0_attention", "uniform1_attention")
_FIXED = {  # other values are other models: nothing of them is built here
    "mm_projector_type": "tome16_mlp_hd64",
    "hidden_act": "silu",
    "use_sliding_window": False,
    "mm_newline_position": "nothing",
    "frame_aspect_ratio": "square",
    "mm_use_im_start_end": False,
    "attention_bias": True,
    "mlp_bias": False,
}
_LISTS = ("llm_compress_layer_list", "llm_image_token_ratio_list")
_UMT_LARGE = {
    "patch_size": 16, "embed_dim": 1024, "depth": 24, "num_heads": 16, "tubelet_size": 1, "mlp_ratio": 4.0,
    "block_layer_norm_eps": 1e-6, "final_layer_norm_eps": 1e-12,
}  # fmt: skip


@dataclass(frozen=True)
class UmtConfig:
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
class DroppingQwen2Config:
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
        if self.width % self.heads or self.heads % self.key_value_heads or self.head_width % 2:
            raise UserError(
                f"the language model needs heads of an even width, and heads by key-value heads; got {self}"
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
class TokenDropout:
    """Where the language model drops visual tokens: `ratios` of the original number, one more than `layers`."""

    kind: str
    layers: Sequence[int]
    ratios: Sequence[int | float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        object.__setattr__(self, "ratios", tuple(float(ratio) for ratio in self.ratios))
        falling = all(one >= other > 0 for one, other in zip(self.ratios, self.ratios[1:], strict=False))
        rising = all(one < other for one, other in zip((0, *self.layers), self.layers, strict=False))
        rising = rising and all(isinstance(layer, int) for layer in self.layers)
        if self.kind not in TYPES:
            raise UserError(f"dropout is one of {', '.join(TYPES)}; got {self.kind!r}")
        if len(self.ratios) != len(self.layers) + 1 or self.ratios[0] != 1 or not falling or not rising:
            raise UserError(
                "dropout needs rising layers from 1 up and one more ratio than layers, from 1 falling but above 0; "
                f"got layers {list(self.layers)}, ratios {list(self.ratios)}"
            )


@dataclass(frozen=True)
class VideoChatFlashConfig:
    """A whole model. `limit` is where the release cuts the sequence; `dropout` is None where it is off."""

    tower: UmtConfig
    language: DroppingQwen2Config
    limit: int | None
    dropout: TokenDropout | None
    end_ids: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.dropout and self.dropout.layers and self.dropout.layers[-1] >= self.language.layers:
            raise UserError(f"dropout at layer {self.dropout.layers[-1]}, but there are {self.language.layers} layers")


def read(row: Mapping[str, Any]) -> VideoChatFlashConfig:
    """Return the model that a config.json describes.

    Raises UserError naming every key that is missing, of the wrong kind, or of a model that is not built here.
    """
    raw = JsonKeys("config.json", row)
    raw.only(_FIXED)
    if "mm_projector_type" not in raw:
        raw.wrong.append("mm_projector_type is not there; is it another model's?")
    language, tower = _language(raw), _tower(raw)
    limit = None if raw.get("tokenizer_model_max_length") is None else raw.whole("tokenizer_model_max_length")
    compress, end = raw.flag("mm_llm_compress", False), raw.wholes("eos_token_id")
    raw.complain()
    return VideoChatFlashConfig(tower, language, limit, stored_dropout(row) if compress else None, end)


def stored_dropout(row: Mapping[str, Any]) -> TokenDropout:
    """Return the dropout a config.json spells out, used or not; where it says nothing, the code's own default."""
    for name in _LISTS:
        value = row.get(name, [])
        listed = value if isinstance(value, (list, tuple)) else [None]
        if any(isinstance(one, bool) or not isinstance(one, (int, float)) for one in listed):
            raise UserError(f"{name} of config.json must be a list of numbers, got {value!r}")
    return TokenDropout(
        row.get("llm_compress_type", "attention"),
        tuple(row.get("llm_compress_layer_list", (8, 16, 24))),
        tuple(row.get("llm_image_token_ratio_list", (1.0, 0.5, 0.25, 0.125))),
    )


def _tower(raw: JsonKeys) -> UmtConfig:
    """Read the tower: the constants of its name, but for what `tiny_vision` spells out."""
    name = str(raw.get("mm_vision_tower"))
    if "umt" not in name:
        raw.wrong.append(f"the vision tower here is UMT-L (umt-large, umt-hd-large); mm_vision_tower is {name!r}")
    large = {**_UMT_LARGE, "image_size": 448 if "umt-hd" in name else 224}
    given = JsonKeys("tiny_vision in config.json", raw.get("tiny_vision", {}))
    unknown = sorted(set(given) - {*large, "num_frames"})
    if unknown:
        given.wrong.append(f"no keys beyond {sorted({*large, 'num_frames'})} are known, got {unknown}")
    sizes = JsonKeys(given.name, {**large, "num_frames": raw.whole("mm_local_num_frames", 4), **given})
    sizes.wrong = given.wrong
    sizes.only({"tubelet_size": 1})
    depth, select = sizes.whole("depth"), raw.get("mm_vision_select_layer", -2)
    if isinstance(select, bool) or not isinstance(select, int) or not -depth <= select <= depth or not select:
        raw.wrong.append(f"mm_vision_select_layer must be from 1 to {depth} or from -{depth} to -1, got {select!r}")
        select = -1
    width = sizes.whole("embed_dim")
    if raw.whole("mm_hidden_size") != width:
        raw.wrong.append(f"mm_hidden_size is {raw.get('mm_hidden_size')}, but the tower is {width} wide")
    heads, intermediate = sizes.whole("num_heads"), int(width * sizes.number("mlp_ratio"))
    found = {
        "image_size": sizes.whole("image_size"), "patch_size": sizes.whole("patch_size"),
        "clip_frames": sizes.whole("num_frames"), "block_eps": sizes.number("block_layer_norm_eps"),
        "final_eps": sizes.number("final_layer_norm_eps"),
    }  # fmt: skip
    sizes.complain()
    blocks = depth + 1 + select if select < 0 else select  # -2: the last block is neither built nor run
    return UmtConfig(width=width, heads=heads, blocks=blocks, intermediate=intermediate, merge_heads=heads, **found)


def _language(raw: JsonKeys) -> DroppingQwen2Config:
    given = raw.get("rope_parameters")  # where transformers 5 writes what earlier versions spread out
    rope = dict(given) if isinstance(given, Mapping) else {}
    scaling = raw.get("rope_scaling") or {key: value for key, value in rope.items() if key != "rope_theta"}
    scaling = dict(JsonKeys("rope_scaling in config.json", scaling))
    if "type" in scaling:  # its name in older configs
        scaling["rope_type"] = scaling.pop("type")
    names = {
        "width": "hidden_size", "layers": "num_hidden_layers", "heads": "num_attention_heads",
        "key_value_heads": "num_key_value_heads", "intermediate": "intermediate_size", "vocabulary": "vocab_size",
        "positions": "max_position_embeddings",
    }  # fmt: skip
    sizes = {own: raw.whole(name) for own, name in names.items()}
    epsilon, theta = raw.number("rms_norm_eps"), raw.number("rope_theta", rope.get("rope_theta"))
    tied = raw.flag("tie_word_embeddings", False)
    raw.complain()
    found = DroppingQwen2Config(**sizes, norm_eps=epsilon, rope_theta=theta, tied=tied, rope_scaling=scaling or None)
    raw.only({"head_dim": found.head_width})
    raw.complain()
    return found


# The released 7B model and the settings people run it with, as config.json would say them.
RELEASED: Mapping[str, Any] = {  # res224 differs in mm_vision_tower alone
    "hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4,
    "intermediate_size": 18944, "vocab_size": 152064, "rms_norm_eps": 1e-6, "rope_theta": 1e6,
    "max_position_embeddings": 32768, "mm_vision_tower": "umt-hd-large", "mm_hidden_size": 1024,
    "mm_projector_type": "tome16_mlp_hd64", "tokenizer_model_max_length": 32768, "mm_llm_compress": False,
}  # fmt: skip
TINY: Mapping[str, Any] = {
    **RELEASED, "hidden_size": 32, "num_hidden_layers": 20, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 56, "vocab_size": 260, "mm_hidden_size": 32,
    "tiny_vision": {"image_size": 96, "embed_dim": 32, "depth": 3, "num_heads": 4},
}  # fmt: skip
CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "7b": RELEASED,
    "7b-224": {**RELEASED, "mm_vision_tower": "umt-large"},
    "tiny": TINY,
}
DROPOUTS: Mapping[str, TokenDropout] = {
    "card": TokenDropout("uniform0_attention", (4, 18), (1, 0.75, 0.25)),  # the model card's example
    "wrapper": TokenDropout("attention", (24,), (1, 0.5)),  # set by the evaluation wrapper, which leaves the switch off
    "code": TokenDropout("attention", (8, 16, 24), (1, 0.5, 0.25, 0.125)),  # the code's default
}

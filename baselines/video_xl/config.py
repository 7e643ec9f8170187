"""What a Video-XL is made of: frozen dataclasses, read from the JSON files of a released checkpoint.

`config.json` must be there; the tower's and the image processor's files may be absent, as
in a release that only names its tower: then the numbers of OpenAI's CLIP-L/14-336 hold.
Settings of the release that this code does not follow are refused, not ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baselines.video_xl.compress import RatioRule
from niah.adapters.config_reader import JsonKeys, read_config
from niah.adapters.preprocess import CLIP_MEAN, CLIP_STD
from niah.types import UserError

CLIP_L_336 = {
    "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
    "image_size": 336, "patch_size": 14, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5,
}  # fmt: skip
# Options of the release that have one supported value; an absent one has it.
SUPPORTED = {
    "beacon_pos": "interleave", "beacon_attn": "full-coverage", "beacon_attend_prev": True, "beacon_sink_size": 0,
    "beacon_parallel_window": 1, "beacon_param": ["q", "k", "v"],
    "mm_projector_type": "mlp2x_gelu", "mm_resampler_type": "spatial_pool", "mm_spatial_pool_mode": "average",
    "mm_vision_select_feature": "patch", "hidden_act": "silu", "use_sliding_window": False,
    "enable_beacon": True, "mm_use_im_start_end": False, "attention_bias": True, "mlp_bias": False,
}  # fmt: skip


@dataclass(frozen=True)
class ClipConfig:
    """The CLIP tower; `layers` are those that are run, of `all_layers` in the checkpoint."""

    hidden: int
    intermediate: int
    layers: int
    all_layers: int
    heads: int
    image: int  # pixels along an edge
    patch: int
    epsilon: float
    activation: str  # "quick_gelu" or "gelu"
    pool: int = 2  # patches along an edge that become one token

    @property
    def side(self) -> int:
        """Patches along one edge of a frame."""
        return self.image // self.patch

    @property
    def tokens(self) -> int:
        """Visual tokens a frame becomes."""
        return (self.side // self.pool) ** 2


@dataclass(frozen=True)
class PixelConfig:
    """CLIP's preprocessing: shortest edge resized to `side`, centre cropped to a square of it, standardised."""

    side: int
    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_STD


@dataclass(frozen=True)
class SummaryQwen2Config:
    """Qwen2. Any rope scaling in the file is overwritten with none by the release's constructor, so it is not read."""

    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    key_value_heads: int
    head: int  # channels of a head
    epsilon: float
    rope_theta: float
    max_positions: int
    tied: bool = False


@dataclass(frozen=True)
class VideoXLConfig:
    """All of it; `window` counts visual tokens."""

    vision: ClipConfig
    pixels: PixelConfig
    language: SummaryQwen2Config
    window: int
    rule: RatioRule
    stop_ids: frozenset[int]


def read(folder: Path) -> VideoXLConfig:
    """Read a checkpoint folder. Raises UserError naming every key that is missing or has an unsupported value."""
    beside = [
        read_config(folder, name) if (folder / name).is_file() else None
        for name in ("clip_vision_config.json", "preprocessor_config.json")
    ]
    return parse(read_config(folder), *beside)


def parse(
    model: Mapping[str, Any], tower: Mapping[str, Any] | None = None, processor: Mapping[str, Any] | None = None
) -> VideoXLConfig:
    """Read what the three files hold; None where a file is absent. Raises UserError like `read`."""
    raw = JsonKeys("config.json", model)
    raw.only(SUPPORTED)
    raw.only({"beacon_stride": raw.get("beacon_window")})
    vision, language = _vision(tower, raw), _language(raw)
    window, ratios, stops = raw.whole("beacon_window"), raw.wholes("beacon_ratio"), raw.wholes("eos_token_id")
    raw.complain()
    return VideoXLConfig(
        vision=vision,
        pixels=_pixels(processor, vision.image),
        language=language,
        window=window,
        rule=RatioRule(ratios, str(raw.get("beacon_ratio_mix", "step-random"))),
        stop_ids=frozenset(stops),
    )


def _vision(sizes: Mapping[str, Any] | None, raw: JsonKeys) -> ClipConfig:
    """Read the tower, from its own file or by its name."""
    name = str(raw.get("mm_vision_tower"))
    if sizes is None and "clip-vit-large-patch14-336" not in name:
        raise UserError(f"the vision tower is {name!r}, and no clip_vision_config.json gives its sizes: add one")
    tower = JsonKeys("clip_vision_config.json", CLIP_L_336 if sizes is None else sizes)
    depth = tower.whole("num_hidden_layers")
    select = raw.get("mm_vision_select_layer")
    if isinstance(select, bool) or not isinstance(select, int) or not -depth - 1 <= select <= depth:
        raw.wrong.append(f"mm_vision_select_layer must be between {-depth - 1} and {depth}, got {select!r}")
        select = -1
    found = ClipConfig(
        hidden=tower.whole("hidden_size"),
        intermediate=tower.whole("intermediate_size"),
        layers=select if select >= 0 else depth + 1 + select,  # hidden state 0 is what the first layer reads
        all_layers=depth,
        heads=tower.whole("num_attention_heads"),
        image=tower.whole("image_size"),
        patch=tower.whole("patch_size"),
        epsilon=tower.number("layer_norm_eps", CLIP_L_336["layer_norm_eps"]),
        activation=tower.one_of("hidden_act", ("quick_gelu", "gelu"), "quick_gelu"),
        pool=raw.whole("mm_spatial_pool_stride"),
    )
    if found.hidden % found.heads or found.tokens < 1:
        tower.wrong.append(f"{found.heads} heads, {found.side}x{found.side} patches pooled by {found.pool}: do not fit")
    tower.complain()
    if raw.get("mm_hidden_size", found.hidden) != found.hidden:
        raw.wrong.append(f"mm_hidden_size is {raw['mm_hidden_size']}, the tower's is {found.hidden}")
    return found


def _language(raw: JsonKeys) -> SummaryQwen2Config:
    """Read the language model; transformers 5 moves rope_theta into rope_parameters."""
    hidden, heads = raw.whole("hidden_size"), raw.whole("num_attention_heads")
    pairs = raw.whole("num_key_value_heads")
    if "rope_theta" not in raw and isinstance(raw.get("rope_parameters"), dict):
        raw["rope_theta"] = raw["rope_parameters"].get("rope_theta")
    head = raw.whole("head_dim", max(1, hidden // heads))
    if heads % pairs or head % 2 or ("head_dim" not in raw and hidden % heads):
        raw.wrong.append(
            f"hidden_size {hidden}, {heads} heads and {pairs} key/value heads make no heads of an even number of "
            "channels"
        )
    return SummaryQwen2Config(
        vocabulary=raw.whole("vocab_size"),
        hidden=hidden,
        intermediate=raw.whole("intermediate_size"),
        layers=raw.whole("num_hidden_layers"),
        heads=heads,
        key_value_heads=pairs,
        head=head,
        epsilon=raw.number("rms_norm_eps"),
        rope_theta=raw.number("rope_theta"),
        max_positions=raw.whole("max_position_embeddings"),
        tied=raw.flag("tie_word_embeddings", False),
    )


def _pixels(found: Mapping[str, Any] | None, image: int) -> PixelConfig:
    """Read the image processor's settings; absent ones are CLIP's."""
    raw = JsonKeys("preprocessor_config.json", found or {})
    for key in ("do_resize", "do_center_crop", "do_rescale", "do_normalize"):
        if raw.get(key, True) is not True:
            raw.wrong.append(f"{key} must be true, got {raw[key]!r}")
    if raw.get("resample", 3) != 3:
        raw.wrong.append(f"resample must be 3 (bicubic), got {raw['resample']!r}")
    if abs(raw.number("rescale_factor", 1 / 255) * 255 - 1) > 1e-6:
        raw.wrong.append(f"rescale_factor must be 1/255, got {raw['rescale_factor']!r}")
    size, crop = raw.get("size", image), raw.get("crop_size", image)
    edge = size.get("shortest_edge") if isinstance(size, dict) else size
    height, width = (crop.get("height"), crop.get("width")) if isinstance(crop, dict) else (crop, crop)
    if not (edge == height == width == image):
        raw.wrong.append(f"size {size!r} and crop_size {crop!r} must both be the tower's {image} pixels")
    mean, std = raw.get("image_mean", CLIP_MEAN), raw.get("image_std", CLIP_STD)
    if not (_three(mean) and _three(std) and min(std) > 0):
        raw.wrong.append(f"image_mean and image_std must hold 3 numbers, of std above 0, got {mean} and {std}")
    raw.complain()
    return PixelConfig(image, tuple(mean), tuple(std))


def _three(values: Any) -> bool:
    """Return True for three numbers."""
    return isinstance(values, (list, tuple)) and len(values) == 3 and all(isinstance(v, (int, float)) for v in values)

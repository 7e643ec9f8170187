"""Check this model against what a reference folder says of the 7B model: its tensors, its memory, its indices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from baselines.videochat_flash import dropout
from baselines.videochat_flash.config import TOKENS_PER_FRAME, Dropout, VideoChatFlashConfig, read
from baselines.videochat_flash.model import rename, unloaded
from baselines.videochat_flash.sizes import CONFIGS, DROPOUTS, RELEASED
from niah.adapters.checkpoint import mismatches
from niah.adapters.parity import Parity

_CHECKED = 9973  # the modulus that `sumsq_mod` of the recorded indices was made with


def check_layout(parity: Parity, layout: Mapping[str, Any]) -> None:
    """Compare every name and shape with the models of both resolutions, which take no memory here."""
    shapes = expand(layout["entries"])
    for size in ("7b", "7b-224"):
        model = unloaded(read(CONFIGS[size]))
        parity.equal(f"checkpoint layout, {size}", mismatches(model, shapes, rename), [])
        parts = {"language_model": model.language, "vision_tower": model.tower, "mm_projector": model.projector}
        counted = {name: sum(tensor.numel() for tensor in part.parameters()) for name, part in parts.items()}
        parity.equal(f"parameters by part, {size}", counted, layout["parameters_by_part"])
    parity.equal("checkpoint tensors", len(shapes), layout["tensors"])


def expand(entries: list[Mapping[str, Any]]) -> dict[str, tuple[int, ...]]:
    """Return name to shape; an entry with `i` stands for one tensor per index."""
    shapes: dict[str, tuple[int, ...]] = {}
    for entry in entries:
        if "i" not in entry:
            shapes[entry["name"]] = tuple(entry["shape"])
            continue
        first, last = (int(number) for number in entry["i"].split(".."))
        for index in range(first, last + 1):
            shapes[entry["name"].replace("{i}", str(index))] = tuple(entry["shape"])
    return shapes


def cache_bytes(config: VideoChatFlashConfig, text: int, visual: int, kind: Dropout | None) -> int:
    """Return the bytes of keys and values that a prompt leaves behind, at 2 bytes a number."""
    language = config.language
    seen = dropout.counts(kind, visual)
    layers = [len(stretch) for stretch in dropout.stretches(kind, language.layers)]
    tokens = sum(count * (text + left) for count, left in zip(layers, seen, strict=True))
    return tokens * 2 * language.key_value_heads * language.head_width * 2


def memory(parity: Parity, analysis: Mapping[str, Any]) -> None:
    """Compare the tokens and the cache of each length with the analysis, in its decimal GB."""
    config = read(RELEASED)
    names = {"4_18": DROPOUTS["card"], "24": DROPOUTS["wrapper"], "8_16_24": DROPOUTS["code"]}
    parity.equal("kv_bytes_per_token", cache_bytes(config, 0, 1, None), analysis["kv_bytes_per_token"])
    for row in analysis["rows"]:
        visual = TOKENS_PER_FRAME * row["frames"]
        text = row["lm_tokens"] - row["visual_tokens"]
        got = {"visual_tokens": visual, "kv_bytes_full": cache_bytes(config, text, visual, None)}
        for name, kind in names.items():
            got[f"kv_GB_dropout_{name}"] = round(cache_bytes(config, text, visual, kind) / 1e9, 2)
        parity.equal(f"memory at {row['frames']} frames", got, {key: row[key] for key in got})


def fingerprint(indices: list[int]) -> dict[str, Any]:
    """Return what the reference keeps of a long list of indices."""
    middle = len(indices) // 2
    return {
        "first": indices[:6],
        "mid": indices[max(0, middle - 2) : middle + 3],
        "last": indices[-6:],
        "sum": sum(indices),
        "sumsq_mod": sum((index % _CHECKED) ** 2 for index in indices),
        "unique": len(set(indices)),
    }

"""Checkpoints of the four releases at their true width, with two language layers: names, shapes and files as published.

Every tensor of the 7B layouts (`tests/reference/*/checkpoint_layout_7b.json`) but those of further language layers, in
float16, in shards with an index. The numbers are one drawn block, repeated: memory does not depend on them.
"""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from baselines.videochat_flash.config import RELEASED
from niah.adapters.parity import expand_layout
from tests.true_width.tokenizers import write_bert, write_llama, write_qwen

REFERENCE = Path(__file__).resolve().parents[1] / "reference"
LAYERS = 2
SHARD = 1 << 30  # bytes, but one tensor may be larger
BLOCK = 1 << 20  # numbers that are drawn
FURTHER = re.compile(r"model\.layers\.(\d+)\.")
TOWER = "model.vision_tower.vision_tower."  # which LLaMA-VID's release keeps in a file of LAVIS, without the prefix
NAMES = ("vilamp", "video_xl", "llama_vid", "videochat_flash")
Shapes = Mapping[str, tuple[int, ...]]


def write(name: str, folder: Path, shard: int = SHARD, layers: int = LAYERS) -> None:
    """Write the checkpoint of a release into a new folder: 2 to 4 GB."""
    folder.mkdir(parents=True)
    shapes, configs = {"vilamp": _vilamp, "video_xl": _video_xl, "llama_vid": _llama_vid}.get(name, _videochat_flash)()
    shapes = {one: shape for one, shape in shapes.items() if not _is_further(one, layers)}
    for file, values in configs.items():
        (folder / file).parent.mkdir(exist_ok=True)
        if file == "config.json":
            values = {**values, "num_hidden_layers": layers}
        (folder / file).write_text(json.dumps(values), encoding="utf-8")
    if name != "llama_vid":
        write_qwen(folder)
        _write_shards(folder, shapes, ".safetensors", shard)
        return
    write_llama(folder)
    write_bert(folder / "bert" / "vocab.txt")
    tower = {one.removeprefix(TOWER): shape for one, shape in shapes.items() if one.startswith(TOWER)}
    torch.save(dict(_tensors(tower)), folder / "eva_vit_g.pth")
    rest = {one: shape for one, shape in shapes.items() if not one.startswith(TOWER)}
    _write_shards(
        folder, {one: s for one, s in rest.items() if not one.endswith(("inv_freq", "position_ids"))}, ".bin", shard
    )


def numbers(name: str, layers: int = LAYERS) -> int:
    """Return how many numbers a checkpoint holds, those of two language layers alone."""
    shapes, _ = {"vilamp": _vilamp, "video_xl": _video_xl, "llama_vid": _llama_vid}.get(name, _videochat_flash)()
    return sum(math.prod(shape) for one, shape in shapes.items() if not _is_further(one, layers))


def _is_further(name: str, layers: int) -> bool:
    found = FURTHER.match(name)
    return found is not None and int(found[1]) >= layers


def _layout(name: str) -> dict[str, Any]:
    return json.loads((REFERENCE / name / "checkpoint_layout_7b.json").read_text(encoding="utf-8"))


def _vilamp() -> tuple[Shapes, dict[str, Any]]:
    layout = _layout("vilamp")
    shapes = expand_layout([*layout["common"], *layout["composer"]["sig_pooling"]])
    return shapes, {"config.json": layout["config_used"]}


def _video_xl() -> tuple[Shapes, dict[str, Any]]:
    layout = _layout("video_xl")
    shapes = {row["name"]: tuple(row["shape"]) for row in layout["single"]}
    for group in layout["repeated"]:
        for number in range(*group["index_range"]):
            for row in group["tensors"]:
                one = group["name_pattern"].replace("{i}", str(number)).replace("{suffix}", row["suffix"])
                shapes[one] = tuple(row["shape"])
    config = {**layout["config_assumed"], "mm_vision_select_layer": -2}  # the release's, which the layout does not name
    return shapes, {"config.json": config, "clip_vision_config.json": layout["vision_config_assumed"]}


def _llama_vid() -> tuple[Shapes, dict[str, Any]]:
    tiny = REFERENCE / "llama_vid" / "tiny_checkpoint"
    config, bert = (json.loads((tiny / name).read_text()) for name in ("config.json", "bert/config.json"))
    del config["tiny_vision"]
    config.update(hidden_size=4096, intermediate_size=11008, num_attention_heads=32, num_key_value_heads=32)
    config.update(vocab_size=32000, max_position_embeddings=4096, mm_hidden_size=1408, num_query=32)
    bert.update(hidden_size=768, intermediate_size=3072, num_attention_heads=12, num_hidden_layers=12)
    bert.update(vocab_size=30522, max_position_embeddings=512)
    return expand_layout(_layout("llama_vid")["entries"]), {"config.json": config, "bert/config.json": bert}


def _videochat_flash() -> tuple[Shapes, dict[str, Any]]:
    return expand_layout(_layout("videochat_flash")["entries"]), {"config.json": dict(RELEASED)}


def _tensors(shapes: Shapes) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield tensors of the drawn block; scales and temperatures are 1, which nothing divides by zero for."""
    block = torch.randn(BLOCK, generator=torch.Generator().manual_seed(0)).mul(0.02).half()
    for name, shape in shapes.items():
        count = math.prod(shape)
        if count == 1 or name.endswith("norm.weight"):
            yield name, torch.ones(shape, dtype=torch.float16)
        else:
            yield name, block.repeat(-(-count // BLOCK))[:count].view(shape)


def _write_shards(folder: Path, shapes: Shapes, suffix: str, limit: int) -> None:
    """Write tensors in their order into files of about `limit` bytes, and the index that names each one's file."""
    stem = "model" if suffix == ".safetensors" else "pytorch_model"
    parts: list[dict[str, tuple[int, ...]]] = [{}]
    for name, shape in shapes.items():
        if parts[-1] and 2 * (math.prod(shape) + sum(map(math.prod, parts[-1].values()))) > limit:
            parts.append({})
        parts[-1][name] = shape
    places = {}
    for number, part in enumerate(parts, start=1):
        file = f"{stem}-{number:05d}-of-{len(parts):05d}{suffix}"
        state = dict(_tensors(part))
        if suffix == ".safetensors":
            save_file(state, folder / file)
        else:
            torch.save(state, folder / file)
        places.update(dict.fromkeys(part, file))
    index = {"metadata": {"total_size": sum(2 * math.prod(shape) for shape in shapes.values())}, "weight_map": places}
    (folder / f"{stem}{suffix}.index.json").write_text(json.dumps(index), encoding="utf-8")


def remove(folder: Path) -> None:
    """Delete a checkpoint."""
    shutil.rmtree(folder)

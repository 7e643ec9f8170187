"""Find and load a released LLaMA-VID: the checkpoint, the tower's own file, and BERT's words.

The tower never comes from the checkpoint, even where that has one: so the release loads it.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import nn

from baselines.llama_vid.config import LlamaVidConfig, parse
from baselines.llama_vid.model import LlamaVid
from niah.adapters.checkpoint import load_into, locate, on_meta_device
from niah.adapters.config_reader import read_config
from niah.adapters.tensors import TensorSource, tensors, tensors_of
from niah.types import UserError

TOWER_FILES = ("eva_vit.safetensors", "eva_vit_g.safetensors", "eva_vit_g.pth")
BERT = "google-bert/bert-base-uncased"
FREQUENCIES = "*.rotary_emb.inv_freq"
POSITION_IDS = "model.vlm_att_encoder.bert.embeddings.position_ids"
IN_CHECKPOINT_TOWER = "model.vision_tower.*"
_ENCODER = "model.vlm_att_encoder.bert."


def rename(name: str) -> str:
    """Return what `LlamaVid` calls a tensor of the release."""
    if name.startswith("model.vision_tower."):
        return name.replace("model.vision_tower.vision_tower.", "vision_tower.", 1)
    if name.startswith(_ENCODER):
        name = re.sub(r"(attention)\.self\.", r"\1.attention.", name[len(_ENCODER) :])
        return "compressor.vlm_att_encoder." + name.replace("embeddings.LayerNorm", "embeddings.layernorm")
    if name.startswith(("model.vlm_", "model.mm_projector.")):
        return "compressor." + name.removeprefix("model.")
    return "language." + name


def bert_folder(folder: Path, bert: str | None) -> Path:
    """Return where BERT's config.json and vocab.txt lie: as named, beside the checkpoint, or on the hub."""
    if bert is None and (folder / "bert").is_dir():
        return folder / "bert"
    return locate(bert or BERT)


def read(folder: Path, name: str = "config.json", bert: str | None = None) -> LlamaVidConfig:
    """Read a checkpoint's sizes. Raises UserError naming what is missing or not followed."""
    return parse(read_config(folder, name), read_config(bert_folder(folder, bert)))


def load(
    folder: Path,
    config: LlamaVidConfig,
    *,
    tower: str | None = None,
    rope: str = "faithful",
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> LlamaVid:
    """Build a model and fill it from a checkpoint folder and the tower's file.

    Raises UserError naming every tensor that does not fit, and damaged or contradictory tables.
    """
    with on_meta_device():
        model = LlamaVid(config)
    tower_file = _tower_file(folder, tower)
    found = tensors(folder)
    frequencies = _frequencies(found, config.language.head_width)
    model.rotary.choose(rope, frequencies)
    _check_position_ids(found)
    mine = nn.ModuleDict({"compressor": model.compressor, "language": model.language})
    unused = (IN_CHECKPOINT_TOWER, FREQUENCIES, POSITION_IDS)
    load_into(mine, found, rename, unused=unused, device=device, dtype=dtype)
    of_tower = tensors_of(tower_file)
    known = set(model.vision_tower.state_dict())
    load_into(model.vision_tower, of_tower, unused=set(of_tower) - known, device=device, dtype=dtype)
    return model.eval()


def _tower_file(folder: Path, tower: str | None) -> Path:
    """Return the file of the vision tower."""
    if tower is not None:
        if not Path(tower).is_file():
            raise UserError(f"no file {tower!r}: tower= names the file of the vision tower, eva_vit_g.pth")
        return Path(tower)
    for name in TOWER_FILES:
        if (folder / name).is_file():
            return folder / name
    raise UserError(
        f"{folder.name} holds no vision tower: the release keeps it in a file of its own, eva_vit_g.pth of LAVIS; "
        f"put it there (as {' or '.join(TOWER_FILES)}) or name it by tower=FILE"
    )


def _frequencies(found: dict[str, TensorSource], head_width: int) -> torch.Tensor | None:
    """Return the rotary frequencies that every layer of the checkpoint holds, or None where none does."""
    names = sorted(name for name in found if name.endswith(".rotary_emb.inv_freq"))
    if not names:
        return None
    tables = {name: found[name].read().float() for name in names}
    first = tables[names[0]]
    if tuple(first.shape) != (head_width // 2,) or not (first.isfinite() & (first > 0)).all():
        raise UserError(f"{names[0]} must hold {head_width // 2} positive numbers, got shape {list(first.shape)}")
    others = [name for name, table in tables.items() if not torch.equal(table, first)]
    if others:
        raise UserError(
            f"all layers of a LLaMA turn by the same frequencies, but {', '.join(others)} differ from {names[0]}: "
            "the checkpoint is damaged; download it again"
        )
    return first


def _check_position_ids(found: dict[str, TensorSource]) -> None:
    """Raise UserError where the Q-Former's positions, which are only ever counted up, are something else."""
    if POSITION_IDS in found:
        stored = found[POSITION_IDS].read().flatten()
        if not torch.equal(stored, torch.arange(len(stored)).to(stored.dtype)):
            raise UserError(f"{POSITION_IDS} must count up from 0: the checkpoint is damaged; download it again")

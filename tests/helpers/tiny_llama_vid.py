"""The release's tiny LLaMA-VID, copied where a test may change it, and a video that counts what it is asked for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from tests.helpers import byte_tokenizer

REFERENCE = Path(__file__).resolve().parents[1] / "reference" / "llama_vid"
CHECKPOINT = REFERENCE / "tiny_checkpoint"
VOCABULARY = 120
State = dict[str, torch.Tensor]


def copy(folder: Path) -> Path:
    """Copy the checkpoint and give it a tokenizer, which the reference has not."""
    shutil.copytree(CHECKPOINT, folder)
    byte_tokenizer.write(folder, VOCABULARY)
    return folder


def change(folder: Path, edit: Callable[[State], None], file: str = "model.safetensors") -> Path:
    """Edit the tensors of a checkpoint's file in place."""
    state = load_file(folder / file)
    edit(state)
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / file)
    return folder


def configure(folder: Path, file: str = "config.json", **values: object) -> Path:
    """Change keys of a JSON file of a checkpoint."""
    found = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**found, **values}))
    return folder

"""The release's tiny LLaMA-VID, copied where a test may change it, and a video that counts what it is asked for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from niah.types import FrameKey
from tests import byte_tokenizer

REFERENCE = Path(__file__).resolve().parent / "reference" / "llama_vid"
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


class FakeVideo:
    """Frames of noise, each named by its source and number; counts what it decodes and how many at once."""

    decode_seconds = 0.0

    def __init__(self, *spans: tuple[str, int, int], fps: float = 1.0, side: int = 56) -> None:
        self.places = [(source, number) for source, start, stop in spans for number in range(start, stop)]
        self.fps, self.side = fps, side
        self.handed_out: set[int] = set()
        self.decoded, self.most = 0, 0

    def __len__(self) -> int:
        return len(self.places)

    def keys(self, start: int, stop: int) -> list[FrameKey]:
        return [FrameKey(source, str(number), "noise", "fake 1", number) for source, number in self.places[start:stop]]

    def iterate(self, chunk):
        raise NotImplementedError("LLaMA-VID asks for frames by index")

    def path(self):
        raise NotImplementedError("LLaMA-VID needs no file")

    def frames(self, indices):
        self.decoded, self.most = self.decoded + len(indices), max(self.most, len(indices))
        draws = [np.random.default_rng([ord(source), number]) for source, number in (self.places[i] for i in indices)]
        return np.stack([draw.integers(0, 256, (self.side, self.side, 3), dtype=np.uint8) for draw in draws])

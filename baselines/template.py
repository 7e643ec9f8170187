"""Wrap a published repository, in the interpreter it pins: copy this file and fill in the places marked HERE.

niah run --config mymodel.yaml        (what that holds: docs/wrapping_a_repository.md)

As it stands it wraps a repository with a package `published` whose load_model(weights, device) makes a
model with chat(frames, prompt). It imports on Python 3.9 with numpy alone: whatever the repository needs
stays inside the two functions, so that this file can be looked at where none of that is installed.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from niah.adapters.sampling import bin_centres
from niah.prompt import format_prompt
from niah.types import Question, Reply, UserError, Video


def make(weights: str, device: str) -> Any:
    """HERE: load the model as the repository's demo does, and return whatever `say` needs."""
    from published import load_model  # type: ignore[import-not-found]

    return load_model(weights, device)


def say(model: Any, frames: np.ndarray, prompt: str) -> str:
    """HERE: answer greedily about (frames, height, width, 3) uint8 RGB, which are none where the case is blind."""
    return model.chat(frames, prompt)


class Wrapped:
    """Shows the model frames at bin centres; keeps nothing between questions."""

    def __init__(self, model: Any, device: str, max_frames: int) -> None:
        self.model, self.device, self.max_frames = model, device, max_frames

    def answer(self, video: Video, question: Question) -> Reply:
        """Return what the repository's model says, and what it took."""
        if self.device.startswith("cuda"):
            import torch

            torch.cuda.reset_peak_memory_stats()
        used = tuple(bin_centres(len(video), self.max_frames))
        began, waited = time.perf_counter(), video.decode_seconds
        frames = video.frames(used)  # or video.path(), an mp4, where the repository insists on a file
        waited = video.decode_seconds - waited
        text = say(self.model, frames, format_prompt(question))
        seconds = time.perf_counter() - began - waited
        # HERE, where the repository says it: frame_size=(height, width), frame_times, finish_reason
        return Reply(text, frames_used=used, frames_kept=used, seconds={"answer": seconds}, **self._peaks())

    def _peaks(self) -> dict:
        """Return the device's peaks in bytes; none are known on a CPU."""
        if not self.device.startswith("cuda"):
            return {}
        import torch

        reserved = torch.cuda.max_memory_reserved()
        return {"peak_allocated_bytes": torch.cuda.max_memory_allocated(), "peak_reserved_bytes": reserved}


def load(repository: str, weights: str, max_frames: int = 32, device: str = "cpu", seed: int = 0) -> Wrapped:
    """Import from the folder `repository`, which need not be installed, and load `weights`."""
    del seed  # decoding is greedy
    folder = Path(repository).expanduser().resolve()
    if not folder.is_dir():
        raise UserError(f"repository must be a folder, the checkout of the model's code, got {repository!r}")
    sys.path.insert(0, str(folder))  # first, as several repositories install a package of one name
    return Wrapped(make(weights, device), device, max_frames)

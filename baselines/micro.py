"""The micro models that ship for the rivals: the same small language model and encoders, with a rival's compressor.

They are no released models and say nothing about those. What they share, and how they are trained, is in
configs/train/rivals.yaml.
"""

from __future__ import annotations

from typing import Any

from niah.types import Adapter
from vilamp.adapter import load

MICRO = "micro"  # the checkpoint of whoever names none


def load_micro(name: str, device: str, seed: int, **options: Any) -> Adapter:
    """Return the micro model with the compressor of a rival. Raises UserError for settings of released checkpoints."""
    return load(pretrained=f"micro-{name}", device=device, seed=seed, **options)

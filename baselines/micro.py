"""The micro models that ship for the rivals: the same small language model and encoders, with a rival's compressor.

They are no released models and say nothing about those. What they share, and how they are trained, is in
configs/train/rivals.yaml.
"""

from __future__ import annotations

from typing import Any

from niah.types import Adapter, UserError
from vilamp import checkpoint
from vilamp.adapter import load

MICRO = "micro"  # the checkpoint of whoever names none
SCHEMES = {"video_xl": "summary", "llama_vid": "llama_vid", "videochat_flash": "videochat_flash"}  # of each rival


def is_micro(pretrained: str) -> bool:
    """Return True for `micro`, for another checkpoint that ships, and for a folder that `niah train` wrote."""
    return pretrained == MICRO or checkpoint.is_ours(pretrained)


def load_micro(name: str, pretrained: str, device: str, seed: int, **options: Any) -> Adapter:
    """Return a micro model with the compressor of a rival.

    Raises UserError for settings of released checkpoints, and for a checkpoint with another compressor.
    """
    pretrained = f"micro-{name}" if pretrained == MICRO else pretrained
    trained = checkpoint.compression_of(pretrained)
    found = "ViLaMP's own" if trained is None else trained.scheme
    if found != SCHEMES[name]:
        raise UserError(
            f"{name} has the compressor {SCHEMES[name]!r}, and {pretrained!r} was trained with {found!r}: leave "
            f"pretrained out, or ask --model vilamp --model_args pretrained={pretrained}, which takes any"
        )
    return load(pretrained=pretrained, device=device, seed=seed, **options)

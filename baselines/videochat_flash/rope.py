"""Rotary positions twice: as the release computes them, and exactly.

The release builds its table in fp32 for the trained positions and casts it with the model. A longer sequence
makes it build the table again in the model's dtype: in bf16 about 1,150 different rows are left of 32,770, in
fp16 positions from 65,520 on are NaN. It also ignores `rope_scaling`. `exact` is what transformers' own Qwen2
does today: fp32 angles for every position, and `rope_scaling` (YaRN) acts.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers.models.qwen2.configuration_qwen2 import Qwen2Config
from transformers.models.qwen2.modeling_qwen2 import Qwen2RotaryEmbedding

from baselines.videochat_flash.config import LanguageConfig
from niah.types import UserError

MODES = ("faithful", "exact")
SCALINGS = ("default", "linear", "yarn")  # those whose angles depend on the position alone, not on the longest so far


def faithful_rows(where: Tensor, width: int, theta: float, dtype: torch.dtype, rebuilt: bool) -> tuple[Tensor, Tensor]:
    """Return cosines and sines (positions, width) in `dtype`, as in the first table or in a rebuilt one."""
    exponents = torch.arange(0, width, 2, dtype=torch.int64, device=where.device).float() / width
    frequencies = 1.0 / theta**exponents
    working = dtype if rebuilt else torch.float32
    angles = torch.outer(where.to(working), frequencies.to(working))
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos().to(dtype), angles.sin().to(dtype)


class Rope:
    """Cosines and sines for positions; `longest` is the longest sequence the asking layer has met in this answer."""

    def __init__(self, mode: str, config: LanguageConfig, qwen: Qwen2Config, device: torch.device) -> None:
        if mode not in MODES:
            raise UserError(f"rope is one of {', '.join(MODES)}; got {mode!r}")
        if mode == "exact" and config.scaling not in SCALINGS:
            raise UserError(f"rope_scaling is one of {', '.join(SCALINGS)} here; the config has {config.scaling!r}")
        self.mode, self._config = mode, config
        self._exact = Qwen2RotaryEmbedding(qwen).to(device) if mode == "exact" else None

    def rows(self, start: int, stop: int, longest: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return cosines and sines (stop - start, head width) in the dtype and on the device of `like`."""
        where = torch.arange(start, stop, device=like.device)
        if self._exact is None:
            width, theta = self._config.head_width, self._config.rope_theta
            return faithful_rows(where, width, theta, like.dtype, longest > self._config.positions)
        cosines, sines = self._exact(like, where[None])
        return cosines[0], sines[0]


def rotate(heads: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Turn vectors (heads, tokens, head width) by their positions' angles (tokens, head width)."""
    first, second = heads.chunk(2, dim=-1)
    return heads * cosines + torch.cat([-second, first], dim=-1) * sines

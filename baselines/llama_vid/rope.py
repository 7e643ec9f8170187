"""Rotary positions as the release's old library made them, or as they should have been.

That library made its table once, for the model's own number of positions, from exact
frequencies. A longer input made it build the table again, this time from the `inv_freq`
tensors of the checkpoint, which a bf16 training run had rounded: angles drift with
position. `faithful` does so too, `exact` never does. The table a longer input left behind
also served the shorter ones after it; here every input starts afresh, since an answer may
not depend on what was asked before.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from niah.types import UserError

MODES = ("faithful", "exact")


def inverse_frequencies(head_width: int, theta: float) -> Float[Tensor, " half"]:
    """Return the angle by which each pair of channels turns per position."""
    return 1.0 / theta ** (torch.arange(0, head_width, 2).float() / head_width)


def rotary_table(
    positions: Int[Tensor, " tokens"], frequencies: Float[Tensor, " half"], factor: float
) -> tuple[Float[Tensor, "tokens head"], Float[Tensor, "tokens head"]]:
    """Return cosines and sines, single precision; linear scaling divides the positions by `factor`."""
    angles = torch.outer(positions.float() / factor, frequencies.float())  # positions first, as the release does
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


class Rotary(nn.Module):
    """Stands in for the rotary module of `transformers`' LLaMA.

    A chunk cannot know how long its input will be, so `expect` is called before each.
    """

    exact: Float[Tensor, " half"]
    stored: Float[Tensor, " half"]  # of the checkpoint, else the exact ones

    def __init__(self, head_width: int, theta: float, factor: float, positions: int) -> None:
        super().__init__()
        self.factor, self.positions, self.mode = factor, positions, "faithful"
        self.register_buffer("exact", inverse_frequencies(head_width, theta), persistent=False)
        self.register_buffer("stored", inverse_frequencies(head_width, theta), persistent=False)
        self.expected = 0

    def choose(self, mode: str, stored: Float[Tensor, " half"] | None) -> None:
        """Set the mode, and the frequencies of the checkpoint where it has them; single precision always."""
        if mode not in MODES:
            raise UserError(f"rope is one of {', '.join(MODES)}, got {mode!r}")
        self.mode = mode
        if stored is not None:
            self.stored = stored.float().to(self.exact.device)

    def expect(self, tokens: int) -> None:
        """Announce how long the next input is."""
        self.expected = tokens

    def forward(
        self, x: Float[Tensor, "batch tokens hidden"], position_ids: Int[Tensor, "batch tokens"]
    ) -> tuple[Float[Tensor, "batch tokens head"], Float[Tensor, "batch tokens head"]]:
        """Return cosines and sines of the positions in the precision of `x`."""
        longest = max(self.expected, int(position_ids.max()) + 1)
        rebuilt = self.mode == "faithful" and longest > self.positions
        cos, sin = rotary_table(position_ids.flatten(), self.stored if rebuilt else self.exact, self.factor)
        return cos.view(*position_ids.shape, -1).to(x.dtype), sin.view(*position_ids.shape, -1).to(x.dtype)

"""LLaMA-VID's language model: `transformers`' LLaMA with the rotary positions of the release's old library.

That library made its table once, for the model's own number of positions, from exact frequencies. A longer input made
it build the table again, this time from the `inv_freq` tensors of the checkpoint, which a bf16 training run had
rounded: angles drift with position. `faithful` does so too, `exact` never does. The table a longer input left behind
also served the shorter ones after it; here every input starts afresh, since an answer may not depend on earlier ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from baselines.llama_vid.config import LlamaSizes
from niah.adapters.attention import capture_attention, register_attention
from niah.run.attention import VisualAttention
from niah.types import UserError

MODES = ("faithful", "exact")


def inverse_frequencies(head_width: int, theta: float) -> Float[Tensor, " half"]:
    """Return the angle by which each pair of channels rotates per position."""
    return 1.0 / theta ** (torch.arange(0, head_width, 2).float() / head_width)


def rotary_table(
    positions: Int[Tensor, " tokens"], frequencies: Float[Tensor, " half"], factor: float
) -> tuple[Float[Tensor, "tokens head"], Float[Tensor, "tokens head"]]:
    """Return cosines and sines, single precision; linear scaling divides the positions by `factor`."""
    angles = torch.outer(positions.float() / factor, frequencies.float())  # positions first, as the release does
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


class Rotary(nn.Module):
    """Replaces the rotary module of `transformers`' LLaMA.

    A chunk cannot know how long its input will be, so `expect` is called before each input.
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
        """Set the mode, and the frequencies of the checkpoint where it has them, in single precision."""
        if mode not in MODES:
            raise UserError(f"rope is one of {', '.join(MODES)}, got {mode!r}")
        self.mode = mode
        if stored is not None:
            self.stored = stored.float().to(self.exact.device)

    def expect(self, tokens: int) -> None:
        """Announce the length of the next input."""
        self.expected = tokens

    def forward(
        self, x: Float[Tensor, "batch tokens hidden"], position_ids: Int[Tensor, "batch tokens"]
    ) -> tuple[Float[Tensor, "batch tokens head"], Float[Tensor, "batch tokens head"]]:
        """Return cosines and sines of the positions in the precision of `x`."""
        longest = max(self.expected, int(position_ids.max()) + 1)
        rebuilt = self.mode == "faithful" and longest > self.positions
        cos, sin = rotary_table(position_ids.flatten(), self.stored if rebuilt else self.exact, self.factor)
        return cos.view(*position_ids.shape, -1).to(x.dtype), sin.view(*position_ids.shape, -1).to(x.dtype)


def build_language(sizes: LlamaSizes) -> LlamaForCausalLM:
    """Return LLaMA of these sizes; `LlamaVid` puts its own `Rotary` in."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=sizes.vocabulary,
            hidden_size=sizes.width,
            intermediate_size=sizes.mlp_width,
            num_hidden_layers=sizes.layers,
            num_attention_heads=sizes.heads,
            num_key_value_heads=sizes.key_value_heads,
            hidden_act=sizes.activation,
            max_position_embeddings=sizes.positions,
            rms_norm_eps=sizes.rms_norm_eps,
            tie_word_embeddings=sizes.tied,
            bos_token_id=sizes.start,
            eos_token_id=sizes.end,
            attn_implementation=register_attention(),  # type: ignore[call-arg]  (taken by every config)
        )
    )


def capture_frame_attention(
    language: LlamaForCausalLM,
    embeds: Float[Tensor, "tokens hidden"],
    first: int,
    shown: list[int],
    tokens_per_frame: int,
) -> VisualAttention:
    """Return what the words after the video attend to in it. Raises UserError without a video.

    Context token and pooled content stand for the whole frame; only tokens of a grid, or of all patches, have places.

    Args:
        language: LLaMA with `Rotary` in it.
        embeds: The whole prompt; a token's features are its embedding.
        first: Number of the first visual token.
        shown: Numbers of the frames shown.
        tokens_per_frame: Visual tokens of each of them.
    """
    if not shown:
        raise UserError("attention is captured in a video's tokens: ask about a video, not a blind case")
    frames = [frame for frame in shown for _ in range(tokens_per_frame)]
    features = embeds[first : first + len(frames)]
    captured = capture_attention(language, embeds, first, frames, features)

    def layers() -> Iterator[np.ndarray]:
        cast(Any, language.model.rotary_emb).expect(len(embeds))  # now: another answer may have been given since
        yield from captured.layers

    in_frame = np.arange(tokens_per_frame) - 1 if tokens_per_frame > 2 else np.full(tokens_per_frame, -1)
    return dataclasses.replace(captured, patches=np.tile(in_frame, len(shown)), layers=layers())  # context token first

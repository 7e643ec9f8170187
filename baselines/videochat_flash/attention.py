"""What a question looks at of a video that VideoChat-Flash has read, layer by layer.

A visual token is merged from patches of a clip, four frames, which ones is not kept: it is counted to the clip's
first frame and has no place among patches. Behind a stop some visual tokens are gone; what later layers pay them is 0.
The prompt is read as for an answer. Then the words behind the video go through the layers once more, over the
keys and values which that left in the cache, so the numbers are those of the forward pass.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from baselines.videochat_flash.asking import Asked
from baselines.videochat_flash.dropout import stretches
from baselines.videochat_flash.language import State
from baselines.videochat_flash.model import VideoChatFlash
from baselines.videochat_flash.rope import Rope
from niah.run.attention import VisualAttention
from niah.types import UserError


@torch.inference_mode()
def attentions(model: VideoChatFlash, asked: Asked, rope: Rope) -> VisualAttention:
    """Read a prompt, and return what the tokens behind the video look at. Raises UserError without a video.

    A token's features are what the language model reads. Held are the cache of all layers, and of one
    layer at a time (heads, words, tokens).
    """
    if not asked.shown:
        raise UserError("attention is told of a video's tokens: ask about a video, not a blind case")
    tower, visual = model.config.tower, asked.visual
    features = asked.embeds[visual.start : visual.stop].float().cpu().numpy()
    words = asked.embeds[visual.stop :].clone()  # reading overwrites the prompt
    state = model.read(asked.embeds, visual, rope, model.config.dropout)
    frames = np.repeat(asked.shown[:: tower.clip_frames], tower.clip_tokens)
    return VisualAttention(frames, np.full(len(frames), -1), features, _layers(model, state, words, visual, rope))


@torch.inference_mode()
def _layers(model: VideoChatFlash, state: State, words: Tensor, visual: range, rope: Rope) -> Iterator[np.ndarray]:
    """Yield for each layer what the words pay each visual token, (heads, words, visual tokens)."""
    rows = model.language.attention(words, state, rope)
    left = [torch.arange(len(visual)), *state.kept]
    for stretch, numbers in zip(stretches(model.config.dropout, len(state.cache)), left, strict=True):
        for _, row in zip(stretch, rows, strict=False):
            told = row.new_zeros(*row.shape[:2], len(visual))
            told[:, :, numbers.to(row.device)] = row[:, :, visual.start : visual.start + len(numbers)]
            yield told.cpu().numpy()

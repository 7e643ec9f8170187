"""What a question looks at of a video in LLaMA-VID: two tokens a frame, both of the whole frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from baselines.llama_vid.asking import Asked
from baselines.llama_vid.model import LlamaVid
from niah.adapters.attention import capture_attention
from niah.run.attention import VisualAttention
from niah.types import UserError


def attentions(model: LlamaVid, asked: Asked) -> VisualAttention:
    """Return what the words behind the video look at; a token's features are what the language model reads.

    Context token and pooled content stand for the whole frame; only tokens of a grid, or of all patches, have places.
    Raises UserError without a video.
    """
    if not asked.shown:
        raise UserError("attention is told of a video's tokens: ask about a video, not a blind case")
    each, last = model.tokens_per_frame, asked.first + model.tokens_per_frame * len(asked.shown)
    frames = [frame for frame in asked.shown for _ in range(each)]
    told = capture_attention(model.language, asked.embeds, asked.first, frames, asked.embeds[asked.first : last])

    def layers() -> Iterator[np.ndarray]:
        model.rotary.expect(len(asked.embeds))  # now: another answer may have been given since
        yield from told.layers

    of_frame = np.arange(each) - 1  # the context token comes first
    places = np.tile(of_frame if each > 2 else np.full(each, -1), len(asked.shown))
    return dataclasses.replace(told, patches=places, layers=layers())

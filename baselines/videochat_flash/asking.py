"""A video and a question as the language model gets them, in the release's words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from baselines.videochat_flash.features import ClipFeatures
from baselines.videochat_flash.prompt import encode_prompt, write_prompt
from baselines.videochat_flash.sampling import frame_indices
from baselines.videochat_flash.settings import refuse_beyond
from niah.prompt import format_prompt
from niah.types import Question, Video


@dataclass(frozen=True, eq=False)
class Asked:
    """A prompt before it is read."""

    embeds: Tensor  # (tokens, width)
    visual: range  # where visual tokens lie
    shown: list[int]  # frames of the video, clip by clip
    reused: int  # of them, those whose clips were stored


class Asker:
    """Puts questions about at most `most` frames."""

    def __init__(self, features: ClipFeatures, tokenizer: Any, most: int) -> None:
        self.features, self.tokenizer, self.most = features, tokenizer, most

    def embed(self, video: Video, question: Question) -> Asked:
        """Return the whole prompt. Raises UserError where the release would cut the question away."""
        config = self.features.model.config
        shown = frame_indices(len(video), video.fps, self.most) if len(video) else []
        prompt = write_prompt(format_prompt(question), len(video), video.fps, len(shown))
        ids = encode_prompt(self.tokenizer, prompt, len(shown))
        clips = len(shown) // config.tower.clip_frames
        tokens = len(ids) - bool(shown) + clips * config.tower.clip_tokens
        refuse_beyond(config.limit, tokens, len(shown), self.most)
        embeds, visual, reused = self.features.assemble(ids, video, shown)
        return Asked(embeds, visual, shown, reused)

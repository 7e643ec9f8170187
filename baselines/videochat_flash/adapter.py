"""VideoChat-Flash as an adapter of the harness.

niah run --model videochat_flash --model_args pretrained=FOLDER,max_frames=512 --device cuda

It keeps nothing between cases but merged tokens of clips under their frames' keys. Where the release would cut
the sequence, and the question with it, the answer is an error that says so; `max_length` moves that limit.
"""

from __future__ import annotations

from typing import Any

import torch

from baselines.videochat_flash.asking import Asker
from baselines.videochat_flash.attention import attentions
from baselines.videochat_flash.features import ClipFeatures
from baselines.videochat_flash.model import VideoChatFlash
from baselines.videochat_flash.model import load as load_model
from baselines.videochat_flash.prompt import STOP, stop_ids
from baselines.videochat_flash.settings import Settings, read_settings, told
from niah.adapters.checkpoint import locate, read_tokenizer
from niah.adapters.config_reader import read_config
from niah.adapters.meter import Meter
from niah.adapters.options import resolve_dtype
from niah.run.attention import VisualAttention
from niah.types import Question, Reply, Video


class VideoChatFlashAdapter:
    """Continues the release's prompt greedily."""

    def __init__(self, model: VideoChatFlash, tokenizer: Any, settings: Settings) -> None:
        self.model, self.tokenizer, self.settings = model, tokenizer, settings
        self.rope, self.features = model.rope(settings.rope), ClipFeatures(model, settings.store)
        self.asker = Asker(self.features, tokenizer, settings.max_frames)
        self.stops = stop_ids(tokenizer, model.config.end_ids)

    @torch.inference_mode()
    def answer(self, video: Video, question: Question) -> Reply:
        """Return what the model says. Raises UserError where the release would cut the question away."""
        model, limit = self.model, self.settings.max_new_tokens
        meter = Meter(model.device, video)
        asked = self.asker.embed(video, question)
        meter.stage("encode")
        tokens = len(asked.embeds)
        state = model.read(asked.embeds, asked.visual, self.rope, model.config.dropout, room=limit)
        logits = model.first_logits(state)
        meter.first_token()
        meter.stage("prefill")
        said, _ = model.generate(logits, state, self.rope, limit, self.stops)
        meter.stage("generate")
        return Reply(
            text=self.tokenizer.decode(said, skip_special_tokens=True).split(STOP)[0].strip(),
            frames_used=tuple(dict.fromkeys(asked.shown)),
            language_tokens=tokens,
            reused_frames=asked.reused,
            settings=told(model.config, self.rope.mode),
            **meter.costs(),
        )

    def attentions(self, video: Video, question: Question) -> VisualAttention:
        """Return what the question looks at, as `attention.attentions` says."""
        return attentions(self.model, self.asker.embed(video, question), self.rope)


def load(
    pretrained: str, device: str = "cpu", dtype: str = "auto", seed: int = 0, **options: Any
) -> VideoChatFlashAdapter:
    """Load a released checkpoint, a folder or a hub name, with the options of `baselines.videochat_flash.settings`.

    `dtype` auto is bfloat16 on a GPU. `seed` changes nothing: decoding is greedy. Raises UserError saying what does
    not fit.
    """
    del seed
    settings = read_settings(options)
    kind, folder = resolve_dtype(dtype, device, torch.bfloat16), locate(pretrained)
    config = settings.configure(read_config(folder))
    tokenizer = read_tokenizer(folder)
    return VideoChatFlashAdapter(load_model(folder, config, device, kind), tokenizer, settings)

"""VideoChat-Flash as an adapter of the harness.

niah run --model videochat_flash
niah run --model videochat_flash --model_args pretrained=FOLDER,max_frames=512 --device cuda

The first runs the micro model with merged clips; the second a released checkpoint.

It keeps nothing between cases but merged tokens of clips under their frames' keys. Where the release would cut the
sequence, and the question with it, the answer is an error that says so; `max_length` moves that limit.
"""

from __future__ import annotations

from typing import Any

import torch

from baselines.micro import MICRO, is_micro, load_micro
from baselines.videochat_flash.inputs import (
    STOP,
    ClipFeatures,
    VideoChatFlashPrompts,
    VideoChatFlashSettings,
    read_settings,
    record_settings,
    stop_ids,
)
from baselines.videochat_flash.model import VideoChatFlash, capture_attention
from baselines.videochat_flash.model import load as load_model
from niah.adapters.checkpoint import locate, read_tokenizer
from niah.adapters.config_reader import read_config
from niah.adapters.generation import GREEDY, Generation, read_generation
from niah.adapters.meter import Meter
from niah.adapters.options import make_store, resolve_dtype
from niah.adapters.qwen import finish_reason
from niah.adapters.shown import shown_square
from niah.adapters.spread import first_device
from niah.run.attention import VisualAttention
from niah.types import Adapter, Question, Reply, Video

PRESETS = {  # lmms-eval_videochat of the release, at commit 2f8e2f5
    "official": {
        "settings": {"dtype": "float16", "max_frames": 512, "max_new_tokens": 16},
        "suites": {"prompt": "vlmevalkit"},
        "tasks": {"videoniah_video_mme": {}, "videoniah_video_mme_subtitles": {}},
        "metadata": {"prompt": "vlmevalkit", "frame_sampling": "all"},
    }
}


class VideoChatFlashAdapter:
    """Continues the release's prompt greedily."""

    def __init__(
        self,
        model: VideoChatFlash,
        tokenizer: Any,
        settings: VideoChatFlashSettings,
        generation: Generation = GREEDY,
    ) -> None:
        self.model, self.tokenizer, self.settings = model, tokenizer, settings
        self.rope = model.rope(settings.rope)
        self.features = ClipFeatures(model, make_store(settings.store_gib, settings.store_disk_gib))
        self.prompts = VideoChatFlashPrompts(self.features, tokenizer, settings)
        self.generation = generation
        self.stops = {*stop_ids(tokenizer, model.config.end_ids), *generation.end_ids}

    @property
    def frame_side(self) -> int:
        """Height and width in pixels of what the tower sees."""
        return self.model.config.tower.image_size

    @torch.inference_mode()
    def answer(self, video: Video, question: Question) -> Reply:
        """Return what the model says. Raises UserError where the release would cut the question away."""
        model, limit = self.model, self.settings.max_new_tokens
        meter = Meter(model.device, video)
        prompt = self.prompts.embed(video, question)
        meter.stage("encode")
        tokens = len(prompt.embeds)
        state = model.prefill(prompt.embeds, prompt.visual, self.rope, model.config.dropout, room=limit)
        logits = model.first_logits(state)
        meter.first_token()
        meter.stage("prefill")
        ids, _ = model.generate(logits, state, self.rope, limit, self.stops, self.generation.chooser())
        meter.stage("generate")
        return Reply(
            text=self.tokenizer.decode(ids, skip_special_tokens=True).split(STOP)[0].strip(),
            frames_used=tuple(dict.fromkeys(prompt.shown)),
            language_tokens=tokens,
            reused_frames=prompt.reused,
            settings={
                **record_settings(model.config, self.rope.mode),
                "prompt": self.settings.prompt,
                **self.generation.settings(),
            },
            finish_reason=finish_reason(ids, limit),
            **shown_square(len(prompt.shown), self.frame_side, times=True),  # duration, even sampling
            **meter.costs(),
        )

    def attentions(self, video: Video, question: Question) -> VisualAttention:
        """Return what the question attends to in the video, as `model.capture_attention` says."""
        prompt = self.prompts.embed(video, question)
        return capture_attention(self.model, prompt.embeds, prompt.visual, prompt.shown, self.rope)


def load(pretrained: str = MICRO, device: str = "cpu", dtype: str = "auto", seed: int = 0, **options: Any) -> Adapter:
    """Load a released checkpoint, a folder or a hub name, with the options of `inputs.Settings`; or the micro model.

    `dtype` auto is bfloat16 on a GPU. `seed` changes nothing: decoding is greedy. Raises UserError saying what does
    not fit.
    """
    if is_micro(pretrained):
        return load_micro("videochat_flash", pretrained, device, seed, **options)
    settings = read_settings(options)
    device = first_device(device, settings.device_map)
    kind, folder = resolve_dtype(dtype, device, torch.bfloat16), locate(pretrained)
    config = settings.configure(read_config(folder))
    tokenizer, generation = read_tokenizer(folder), read_generation(folder)
    model = load_model(folder, config, device, kind, settings.device_map)
    return VideoChatFlashAdapter(model, tokenizer, settings, generation)

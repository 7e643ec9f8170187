"""Video-XL as an adapter of the harness.

niah run --model video_xl
niah run --model video_xl --model_args pretrained=FOLDER,ratio=16 --device cuda

The first runs the micro model with summary tokens; the second a released checkpoint.

It keeps nothing between cases but summary tokens under names made of their frames' keys. A record's `language_tokens`
is what the cache holds at the first token, which is what an answer can attend to; no frame is kept at full resolution.
Nothing is ever truncated.
"""

from __future__ import annotations

from typing import Any

import torch

from baselines.micro import MICRO, is_micro, load_micro
from baselines.video_xl.inputs import VideoXLSettings, encode_prompt, read_settings, record_settings, stop_ids
from baselines.video_xl.model import VideoXL
from baselines.video_xl.model import load as load_model
from baselines.video_xl.prefill import VideoPrefill
from niah.adapters.checkpoint import locate, read_tokenizer
from niah.adapters.generation import GREEDY, Generation, read_generation
from niah.adapters.meter import Meter
from niah.adapters.options import make_store, resolve_dtype
from niah.adapters.qwen import finish_reason
from niah.adapters.shown import shown_square
from niah.adapters.spread import first_device
from niah.run.attention import VisualAttention
from niah.types import Adapter, Question, Reply, Video

PRESETS = {  # Video-XL/eval/eval_vnbench.py of the release, at commit 6e3dc89; others are lmms-eval's
    "official": {
        "settings": {"dtype": "float16", "frames": "second", "prompt": "vnbench", "max_new_tokens": 1024},
        "tasks": {"videoniah_vnbench": {}},
        "metadata": {"prompt": "letters", "frame_sampling": "all"},
    }
}


class VideoXLAdapter:
    """Continues the release's prompt greedily."""

    def __init__(
        self,
        model: VideoXL,
        tokenizer: Any,
        settings: VideoXLSettings,
        seed: int = 0,
        generation: Generation = GREEDY,
    ) -> None:
        self.generation = generation
        self.model, self.tokenizer, self.settings = model, tokenizer, settings
        self.compression = settings.compression(model.settings.rule, seed)
        self.store = make_store(settings.store_gib, settings.store_disk_gib)
        self.stops = stop_ids(tokenizer, model.settings.stop_ids | generation.end_ids)

    @property
    def frame_side(self) -> int:
        """Height and width in pixels of what the tower sees."""
        return self.model.settings.pixels.side

    @torch.inference_mode()
    def answer(self, video: Video, question: Question) -> Reply:
        """Return what the model says after the video and the question, and what it cost."""
        model = self.model
        meter = Meter(model.device, video)
        reading = self._prepare(video, question)
        logits = reading.prefill(self.store)
        tokens = reading.cache.length
        meter.first_token()
        meter.stage("prefill", encode=reading.encoding.seconds)
        limit, choose = self.settings.max_new_tokens, self.generation.chooser()
        ids = [token for token, _ in model.generate(logits, reading.cache, limit, self.stops, choose)]
        meter.stage("generate")
        how = {**record_settings(self.compression, self.settings.prompt), **self.generation.settings()}
        return Reply(
            text=self.tokenizer.decode(ids, skip_special_tokens=True).strip(),
            frames_used=reading.used,
            language_tokens=tokens,
            reused_frames=reading.reused,
            settings={**how, "dtype": str(model.dtype).removeprefix("torch.")},
            finish_reason=finish_reason(ids, limit),
            **shown_square(len(reading.used), self.frame_side),
            **meter.costs(),
        )

    def attentions(self, video: Video, question: Question) -> VisualAttention:
        """Return what the question attends to in the video, as `VideoPrefill.capture_attention` says."""
        return self._prepare(video, question).capture_attention(self.store)

    def _prepare(self, video: Video, question: Question) -> VideoPrefill:
        vocabulary = self.model.settings.language.vocabulary
        prompt = encode_prompt(self.tokenizer, question, self.settings.prompt, len(video) > 0, vocabulary)
        return VideoPrefill(self.model, self.compression, video, prompt, self.settings.max_new_tokens)


def load(pretrained: str = MICRO, device: str = "cpu", dtype: str = "auto", seed: int = 0, **options: Any) -> Adapter:
    """Load a released checkpoint, a folder or a hub name, with the options of `inputs.Settings`; or the micro model.

    `dtype` auto is float16 on a GPU, as in the release. `seed` moves draws between several ratios; 0 draws like the
    release. Raises UserError saying what does not fit.
    """
    if is_micro(pretrained):
        return load_micro("video_xl", pretrained, device, seed, **options)
    settings = read_settings(options)
    device = first_device(device, settings.device_map)
    folder = locate(pretrained)
    generation = read_generation(folder)
    model = load_model(folder, device, resolve_dtype(dtype, device, torch.float16), settings.device_map)
    return VideoXLAdapter(model, read_tokenizer(folder), settings, seed, generation)

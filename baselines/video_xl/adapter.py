"""Video-XL as an adapter of the harness.

niah run --model video_xl --model_args pretrained=FOLDER,ratio=16 --device cuda

It keeps nothing between cases but summary tokens under names made of their frames' keys.
A record's `language_tokens` is what the cache holds at the first token, which is what an
answer can attend to; no frame is kept at full resolution. Nothing is ever truncated.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Any

import torch

from baselines.video_xl.attention import attentions
from baselines.video_xl.model import VideoXL
from baselines.video_xl.model import load as load_model
from baselines.video_xl.prompt import encode, stop_ids
from baselines.video_xl.settings import Settings, read_settings
from baselines.video_xl.watch import Watcher
from niah.adapters.checkpoint import locate, read_tokenizer
from niah.adapters.meter import Meter
from niah.adapters.options import resolve_dtype
from niah.run.attention import VisualAttention
from niah.types import Question, Reply, Video


class VideoXLAdapter:
    """Continues the release's prompt greedily."""

    def __init__(self, model: VideoXL, tokenizer: Any, settings: Settings) -> None:
        self.model, self.tokenizer, self.settings = model, tokenizer, settings
        self.stops = stop_ids(tokenizer, model.settings.stop_ids)

    @torch.inference_mode()
    def answer(self, video: Video, question: Question) -> Reply:
        """Return what the model says after the video and the question, and what it cost."""
        model, limit = self.model, self.settings.max_new_tokens
        meter = Meter(model.device, video)
        watcher = self._watcher(video, question)
        logits = watcher.read(self.settings.store)
        tokens = watcher.cache.length
        meter.first_token()
        meter.stage("prefill", encode=watcher.encode_seconds)
        likeliest = (best for best, _ in model.greedy(logits, watcher.cache, limit))
        ids = list(takewhile(lambda best: best not in self.stops, likeliest))
        meter.stage("generate")
        return Reply(
            text=self.tokenizer.decode(ids, skip_special_tokens=True).strip(),
            frames_used=watcher.used,
            language_tokens=tokens,
            reused_frames=watcher.reused,
            settings={**self.settings.told(), "dtype": str(model.dtype).removeprefix("torch.")},
            **meter.costs(),
        )

    def attentions(self, video: Video, question: Question) -> VisualAttention:
        """Return what the question looks at, as `attention.attentions` says."""
        return attentions(self._watcher(video, question), self.settings.store)

    def _watcher(self, video: Video, question: Question) -> Watcher:
        vocabulary = self.model.settings.language.vocabulary
        prompt = encode(self.tokenizer, question, self.settings.prompt, len(video) > 0, vocabulary)
        return Watcher(self.model, self.settings.compression, video, prompt, self.settings.max_new_tokens)


def load(pretrained: str, device: str = "cpu", dtype: str = "auto", seed: int = 0, **options: Any) -> VideoXLAdapter:
    """Load a released checkpoint, a folder or a hub name, with the options of `baselines.video_xl.settings`.

    `dtype` auto is float16 on a GPU, as in the release. `seed` moves draws between several ratios; 0 draws
    like the release. Raises UserError saying what does not fit.
    """
    kind = resolve_dtype(dtype, device, torch.float16)
    folder = locate(pretrained)
    model = load_model(folder, device, kind)
    settings = read_settings(options, model.settings.rule, seed)
    return VideoXLAdapter(model, read_tokenizer(folder), settings)

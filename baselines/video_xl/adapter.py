"""Video-XL as an adapter of the harness.

python -m niah.run --model video_xl --model_args pretrained=FOLDER,ratio=16 --device cuda

It keeps nothing between cases but summary tokens under names made of their frames' keys.
A record's `language_tokens` is what the cache holds at the first token, which is what an
answer can attend to; no frame is kept at full resolution. Nothing is ever truncated.
"""

from __future__ import annotations

import tempfile
import time
from typing import Any

import torch

from baselines.video_xl.model import VideoXL
from baselines.video_xl.model import load as load_model
from baselines.video_xl.prompt import STYLES, encode
from baselines.video_xl.ratios import RatioRule
from baselines.video_xl.watch import Compression, Watcher, ratios_of
from niah.adapters.checkpoint import locate
from niah.adapters.text import read_tokenizer
from niah.store import FeatureStore
from niah.types import Question, Reply, UserError, Video


class VideoXLAdapter:
    """Continues the release's prompt greedily."""

    def __init__(
        self, model: VideoXL, tokenizer: Any, how: Compression, store: FeatureStore | None, style: str, limit: int
    ) -> None:
        self.model, self.tokenizer, self.how, self.store = model, tokenizer, how, store
        self.style, self.limit = style, limit

    @torch.inference_mode()
    def answer(self, video: Video, question: Question) -> Reply:
        """Return what the model says after the video and the question, and what it cost."""
        on_gpu = self.model.device.type == "cuda"
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(self.model.device)
        began, waited = self._clock(), video.decode_seconds
        vocabulary = self.model.settings.language.vocabulary
        prompt = encode(self.tokenizer, question, self.style, len(video) > 0, vocabulary)
        watcher = Watcher(self.model, self.how, video, prompt, self.limit, self._clock)
        states = torch.empty(0)
        for taken in watcher.read(self.store):
            states = taken.states[-1:]  # the head is run for the last token alone
        logits = self.model.language.logits(states)[0].cpu()
        first, waited, tokens = self._clock(), video.decode_seconds - waited, watcher.cache.length
        ids: list[int] = []
        for best, _ in self.model.greedy(logits, watcher.cache, self.limit):
            if best in self.model.settings.stop_ids:
                break
            ids.append(best)
        return Reply(
            text=self.tokenizer.decode(ids, skip_special_tokens=True).strip(),
            frames_used=watcher.used,
            seconds={
                "decode": waited,
                "encode": watcher.encode_seconds,
                "prefill": first - began - waited - watcher.encode_seconds,
                "generate": self._clock() - first,
            },
            seconds_to_first_token=first - began - waited,
            peak_allocated_bytes=torch.cuda.max_memory_allocated(self.model.device) if on_gpu else None,
            peak_reserved_bytes=torch.cuda.max_memory_reserved(self.model.device) if on_gpu else None,
            language_tokens=tokens,
            reused_frames=watcher.reused,
        )

    def _clock(self) -> float:
        """Return the time once the device has done what it was given, in seconds."""
        if self.model.device.type == "cuda":
            torch.cuda.synchronize(self.model.device)
        return time.perf_counter()


def load(
    pretrained: str,
    device: str = "cpu",
    dtype: str = "auto",
    seed: int = 0,
    ratio: int | str | None = None,
    mix: str | None = None,
    dynamic: bool = False,
    frames: int | None = None,
    prompt: str = "chat",
    max_new_tokens: int = 32,
    store_gib: float = 1.0,
    store_disk_gib: float = 8.0,
) -> VideoXLAdapter:
    """Load a released checkpoint, a folder or a hub name.

    `ratio` (16, or 2/4/8) and `mix` replace the checkpoint's; `seed` moves draws between several ratios, 0 draws
    like the release. `frames` samples a longer video. `dtype` auto is float16 on a GPU, as the release, else float32.
    """
    if prompt not in STYLES:
        raise UserError(f"prompt is one of {', '.join(STYLES)}, got {prompt!r}")
    for name, value in (("frames", frames), ("max_new_tokens", max_new_tokens)):
        if value is not None and (not isinstance(value, int) or value < 1):
            raise UserError(f"{name} is a whole number from 1 on, got {value!r}")
    folder = locate(pretrained)
    model = load_model(folder, device, _dtype(dtype, device))
    rule = RatioRule(ratios_of(ratio, model.settings.rule.ratios), mix or model.settings.rule.mix)
    store = FeatureStore(int(store_gib * 2**30), int(store_disk_gib * 2**30), tempfile.gettempdir())
    how = Compression(rule, dynamic, frames, seed)
    return VideoXLAdapter(
        model, read_tokenizer(folder), how, store if store_gib or store_disk_gib else None, prompt, max_new_tokens
    )


def _dtype(name: str, device: str) -> torch.dtype:
    """Return the type the weights are held in."""
    if name == "auto":
        return torch.float16 if device.startswith("cuda") else torch.float32
    kinds = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
    if name not in kinds:
        raise UserError(f"dtype is auto, {', '.join(kinds)}; got {name!r}")
    return kinds[name]

"""Ask any image-text-to-text model that transformers reads: Qwen2-VL, LLaVA-OneVision, LLaVA-NeXT-Video and others.

niah run --model huggingface --model_args pretrained=FOLDER_OR_NAME,max_frames=32 --device cuda

Frames are sampled here, at bin centres, and the processor's own sampling is switched off: its rules
differ from model to model and would hide which frames an answer depended on. A model that knows time
(Qwen2.5-VL) is told when each frame was shown. A model whose processor takes no video gets the frames as images.

`generate` takes a video whole, so an answer holds all `max_frames` frames: 3 bytes a pixel as decoded, 4 bytes
a value as the processor resizes them, and the model's own features and cache. Nothing is kept between answers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import LogitsProcessor, LogitsProcessorList

from baselines.pretrained import load_pretrained
from niah.adapters.meter import Meter
from niah.adapters.qwen import check_finite
from niah.adapters.sampling import bin_centres
from niah.prompt import format_prompt
from niah.settings import positive_int
from niah.types import Question, Reply, UserError, Video


class HuggingFace:
    """Generates greedily after a chat of one turn: the frames, then the question."""

    def __init__(self, model: Any, processor: Any, max_frames: int, as_images: bool = False) -> None:
        self.model, self.processor, self.max_frames = model, processor, max_frames
        self.as_video = vars(processor).get("video_processor") is not None and not as_images

    @torch.inference_mode()
    def answer(self, video: Video, question: Question) -> Reply:
        """Return what the model generates. Raises UserError where the question does not fit the model's positions."""
        meter = Meter(self.model.device, video)
        used = bin_centres(len(video), self.max_frames)
        inputs = self._inputs(video.frames(used), used, len(video), video.fps, format_prompt(question))
        tokens = inputs["input_ids"].shape[1]
        self._refuse_beyond(tokens)
        meter.stage("prepare")
        watch = LogitsProcessorList([_Watch(meter)])
        said = self.model.generate(**inputs, logits_processor=watch)[0]  # (prompt + new,)
        meter.stage("generate")
        return Reply(
            text=self.processor.tokenizer.decode(said[tokens:], skip_special_tokens=True).strip(),
            frames_used=tuple(used),
            frames_kept=tuple(used),
            language_tokens=tokens,
            **meter.costs(),
        )

    def _inputs(self, frames: np.ndarray, used: list[int], count: int, fps: float, text: str) -> Any:
        """Return what `generate` takes, on the model's device; `frames` is (frames, height, width, 3) uint8."""
        content: list[dict[str, str]] = [{"type": "text", "text": text}]
        given: dict[str, Any] = {}
        if len(frames) and self.as_video:
            content.insert(0, {"type": "video"})
            shown = {"total_num_frames": count, "fps": fps, "frames_indices": used, "duration": count / fps}
            given = {"videos": [frames], "video_metadata": [shown], "do_sample_frames": False}
        elif len(frames):
            content[:0] = [{"type": "image"}] * len(frames)
            given = {"images": list(frames)}
        chat = [{"role": "user", "content": content}]
        prompt = self.processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        inputs = self.processor(text=[prompt], return_tensors="pt", **given)
        return inputs.to(self.model.device, self.model.dtype)  # casts only what is floating

    def _refuse_beyond(self, tokens: int) -> None:
        """Raise UserError for more positions than the model was made for: it would answer, but not as itself."""
        limit = self.model.config.get_text_config().to_dict().get("max_position_embeddings")
        wanted = tokens + self.model.generation_config.max_new_tokens
        if limit is not None and wanted > limit:
            raise UserError(
                f"{tokens} tokens and up to {wanted - tokens} of an answer are more than the model's {limit} "
                f"positions; lower max_frames={self.max_frames}"
            )


class _Watch(LogitsProcessor):
    """Notes when the first logits were there, changes none, and lets none pass that are no numbers."""

    def __init__(self, meter: Meter) -> None:
        self._meter, self._met = meter, False

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if not self._met:
            self._meter.first_token()
            self._met = True
        return check_finite(scores)


def load(
    pretrained: str,
    max_frames: int = 32,
    max_new_tokens: int = 32,
    as_images: bool = False,
    device: str = "cpu",
    dtype: str = "auto",
    attn_implementation: str | None = None,
    trust_remote_code: bool = False,
    device_map: str | None = None,
    seed: int = 0,
) -> HuggingFace:
    """Load a folder or a hub name; `dtype` "auto" is the checkpoint's own. Raises UserError saying what is missing.

    `as_images` shows frames as images to a model that takes video too. `trust_remote_code` runs Python that
    comes with the checkpoint: never unless you pass it. `device_map` (auto, balanced, sequential …) spreads one
    model over the GPUs at hand, whatever `device` says. `seed` changes nothing, as decoding is greedy.
    """
    del seed
    max_frames, max_new_tokens = positive_int("max_frames", max_frames), positive_int("max_new_tokens", max_new_tokens)
    model, processor = load_pretrained(pretrained, dtype, attn_implementation, trust_remote_code, device_map)
    model.generation_config = _greedy(model.generation_config, max_new_tokens)
    placed = model if device_map is not None else model.to(device)
    return HuggingFace(placed.eval(), processor, max_frames, as_images)


def _greedy(shipped: Any, max_new_tokens: int) -> Any:
    """Return greedy decoding with the checkpoint's special tokens and none of its temperatures or penalties."""
    tokens = {name: vars(shipped)[name] for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    return type(shipped)(do_sample=False, num_beams=1, max_new_tokens=max_new_tokens, **tokens)

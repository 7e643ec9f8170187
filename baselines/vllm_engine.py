"""Ask a model through vLLM's offline engine: its kernels, its prefix cache, several GPUs. Never run on a GPU here.

pip install 'videoniah[vllm]'
niah run --model vllm --model_args pretrained=Qwen/Qwen3-VL-8B-Instruct,tensor_parallel_size=2,max_frames=512

tests/baselines/test_vllm.py finds every name and parameter used here in vLLM's source, and runs this file with an
engine that is made up.

One question at a time: the prefill of a long video fills a GPU by itself, and what is gained by several at once belongs
to `vllm serve`, which `--model openai` asks (`concurrency`). The engine takes its memory beforehand, so none is
reported. Its prefix cache knows a video as a whole: only frames that go as images are shared by the cases of a
haystack, up to the needle.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from baselines.huggingface.chat import started_once
from baselines.huggingface.settings import NEW_TOKENS, THOUGHT_TOKENS
from niah.adapters.sampling import bin_centres
from niah.adapters.shown import time_line
from niah.extras import require
from niah.prompt import format_prompt
from niah.scoring import ends_in_thought
from niah.settings import positive_int
from niah.types import DrawnReply, Question, Reply, UserError, Video


@dataclass(frozen=True)
class VllmSettings:
    """How a model is shown a video and asked; `processor_kwargs` are handed to its processor."""

    max_frames: int = 32
    as_images: bool = False
    frame_times: bool = False  # as images, each after a line with its time; a video's times are its processor's
    max_new_tokens: int | None = None  # None: 32, and 4096 where the prompt opens a thought
    temperature: float = 0.0
    samples: int = 1
    seed: int = 0
    processor_kwargs: Mapping[str, Any] = field(default_factory=dict)
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        positive_int("max_frames", self.max_frames)
        if positive_int("samples", self.samples) > 1 and not self.temperature:
            raise UserError("samples are for replies that are drawn: name a temperature, too")
        if self.frame_times and not self.as_images:
            raise UserError("frame_times is for frames as images (as_images=True); a video's times are its processor's")


class VllmEngine:
    """Hands frames to an engine in this process, and keeps nothing between questions; the engine keeps its cache."""

    def __init__(self, engine: Any, processor: Any, settings: VllmSettings) -> None:
        self.engine, self.processor, self.settings = engine, processor, settings

    def answer(self, video: Video, question: Question) -> Reply:
        """Return what the model answers."""
        from vllm import SamplingParams  # pyright: ignore[reportMissingImports]

        settings = self.settings
        began, decoded = time.perf_counter(), video.decode_seconds
        used = bin_centres(len(video), settings.max_frames)
        prompt = self._prompt(video, used, format_prompt(question))
        prepared, waited = time.perf_counter(), video.decode_seconds - decoded
        opens_thought = ends_in_thought(prompt["prompt"][-64:])
        limit = settings.max_new_tokens or (THOUGHT_TOKENS if opens_thought else NEW_TOKENS)
        drawing = SamplingParams(
            n=settings.samples, temperature=settings.temperature, max_tokens=limit, seed=settings.seed
        )
        (said,) = self.engine.generate(
            [prompt],
            sampling_params=drawing,
            use_tqdm=False,
            tokenization_kwargs=started_once(self.processor.tokenizer, prompt["prompt"]),
        )
        replies = [
            DrawnReply(one.text.strip(), settings.seed + one.index, one.finish_reason)
            for one in sorted(said.outputs, key=lambda output: output.index)
        ]
        return Reply(
            text=replies[0].text,
            frames_used=tuple(used),
            frames_kept=tuple(used),
            seconds={"decode": waited, "prepare": prepared - began - waited, "answer": time.perf_counter() - prepared},
            language_tokens=len(said.prompt_token_ids),
            usage={"cached_tokens": float(said.num_cached_tokens or 0)},
            settings={"temperature": settings.temperature} if settings.temperature else {},
            frame_times=settings.frame_times if used and settings.as_images else None,
            finish_reason=replies[0].finish_reason,
            prompt_opens_thought=opens_thought,
            samples=tuple(replies) if settings.temperature else (),
        )

    def _prompt(self, video: Video, used: list[int], text: str) -> dict[str, Any]:
        """Return the prompt with its frames, as the engine takes them."""
        settings = self.settings
        video.announce(used)
        frames = video.frames(used) if used else []
        content: list[dict[str, str]] = []
        data: dict[str, Any] = {}
        if used and settings.as_images:
            for number in used:
                lines = [{"type": "text", "text": time_line(number / video.fps)}] if settings.frame_times else []
                content += [*lines, {"type": "image"}]
            data = {"image": [Image.fromarray(frame) for frame in frames]}
        elif used:
            content = [{"type": "video"}]
            shown = {
                "fps": video.fps, "duration": len(video) / video.fps, "total_num_frames": len(video),
                "frames_indices": list(used), "video_backend": "niah", "do_sample_frames": False,
            }  # fmt: skip
            data = {"video": [(frames, shown)]}
        chat = [{"role": "user", "content": [*content, {"type": "text", "text": text}]}]
        words = self.processor.apply_chat_template(
            chat, add_generation_prompt=True, tokenize=False, **settings.chat_template_kwargs
        )
        return {"prompt": words, "multi_modal_data": data, "mm_processor_kwargs": dict(settings.processor_kwargs)}


def load(
    pretrained: str,
    tensor_parallel_size: int = 1,
    max_model_len: int | None = None,
    gpu_memory_utilization: float = 0.9,
    dtype: str = "auto",
    trust_remote_code: bool = False,
    device: str | None = None,
    **settings: Any,
) -> VllmEngine:
    """Return an adapter of a folder or hub name; `settings` are those of `VllmSettings`. The engine finds its GPUs."""
    del device  # CUDA_VISIBLE_DEVICES says it
    require("vllm", "the model vllm")
    unknown = sorted(set(settings) - set(VllmSettings.__dataclass_fields__))
    if unknown:
        known = ", ".join(VllmSettings.__dataclass_fields__)
        raise UserError(f"no setting is called {', '.join(unknown)}; known: {known}")
    chosen = VllmSettings(**settings)

    from transformers import AutoProcessor
    from vllm import LLM  # pyright: ignore[reportMissingImports]

    processor = AutoProcessor.from_pretrained(pretrained, trust_remote_code=trust_remote_code)
    engine = LLM(
        model=pretrained,
        tensor_parallel_size=tensor_parallel_size,
        max_model_len=max_model_len,
        gpu_memory_utilization=gpu_memory_utilization,
        dtype=dtype,
        trust_remote_code=trust_remote_code,
        enable_prefix_caching=True,
        limit_mm_per_prompt={"image": chosen.max_frames} if chosen.as_images else {"video": 1},
        seed=chosen.seed,
    )
    return VllmEngine(engine, processor, chosen)

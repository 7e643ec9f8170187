"""LLaMA-VID as an adapter of the harness.

niah run --model llama_vid --model_args pretrained=FOLDER --device cuda

It keeps nothing between cases but the tower's features under their frames' keys. One frame a second is shown, as
many as there are. The Q-Former reads the bare question, of more than 256 word pieces the end, as in the release;
the language model reads the whole prompt, of any length. Nothing stops the short-video model at its 4,096 positions
(2,000 frames), as nothing does in the release. Decoding is greedy unless `decoding=script` draws as the release's
scripts do.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from baselines.llama_vid import model as llama_vid
from baselines.llama_vid.inputs import (
    SCRIPTS,
    STOP,
    EvaFeatures,
    LlamaVidPrompts,
    LlamaVidSettings,
    QueryTokenizer,
    read_settings,
)
from baselines.llama_vid.language import capture_frame_attention
from baselines.llama_vid.model import LlamaVid
from baselines.micro import MICRO, is_micro, load_micro
from niah.adapters.checkpoint import locate, read_tokenizer
from niah.adapters.generation import GREEDY, Generation, read_generation
from niah.adapters.meter import Meter
from niah.adapters.options import make_store, resolve_dtype
from niah.adapters.qwen import continue_prompt, finish_reason
from niah.adapters.shown import shown_square
from niah.adapters.spread import first_device
from niah.prompt import format_prompt
from niah.run.attention import VisualAttention
from niah.types import Adapter, Question, Reply, Video

PRESETS = {  # llamavid/eval/model_activitynet_qa.py and llamavid/serve/run_llamavid_movie.py, at commit b3d3ae2
    "official": {
        "settings": {"dtype": "float16", "query": "typed", "decoding": "script", "max_new_tokens": 1024},
    }
}


class LlamaVidAdapter:
    """Continues the release's prompt greedily."""

    def __init__(
        self,
        model: LlamaVid,
        tokenizer: Any,
        query_tokenizer: QueryTokenizer,
        settings: LlamaVidSettings,
        generation: Generation = GREEDY,
        seed: int = 0,
    ) -> None:
        self.model, self.tokenizer, self.settings = model, tokenizer, settings
        self.path = settings.path or ("long" if model.config.long_video else "short")
        self.features = EvaFeatures(model, make_store(settings.store_gib, settings.store_disk_gib))
        reads_typed = settings.query == "typed"
        self.prompts = LlamaVidPrompts(self.features, tokenizer, query_tokenizer, self.path, reads_typed)
        drawing = SCRIPTS[self.path] if settings.decoding == "script" else None
        self.generation = dataclasses.replace(generation, drawing=drawing)
        self.stops = generation.end_ids | {model.config.language.end}
        self.seed = seed

    @property
    def frame_side(self) -> int:
        """Height and width in pixels of what the tower sees."""
        return self.model.config.vision.image_size

    @torch.inference_mode()
    def answer(self, video: Video, question: Question) -> Reply:
        """Return what the model says after the video and the question, and what it cost."""
        model, limit = self.model, self.settings.max_new_tokens
        meter = Meter(model.device, video)
        prompt = self.prompts.embed(video, question)
        meter.stage("encode")
        cache, logits = model.prefill(prompt.embeds, room=limit)
        meter.first_token()
        meter.stage("prefill")
        choose = self.generation.chooser(self.seed, format_prompt(question), video.keys(0, len(video)))
        ids = continue_prompt(model.language, cache, logits, limit, self.stops, choose)
        meter.stage("generate")
        return Reply(
            text=self.tokenizer.decode(ids, skip_special_tokens=True).split(STOP)[0].strip(),
            frames_used=tuple(prompt.shown),
            language_tokens=len(prompt.embeds),
            reused_frames=prompt.reused,
            settings={
                "path": self.path,
                "rope": model.rotary.mode,
                "query": self.settings.query,
                **self.generation.settings(),
            },
            finish_reason=finish_reason(ids, limit),
            **shown_square(len(prompt.shown), self.frame_side),
            **meter.costs(),
        )

    def attentions(self, video: Video, question: Question) -> VisualAttention:
        """Return what the question attends to in the video: two tokens a frame, both of the whole frame."""
        prompt, model = self.prompts.embed(video, question), self.model
        return capture_frame_attention(
            model.language, prompt.embeds, prompt.first, prompt.shown, model.tokens_per_frame
        )


def load(pretrained: str = MICRO, device: str = "cpu", dtype: str = "auto", seed: int = 0, **options: Any) -> Adapter:
    """Load a released checkpoint, a folder or a hub name, with the options of `inputs.Settings`; or the micro model.

    `dtype` auto is float16 on a GPU, as in the release. `seed` changes what decoding=script draws, nothing else. Raises
    UserError saying what is missing or does not fit.
    """
    if is_micro(pretrained):
        return load_micro("llama_vid", pretrained, device, seed, **options)
    settings = read_settings(options)
    device = first_device(device, settings.device_map)
    kind, folder = resolve_dtype(dtype, device, torch.float16), locate(pretrained)
    sizes = llama_vid.read_sizes(folder, settings.config, settings.bert)
    query_tokenizer = QueryTokenizer(llama_vid.bert_folder(folder, settings.bert) / "vocab.txt")
    tokenizer, generation = read_tokenizer(folder), read_generation(folder)
    model = llama_vid.load(
        folder, sizes, tower=settings.tower, rope=settings.rope, device=device, dtype=kind,
        device_map=settings.device_map,
    )  # fmt: skip
    return LlamaVidAdapter(model, tokenizer, query_tokenizer, settings, generation, seed)

"""LLaMA-VID as an adapter of the harness.

niah run --model llama_vid --model_args pretrained=FOLDER --device cuda

It keeps nothing between cases but the tower's features under their frames' keys. One frame a second is shown, as
many as there are. The Q-Former reads the bare question, of more than 256 word pieces the end, as in the release;
the language model reads the whole prompt, of any length. Nothing stops the short-video model at its 4,096 positions
(2,000 frames), as nothing does in the release. Decoding is greedy; the release's scripts draw at temperature 0.2.
"""

from __future__ import annotations

from typing import Any

import torch

from baselines.llama_vid import prompt, weights
from baselines.llama_vid.asking import Asker
from baselines.llama_vid.attention import attentions
from baselines.llama_vid.features import FrameFeatures
from baselines.llama_vid.settings import Settings, read_settings
from niah.adapters.checkpoint import locate, read_tokenizer
from niah.adapters.meter import Meter
from niah.adapters.options import resolve_dtype
from niah.adapters.qwen import continue_greedily
from niah.run.attention import VisualAttention
from niah.types import Question, Reply, Video


class LlamaVidAdapter:
    """Continues the release's prompt greedily."""

    def __init__(
        self, features: FrameFeatures, tokenizer: Any, words: prompt.QueryTokenizer, settings: Settings
    ) -> None:
        self.model, self.tokenizer, self.settings = features.model, tokenizer, settings
        self.path = settings.path or ("long" if self.model.config.long_video else "short")
        self.features, self.asker = features, Asker(features, tokenizer, words, self.path)

    @torch.inference_mode()
    def answer(self, video: Video, question: Question) -> Reply:
        """Return what the model says after the video and the question, and what it cost."""
        model, device, limit = self.model, self.model.device, self.settings.max_new_tokens
        meter = Meter(device, video)
        asked = self.asker.embed(video, question)
        meter.stage("encode")
        cache, logits = model.prefill(asked.embeds, room=limit)
        meter.first_token()
        meter.stage("prefill")
        said = continue_greedily(model.language, cache, logits, limit, {model.config.language.end})
        meter.stage("generate")
        return Reply(
            text=self.tokenizer.decode(said, skip_special_tokens=True).split(prompt.STOP)[0].strip(),
            frames_used=tuple(asked.shown),
            language_tokens=len(asked.embeds),
            reused_frames=asked.reused,
            settings={"path": self.path, "rope": model.rotary.mode},
            **meter.costs(),
        )

    def attentions(self, video: Video, question: Question) -> VisualAttention:
        """Return what the question looks at, as `attention.attentions` says."""
        return attentions(self.model, self.asker.embed(video, question))


def load(pretrained: str, device: str = "cpu", dtype: str = "auto", seed: int = 0, **options: Any) -> LlamaVidAdapter:
    """Load a released checkpoint, a folder or a hub name, with the options of `baselines.llama_vid.settings`.

    `dtype` auto is float16 on a GPU, as in the release. `seed` changes nothing: decoding is greedy. Raises
    UserError saying what is missing or does not fit.
    """
    del seed
    settings = read_settings(options)
    kind, folder = resolve_dtype(dtype, device, torch.float16), locate(pretrained)
    sizes = weights.read(folder, settings.config, settings.bert)
    words = prompt.QueryTokenizer(weights.bert_folder(folder, settings.bert) / "vocab.txt")
    tokenizer = read_tokenizer(folder)
    model = weights.load(folder, sizes, tower=settings.tower, rope=settings.rope, device=device, dtype=kind)
    return LlamaVidAdapter(FrameFeatures(model, settings.store), tokenizer, words, settings)

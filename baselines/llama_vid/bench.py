"""LLaMA-VID with random weights, for `niah bench llama_vid`: two tokens a frame, 80 of text.

10,000 frames at 7B are 20,080 tokens, 9.8 GiB of cache beside 14.8 GiB of weights. Run as the
release runs, all frames pass the tower as one batch with whole attention matrices (92 GB at
10,000), and the language model's attention is not fused either: 103 GB in one layer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from baselines.llama_vid.compress import Query
from baselines.llama_vid.config import EvaConfig, LlamaSizes, LlamaVidConfig, QFormerConfig
from baselines.llama_vid.inputs import EvaFeatures, sample_frames
from baselines.llama_vid.model import EvaBlock, EvaTower, LlamaVid
from niah.adapters.bench import NoiseVideo, StageCosts
from niah.adapters.checkpoint import fill_at_random, on_meta_device
from niah.adapters.meter import clock
from niah.adapters.preprocess import standardise
from niah.adapters.trace import Repeat, shapes

BEFORE, AFTER, QUERY = 40, 40, 24  # tokens of text around the video, and of the Q-Former's question
SIZES = {
    "7b": LlamaVidConfig(),
    "tiny": LlamaVidConfig(
        vision=EvaConfig(image_size=56, width=48, blocks=2, heads=4),
        qformer=QFormerConfig(vocabulary=64, width=24, layers=2, heads=4, mlp_width=40, positions=64),
        language=LlamaSizes(
            vocabulary=128, width=32, layers=2, heads=4, key_value_heads=4, mlp_width=64, positions=512
        ),
        queries=4,
    ),
}


class LlamaVidBench:
    """The model and both ways to run it, on the path from pixels."""

    def __init__(self, model: LlamaVid) -> None:
        self.model, self.device, self.side = model, model.device, model.config.vision.image_size
        ids = torch.ones(1, QUERY, dtype=torch.long, device=self.device)
        self.query = Query(ids, torch.ones_like(ids))
        self.repeats = (
            Repeat((model,), "encode", lambda pixels, class_row: (shapes(pixels), class_row)),
            Repeat((model.compressor,), "forward", lambda features, query: shapes(features, query.ids)),
        )
        self.before, self.after = (torch.ones(count, dtype=torch.long) for count in (BEFORE, AFTER))

    def run(self, video: NoiseVideo, execution: str) -> StageCosts:
        """Read a video and a question up to the first logits on the host."""
        return self._streamed(video) if execution == "streamed" else self._as_released(video)

    def _streamed(self, video: NoiseVideo) -> StageCosts:
        began = clock(self.device)
        shown = sample_frames(len(video), video.fps)
        chunks = (features for features, _ in EvaFeatures(self.model, None).of(video, shown, 1))
        embeds = self._around(self.model.video_tokens(chunks, self.query)[0])
        encoded = clock(self.device)
        self.model.prefill(embeds)[1].cpu()
        return StageCosts({"encode": encoded - began, "prefill": clock(self.device) - encoded}, len(embeds))

    def _as_released(self, video: NoiseVideo) -> StageCosts:
        """Hold all frames at once, attend with whole matrices, and run the head for every token."""
        began = clock(self.device)
        model = self.model
        for part in (model.language, model.compressor.vlm_att_encoder):
            part.config._attn_implementation = "eager"
        shown = sample_frames(len(video), video.fps)
        pixels = standardise(video.frames(shown), device=self.device).to(model.dtype)
        embeds = self._around(model.compressor(unfused(model.vision_tower, pixels), self.query)[0])
        encoded = clock(self.device)
        model.rotary.expect(len(embeds))
        logits = model.language(inputs_embeds=embeds[None], use_cache=True).logits.float()
        logits[0, -1].cpu()
        return StageCosts({"encode": encoded - began, "prefill": clock(self.device) - encoded}, len(embeds))

    def _around(self, tokens: Float[Tensor, "tokens hidden"]) -> Float[Tensor, "total hidden"]:
        """Put the prompt around a video's tokens."""
        return torch.cat((self.model.embed(self.before), tokens, self.model.embed(self.after)))


def unfused(tower: EvaTower, pixels: Float[Tensor, "frames 3 side side"]) -> Float[Tensor, "frames rows width"]:
    """Run the tower with whole attention matrices: 2 * heads * rows * rows values a frame at a time."""
    rows = tower.embed(pixels)
    for block in cast("Iterable[EvaBlock]", tower.blocks):
        rows = rows + attend_unfused(block, rows)
        rows = rows + block.feed(block.norm2(rows))
    return rows


def attend_unfused(block: EvaBlock, rows: Float[Tensor, "frames rows width"]) -> Float[Tensor, "frames rows width"]:
    """Return what a block's attention adds; a function, so that all it holds is freed before the feed-forward."""
    query, key, value = block.attn.project(block.norm1(rows))
    weights = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)  # (frames, heads, rows, rows)
    return block.attn.merge(weights.softmax(dim=-1) @ value)


def build(size: str, device: str) -> LlamaVidBench:
    """Return the model of a size, its weights random, in 16 bits on a GPU."""
    dtype = torch.float16 if device.startswith("cuda") else torch.float32
    with on_meta_device():
        model = LlamaVid(SIZES[size])
    fill_at_random(model, device, dtype)
    return LlamaVidBench(model)

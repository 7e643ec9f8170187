"""Video-XL with random weights, for `niah bench video_xl`: ratio 16, a prompt of 14 + 60 tokens.

10,000 frames at 7B leave 90,074 tokens in the cache, 4.8 GiB, beside 15.6 GiB of weights. Run as the
release runs, memory ends long before: all frames pass the tower in one batch with every
layer's states kept and whole attention matrices, the cache grows by concatenation and is
rotated anew at every step, and the head is run for every token.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from baselines.video_xl import config
from baselines.video_xl.compress import RatioRule, cut_windows, plan_windows
from baselines.video_xl.inputs import PromptIds, SummaryCompression, make_pixels
from baselines.video_xl.language import AllStates, GradientCache, KeyValues, States, StepLayout, SummaryLayer
from baselines.video_xl.model import ClipLayer, ClipTower, VideoXL, build_random
from baselines.video_xl.prefill import VideoPrefill
from niah.adapters.bench import NoiseVideo, StageCosts
from niah.adapters.meter import clock
from niah.adapters.trace import Repeat, shapes

RATIO = 16
PROMPT = PromptIds(tuple(range(14)), tuple(range(60)))
LANGUAGE = {  # Qwen2-7B, as the release's checkpoint_layout_7b.json assumes
    "7b": {"vocab_size": 152064, "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
           "num_attention_heads": 28, "num_key_value_heads": 4, "beacon_window": 1440},
    "tiny": {"vocab_size": 256, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
             "num_attention_heads": 4, "num_key_value_heads": 2, "beacon_window": 64},
}  # fmt: skip
TOWERS = {
    "7b": config.CLIP_L_336,
    "tiny": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
             "image_size": 56, "patch_size": 14},
}  # fmt: skip
REST: Mapping[str, Any] = {
    "max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "rope_theta": 1e6, "mm_vision_select_layer": -1,
    "mm_spatial_pool_stride": 2, "beacon_ratio": [RATIO],
}  # fmt: skip


class VideoXLBench:
    """The model and both ways to run it."""

    def __init__(self, model: VideoXL) -> None:
        self.model, self.device, self.side = model, model.device, model.settings.vision.image
        layers = [layer for layer in model.language.layers if isinstance(layer, SummaryLayer)]
        norms = [norm for layer in layers for norm in (layer.input_layernorm, layer.post_attention_layernorm)]
        self.repeats = (
            Repeat((model,), "encode", lambda frames: frames.shape),
            Repeat(norms, "forward", shapes),
            Repeat([layer.mlp for layer in layers], "forward", shapes),
            Repeat([layer.self_attn for layer in layers], "_project", lambda states, step: (len(states), count(step))),
            Repeat(layers, "forward", layer_key, grow_cache),
        )

    def run(self, video: NoiseVideo, execution: str) -> StageCosts:
        """Read a video and a question up to the first logits on the host."""
        read = streamed if execution == "streamed" else as_released
        return read(self.model, video)[0]


def layer_key(states: Tensor, step: StepLayout, cache: KeyValues, layer: int) -> Hashable:
    """Return what a layer's memory depends on; None for the first tokens of a growing cache, which shares theirs."""
    first = isinstance(cache, ReleasedCache) and not cache.length
    return None if first else (len(states), count(step), cache.length)


def grow_cache(states: Tensor, step: StepLayout, cache: KeyValues, layer: int) -> None:
    """Keep what a layer keeps of a step that was not traced; a cache of fixed size has room for it."""
    if isinstance(cache, ReleasedCache):
        cache.grow(layer, count(step) or len(states))


def count(step: StepLayout) -> int:
    """Return how many summary tokens a step has."""
    return 0 if step.summaries is None else len(step.summaries)


def streamed(model: VideoXL, video: NoiseVideo) -> tuple[StageCosts, Float[Tensor, " vocabulary"]]:
    """Read a video as the adapter does; return what it cost and the last token's logits."""
    began = clock(model.device)
    reading = VideoPrefill(model, SummaryCompression(RatioRule((RATIO,))), video, PROMPT, new_tokens=1)
    logits = reading.prefill().cpu()
    seconds = clock(model.device) - began
    encode = reading.encoding.seconds
    return StageCosts({"encode": encode, "prefill": seconds - encode}, reading.cache.length), logits


def as_released(model: VideoXL, video: NoiseVideo) -> tuple[StageCosts, Float[Tensor, " vocabulary"]]:
    """The same with the release's batches, copies and logits."""
    began = clock(model.device)
    pixels = make_pixels(video.frames(range(len(video))), model.settings.pixels, model.device)
    patches = all_states(model.vision, pixels.to(model.dtype))[-1][:, 1:]
    visual = model.projector.average(model.projector(patches)).flatten(0, 1)
    encoded = clock(model.device)
    cache = ReleasedCache(model.settings.language)
    lengths = cut_windows(len(visual), model.settings.window)
    windows = plan_windows(lengths, [RATIO] * len(lengths))
    prefix, suffix = (torch.tensor(ids, device=model.device) for ids in (PROMPT.prefix, PROMPT.suffix))
    logits = visual[:0]
    for step in model.read(prefix, windows, lambda window: visual[window.start : window.stop], suffix, cache):
        logits = model.language.logits(step.states).float()  # of all tokens, in single precision
    last = logits[-1].cpu()
    return StageCosts({"encode": encoded - began, "prefill": clock(model.device) - encoded}, cache.length), last


class ReleasedCache(GradientCache):
    """Grows by concatenation, and rotates a copy of all its keys at every step."""

    def look(self, layer: int, keys: States, values: States) -> tuple[AllStates, AllStates]:
        """Return kept and new ones, joined; the copy stands for the keys rotated anew."""
        joined, all_values = super().look(layer, keys, values)
        return joined.clone(), all_values

    def grow(self, layer: int, count: int) -> None:
        """Hold `count` more tokens in one layer, of which nothing is known."""
        kept = self._kept[layer]
        assert kept is not None
        heads, length, dim = kept[0].shape
        self._kept[layer] = (
            kept[0].new_empty(heads, length + count, dim), kept[1].new_empty(heads, length + count, dim)
        )  # fmt: skip


def all_states(tower: ClipTower, pixels: Float[Tensor, "frames 3 side side"]) -> list[Float[Tensor, "frames rows dim"]]:
    """Run the tower over all frames at once with plain attention, and keep the states of every layer."""
    states = tower.embed(pixels)
    kept = [states]
    for layer in tower.layers:
        assert isinstance(layer, ClipLayer)
        states = states + attend_unfused(layer, states)
        states = states + layer.mlp(layer.layer_norm2(states))
        kept.append(states)
    return kept


def attend_unfused(layer: ClipLayer, states: Float[Tensor, "frames rows dim"]) -> Float[Tensor, "frames rows dim"]:
    """Return what a layer's attention adds; a function, so that all it holds is freed before the feed-forward."""
    queries, keys, values = layer.self_attn.project(layer.layer_norm1(states))
    weights = (queries * queries.shape[-1] ** -0.5) @ keys.transpose(-1, -2)  # (frames, heads, patches, patches)
    mixed = weights.softmax(-1) @ values
    return layer.self_attn.out_proj(mixed.transpose(1, 2).flatten(2))


def build(size: str, device: str) -> VideoXLBench:
    """Return the model of a size, its weights random, in 16 bits on a GPU."""
    settings = config.parse({**LANGUAGE[size], **REST, "mm_vision_tower": "as named here"}, TOWERS[size])
    dtype = torch.float16 if device.startswith("cuda") else torch.float32
    return VideoXLBench(build_random(settings, device, dtype))

"""VideoChat-Flash with random weights, for `niah bench videochat_flash`: 448 pixels, no dropout.

With 60 tokens of text 10,000 frames at 7B are 160,060 tokens, 9.2 GB of cache beside 15.9 GB of weights. Run as
the release runs, all clips pass the tower in one batch and every position gets its logits: at 448 pixels 80 GiB end
near 3,200 frames.
The release's cut at 32,768 tokens is not made in either: it would end the growth, and the question with it.
"""

from __future__ import annotations

from collections.abc import Hashable

import torch
from jaxtyping import Float
from torch import Tensor

from baselines.videochat_flash.config import CONFIGS, read
from baselines.videochat_flash.inputs import ClipFeatures, make_pixels, sample_frames
from baselines.videochat_flash.language import PromptState, RopeTable
from baselines.videochat_flash.model import PLACEHOLDER, VideoChatFlash, build_empty
from niah.adapters.bench import NoiseVideo, StageCosts
from niah.adapters.checkpoint import fill_at_random
from niah.adapters.meter import clock
from niah.adapters.trace import Repeat, shapes

BEFORE, AFTER = 14, 46  # tokens of text around the video


class VideoChatFlashBench:
    """The model and both ways to run it."""

    def __init__(self, model: VideoChatFlash) -> None:
        self.model, self.device, self.side = model, model.device, model.config.tower.image_size
        self.repeats = (
            Repeat((model,), "encode", shapes),
            Repeat((model.language,), "run_layer", layer_key, skip_layer),
        )
        self.ids = [*range(BEFORE), PLACEHOLDER, *range(AFTER)]

    def run(self, video: NoiseVideo, execution: str) -> StageCosts:
        """Read a video and a question up to the first logits on the host."""
        model, rope = self.model, self.model.rope("faithful")
        streamed = execution == "streamed"
        began = clock(self.device)
        shown = sample_frames(len(video), video.fps, len(video))
        if streamed:
            clips = (tokens for tokens, _ in ClipFeatures(model, None).of(video, shown))
        else:
            clips = iter(self._at_once(video, shown))
        embeds, visual = model.assemble(self.ids, clips, len(shown) // model.config.tower.clip_frames)
        encoded = clock(self.device)
        tokens = len(embeds)
        if streamed:
            state = model.prefill(embeds, visual, rope)
        else:
            state = model.prefill(embeds, visual, rope, rows=tokens, chunk=tokens)
        model.language.logits(state.hidden)[-1].cpu()  # of one row, or as the release makes them of every position
        return StageCosts({"encode": encoded - began, "prefill": clock(self.device) - encoded}, tokens)

    def _at_once(self, video: NoiseVideo, shown: list[int]) -> Float[Tensor, "clips tokens width"]:
        """Return the merged tokens of all clips, encoded and merged in one batch."""
        frames = make_pixels(video.frames(shown), self.side, self.device)
        return self.model.encode(frames.unflatten(0, (-1, self.model.config.tower.clip_frames)))


def layer_key(hidden: Tensor, number: int, state: PromptState, rope: RopeTable) -> Hashable:
    """Return what a layer's memory depends on; None where it allocates its cache."""
    cache = state.cache[number]
    return None if cache.buffers is None else (len(hidden), cache.get_seq_length(), state.longest[number])


def skip_layer(hidden: Tensor, number: int, state: PromptState, rope: RopeTable) -> None:
    """Count tokens as read by a layer."""
    state.cache[number].skip(len(hidden))


def build(size: str, device: str) -> VideoChatFlashBench:
    """Return the model of a size, its weights random, in bfloat16 on a GPU."""
    dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
    model = build_empty(read(CONFIGS[size]))
    fill_at_random(model, device, dtype)
    return VideoChatFlashBench(model)

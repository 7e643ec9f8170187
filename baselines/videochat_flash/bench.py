"""VideoChat-Flash with random weights, for `niah bench videochat_flash`: 448 pixels, no dropout.

With 60 tokens of text 10,000 frames at 7B are 160,060 tokens, 9.2 GB of cache beside 15.9 GB of weights. Run as
the release runs, all clips pass the tower in one batch and every position gets its logits: at 448 pixels 80 GiB end
near 3,200 frames.
The release's cut at 32,768 tokens is not made in either: it would end the growth, and the question with it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from baselines.videochat_flash.config import read
from baselines.videochat_flash.features import ClipFeatures
from baselines.videochat_flash.model import VideoChatFlash, unloaded
from baselines.videochat_flash.pixels import prepare
from baselines.videochat_flash.prompt import PLACEHOLDER
from baselines.videochat_flash.sampling import frame_indices
from baselines.videochat_flash.sizes import CONFIGS
from niah.adapters.bench import NoiseVideo, StageCosts
from niah.adapters.checkpoint import fill_at_random
from niah.adapters.meter import clock

BEFORE, AFTER = 14, 46  # tokens of text around the video


class VideoChatFlashBench:
    """The model and both ways to run it."""

    def __init__(self, model: VideoChatFlash) -> None:
        self.model, self.device, self.side = model, model.device, model.config.tower.image_size
        self.ids = [*range(BEFORE), PLACEHOLDER, *range(AFTER)]

    def run(self, video: NoiseVideo, execution: str) -> StageCosts:
        """Read a video and a question up to the first logits on the host."""
        streamed = execution == "streamed"
        began, model, rope = clock(self.device), self.model, self.model.rope("faithful")
        shown = frame_indices(len(video), video.fps, len(video))
        if streamed:
            clips = (tokens for tokens, _ in ClipFeatures(model, None).of(video, shown))
        else:
            clips = iter(self._at_once(video, shown))
        embeds, visual = model.assemble(self.ids, clips, len(shown) // model.config.tower.clip_frames)
        encoded, tokens = clock(self.device), len(embeds)
        if streamed:
            state = model.read(embeds, visual, rope)
        else:
            state = model.read(embeds, visual, rope, rows=tokens, chunk=tokens)
        model.language.logits(state.hidden)[-1].cpu()  # one row, or as the release makes them a row a position
        return StageCosts({"encode": encoded - began, "prefill": clock(self.device) - encoded}, tokens)

    def _at_once(self, video: NoiseVideo, shown: list[int]) -> Tensor:
        """Return the merged tokens of all clips, encoded and merged in one batch."""
        frames = prepare(video.frames(shown), self.side, self.device)
        return self.model.encode(frames.unflatten(0, (-1, self.model.config.tower.clip_frames)))


def build(size: str, device: str) -> VideoChatFlashBench:
    """Return the model of a size, its weights random, in bfloat16 on a GPU."""
    dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
    model = unloaded(read(CONFIGS[size]))
    fill_at_random(model, device, dtype)
    return VideoChatFlashBench(model)

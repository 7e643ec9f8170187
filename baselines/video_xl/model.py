"""Video-XL as a whole: the tower, the projector, the language model, and a video read into its cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from baselines.video_xl import config
from baselines.video_xl.cache import Cache, KeyValues
from baselines.video_xl.config import VideoXLConfig
from baselines.video_xl.language import SummaryQwen2
from baselines.video_xl.vision import ClipTower, Projector, pixels
from baselines.video_xl.windows import Window
from niah.adapters.checkpoint import fill_at_random, load_into, on_meta_device
from niah.adapters.qwen import check_finite
from niah.adapters.tensors import tensors

TOWER = "model.vision_tower.vision_tower.vision_model."
# Where the release's tensors live here, the first fitting prefix.
PLACES = (
    (TOWER + "encoder.layers.", "vision.layers."),
    (TOWER + "embeddings.", "vision."),
    (TOWER, "vision."),
    ("model.mm_projector.", "projector."),
    ("model.", "language."),
    ("lm_head.", "language.lm_head."),
)


@dataclass(frozen=True)
class Taken:
    """One step taken: raw tokens `start` up to `stop` (prefix, visual, suffix) and what stays of them."""

    start: int
    stop: int
    window: Window | None  # None for a step of text
    before: int  # tokens the cache held
    after: int  # and holds now
    states: Tensor  # (tokens and summary tokens, hidden), after the last norm


class VideoXL(nn.Module):
    """The model with the release's modules; weights come from `load`."""

    def __init__(self, settings: VideoXLConfig) -> None:
        super().__init__()
        self.settings = settings
        self.vision = ClipTower(settings.vision)
        self.projector = Projector(settings.vision, settings.language.hidden)
        self.language = SummaryQwen2(settings.language)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.language.norm.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """What the weights are held in."""
        return self.language.norm.weight.dtype

    def patches(self, frames: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return class tokens (frames, dim) and patches (frames, patches, dim) of (frames, height, width, 3) uint8."""
        return self.vision(pixels(frames, self.settings.pixels, self.device).to(self.dtype))

    def encode(self, frames: np.ndarray) -> Tensor:
        """Return the visual tokens of frames in time order: (frames x tokens, hidden)."""
        return self.projector.pooled(self.patches(frames)[1]).flatten(0, 1)

    def cache(self, capacity: int) -> Cache:
        """Return an empty cache with room for `capacity` tokens, those of the largest step included."""
        return Cache(self.settings.language, capacity, self.device, self.dtype)

    def read(
        self,
        prefix: Tensor,
        windows: Sequence[Window],
        visual: Callable[[Window], Tensor],
        suffix: Tensor,
        cache: KeyValues,
    ) -> Iterator[Taken]:
        """Read a prompt around a video into a cache, a step at a time: prefix, windows, suffix.

        `visual` gives a window's (tokens, hidden) visual tokens when its turn comes; they are dropped with
        the step. (tokens,) `prefix` and `suffix` ids stay uncompressed; a step reads at most a window of the suffix.
        """
        place = 0
        if len(prefix):
            yield from self._text(prefix, 0, len(prefix), cache)
            place = len(prefix)
        for window in windows:
            before = cache.length
            states = self.language.read_window(visual(window), window, cache)
            yield Taken(place, place + len(window), window, before, cache.length, states)
            place += len(window)
        if len(suffix):
            yield from self._text(suffix, place, self.settings.window, cache)

    def _text(self, ids: Tensor, place: int, chunk: int, cache: KeyValues) -> Iterator[Taken]:
        for start in range(0, len(ids), chunk):
            part = ids[start : start + chunk]
            before = cache.length
            states = self.language.read_text(part, cache)
            yield Taken(place + start, place + start + len(part), None, before, cache.length, states)

    def greedy(self, logits: Tensor, cache: Cache, limit: int) -> Iterator[tuple[int, Tensor]]:
        """Yield the likeliest next id and the (vocabulary,) logits it was taken from, up to `limit` times.

        The cache takes in each id only when the one after it is asked for. Raises UserError for logits that are
        not finite.
        """
        for count in range(limit):
            best = int(check_finite(logits).argmax())
            yield best, logits
            if count + 1 < limit:
                states = self.language.read_text(torch.tensor([best], device=self.device), cache)
                logits = self.language.logits(states)[0]


def rename(name: str) -> str:
    """Return where a tensor of the release lives in `VideoXL`."""
    for prefix, place in PLACES:
        if name.startswith(prefix):
            return place + name[len(prefix) :]
    return name


def unused(settings: VideoXLConfig) -> list[str]:
    """Return the tensors no answer depends on: the tower behind the selected layer, a head tied to the embedding."""
    tied = ["lm_head.weight"] if settings.language.tied else []
    beyond = range(settings.vision.layers, settings.vision.all_layers)
    return [*tied, TOWER + "post_layernorm.*", *(f"{TOWER}encoder.layers.{number}.*" for number in beyond)]


def build(settings: VideoXLConfig) -> VideoXL:
    """Return the model without weights, on the meta device."""
    with on_meta_device():
        return VideoXL(settings)


def build_random(settings: VideoXLConfig, device: str | torch.device, dtype: torch.dtype) -> VideoXL:
    """Return the model with small random weights: for memory and time, which values do not move."""
    model = build(settings)
    fill_at_random(model, device, dtype)
    return model


def load(folder: Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> VideoXL:
    """Load a released checkpoint. Raises UserError with everything in it that does not fit its config.

    A missing summary-token tensor is an error: the release would put a copy of the ordinary one there.
    """
    settings = config.read(folder)
    model = build(settings)
    load_into(model, tensors(folder), rename, unused=unused(settings), device=device, dtype=dtype)
    return model

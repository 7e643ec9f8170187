"""Video-XL as a whole: vision tower, projector, language model, loading, and reading a prompt around a video.

The tower stops at the layer the release selects and keeps no other layer's states; the release keeps all 25 of every
frame, 29.5 MB a frame. Held are the patches of the frames handed over: the caller decides how many at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, gelu, scaled_dot_product_attention

from baselines.video_xl import config
from baselines.video_xl.compress import Window
from baselines.video_xl.config import ClipConfig, VideoXLConfig
from baselines.video_xl.inputs import make_pixels
from baselines.video_xl.language import KeyValues, SummaryCache, SummaryQwen2
from niah.adapters.checkpoint import fill_at_random, load_into, on_meta_device
from niah.adapters.generation import Choose, continue_reply, most_likely
from niah.adapters.spread import device_of, dispatch, plan
from niah.adapters.tensors import tensors

TOWER = "model.vision_tower.vision_tower.vision_model."
LAYERS = "language.layers"
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
class ReadStep:
    """A step that was read: raw tokens `start` up to `stop` (of prefix, visual, suffix) and what stays of them."""

    start: int
    stop: int
    window: Window | None  # None for a step of text
    before: int  # tokens the cache held
    after: int  # and holds now
    states: Float[Tensor, "tokens hidden"]  # of raw and summary tokens, after the last norm


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
        """The device of the weights."""
        return self.language.norm.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights."""
        return self.language.norm.weight.dtype

    def patches(
        self, frames: UInt8[np.ndarray, "frames height width 3"]
    ) -> tuple[Float[Tensor, "frames dim"], Float[Tensor, "frames patches dim"]]:
        """Return class tokens and patches of frames."""
        return self.vision(make_pixels(frames, self.settings.pixels, self.device).to(self.dtype))

    def encode(self, frames: UInt8[np.ndarray, "frames height width 3"]) -> Float[Tensor, "visual hidden"]:
        """Return the visual tokens of frames in time order."""
        return self.projector.pooled(self.patches(frames)[1]).flatten(0, 1)

    def cache(self, capacity: int) -> SummaryCache:
        """Return an empty cache with room for `capacity` tokens, those of the largest step included."""
        devices = [device_of(layer) for layer in self.language.layers]
        return SummaryCache(self.settings.language, capacity, devices, self.dtype)

    def read(
        self,
        prefix: Int[Tensor, " _prefix"],
        windows: Sequence[Window],
        visual: Callable[[Window], Float[Tensor, "window hidden"]],
        suffix: Int[Tensor, " _suffix"],
        cache: KeyValues,
    ) -> Iterator[ReadStep]:
        """Read a prompt around a video into a cache, one step at a time: prefix, windows, suffix.

        Args:
            prefix: Ids before the video; they stay uncompressed, as those of the suffix do.
            windows: The windows of the video.
            visual: Returns a window's visual tokens when its turn comes; they are dropped with the step.
            suffix: Ids after the video; a step reads at most as many as a window has visual tokens.
            cache: Where to read them.
        """
        place = 0
        if len(prefix):
            yield from self._text(prefix, 0, len(prefix), cache)
            place = len(prefix)
        for window in windows:
            before = cache.length
            states = self.language.read_window(visual(window), window, cache)
            yield ReadStep(place, place + len(window), window, before, cache.length, states)
            place += len(window)
        if len(suffix):
            yield from self._text(suffix, place, self.settings.window, cache)

    def _text(self, ids: Int[Tensor, " tokens"], place: int, chunk: int, cache: KeyValues) -> Iterator[ReadStep]:
        for start in range(0, len(ids), chunk):
            part = ids[start : start + chunk]
            before = cache.length
            states = self.language.read_text(part, cache)
            yield ReadStep(place + start, place + start + len(part), None, before, cache.length, states)

    def generate(
        self,
        logits: Float[Tensor, " vocabulary"],
        cache: SummaryCache,
        limit: int,
        stops: Collection[int] = (),
        choose: Choose = most_likely,
    ) -> Iterator[tuple[int, Float[Tensor, " vocabulary"]]]:
        """Yield ids and the logits they were chosen by, as `continue_reply` does.

        Raises UserError for logits that are not finite.
        """

        def step(token: int) -> Tensor:
            states = self.language.read_text(torch.tensor([token], device=self.device), cache)
            return self.language.logits(states)[0]

        return continue_reply(logits, step, limit, stops, choose)


class ClipAttention(nn.Module):
    """Attention between the patches of a frame."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj = nn.Linear(size, size), nn.Linear(size, size)
        self.v_proj, self.out_proj = nn.Linear(size, size), nn.Linear(size, size)

    def forward(self, states: Float[Tensor, "frames patches dim"]) -> Float[Tensor, "frames patches dim"]:
        """Attend within each frame."""
        queries, keys, values = self.project(states)
        return self.out_proj(scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(2))

    def project(self, states: Float[Tensor, "frames patches dim"]) -> list[Float[Tensor, "frames heads patches size"]]:
        """Return queries, keys and values."""
        made = (project(states) for project in (self.q_proj, self.k_proj, self.v_proj))
        return [part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in made]


class ClipMlp(nn.Module):
    """CLIP's feed-forward layer."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.quick = config.activation == "quick_gelu"
        self.fc1 = nn.Linear(config.hidden, config.intermediate)
        self.fc2 = nn.Linear(config.intermediate, config.hidden)

    def forward(self, states: Float[Tensor, "frames patches dim"]) -> Float[Tensor, "frames patches dim"]:
        """Widen, activate, and narrow again."""
        wide = self.fc1(states)
        return self.fc2(wide * torch.sigmoid(1.702 * wide) if self.quick else gelu(wide))


class ClipLayer(nn.Module):
    """One block of the tower."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(config.hidden, config.epsilon)
        self.self_attn = ClipAttention(config.hidden, config.heads)
        self.layer_norm2 = nn.LayerNorm(config.hidden, config.epsilon)
        self.mlp = ClipMlp(config)

    def forward(self, states: Float[Tensor, "frames patches dim"]) -> Float[Tensor, "frames patches dim"]:
        """Attend, then run the feed-forward layer, each after its own norm and added to what came in."""
        states = states + self.self_attn(self.layer_norm1(states))
        return states + self.mlp(self.layer_norm2(states))


class ClipTower(nn.Module):
    """CLIP's vision tower up to the selected layer."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.zeros(config.hidden))
        self.patch_embedding = nn.Conv2d(3, config.hidden, config.patch, config.patch, bias=False)
        self.position_embedding = nn.Embedding(config.side**2 + 1, config.hidden)
        self.pre_layrnorm = nn.LayerNorm(config.hidden, config.epsilon)  # the release's spelling
        self.layers = nn.ModuleList(ClipLayer(config) for _ in range(config.layers))

    def forward(
        self, pixels: Float[Tensor, "frames 3 side side"]
    ) -> tuple[Float[Tensor, "frames dim"], Float[Tensor, "frames patches dim"]]:
        """Return class tokens and patches of frames."""
        states = self.embed(pixels)
        for layer in self.layers:
            states = layer(states)
        return states[:, 0], states[:, 1:]

    def embed(self, pixels: Float[Tensor, "frames 3 side side"]) -> Float[Tensor, "frames rows dim"]:
        """Return what the first layer reads, hidden state 0: the class token and the patches of each frame."""
        patches = self.patch_embedding(pixels).flatten(2).transpose(1, 2)
        states = torch.cat([self.class_embedding.expand(len(pixels), 1, -1), patches], dim=1)
        return self.pre_layrnorm(states + self.position_embedding.weight)


class Projector(nn.Sequential):
    """Two linear layers and GELU between them, from the tower's size to the language model's."""

    def __init__(self, config: ClipConfig, hidden: int) -> None:
        super().__init__(nn.Linear(config.hidden, hidden), nn.GELU(), nn.Linear(hidden, hidden))
        self.side, self.pool = config.side, config.pool

    def pooled(self, patches: Float[Tensor, "frames patches dim"]) -> Float[Tensor, "frames tokens hidden"]:
        """Project and pool.

        The release pools last. Pooling commutes with the second linear layer, which so runs on a quarter.
        """
        return self[2](self.average(self[1](self[0](patches))))

    def average(self, patches: Float[Tensor, "frames patches dim"]) -> Float[Tensor, "frames tokens dim"]:
        """Average squares of neighbouring patches; tokens come row by row."""
        square = patches.transpose(1, 2).unflatten(2, (self.side, self.side))
        return avg_pool2d(square, self.pool).flatten(2).transpose(1, 2)


def rename(name: str) -> str:
    """Return where a tensor of the release lives in `VideoXL`."""
    for prefix, place in PLACES:
        if name.startswith(prefix):
            return place + name[len(prefix) :]
    return name


def unused(settings: VideoXLConfig) -> list[str]:
    """Return the tensors no answer depends on: the tower after the selected layer, a head tied to the embedding."""
    tied = ["lm_head.weight"] if settings.language.tied else []
    beyond = range(settings.vision.layers, settings.vision.all_layers)
    return [*tied, TOWER + "post_layernorm.*", *(f"{TOWER}encoder.layers.{number}.*" for number in beyond)]


def build_empty(settings: VideoXLConfig) -> VideoXL:
    """Return the model without weights, on the meta device."""
    with on_meta_device():
        return VideoXL(settings)


def build_random(settings: VideoXLConfig, device: str | torch.device, dtype: torch.dtype) -> VideoXL:
    """Return the model with small random weights, for benchmarks: memory and time do not depend on values."""
    model = build_empty(settings)
    fill_at_random(model, device, dtype)
    return model


def load(
    folder: Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    device_map: str | None = None,
) -> VideoXL:
    """Load a released checkpoint. Raises UserError with everything in it that does not fit its config.

    A missing summary-token tensor is an error: the release would put a copy of the ordinary one there.
    """
    settings = config.read(folder)
    model = build_empty(settings)
    places = plan(model, LAYERS, dtype, device_map)
    found = tensors(folder)
    load_into(model, found, rename, unused=unused(settings), device=device, dtype=dtype, places=places)
    dispatch(model, LAYERS, device, places)
    return model

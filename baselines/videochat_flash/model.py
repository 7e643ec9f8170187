"""VideoChat-Flash as a whole: UMT-L video tower, merging, projector, language model, loading.

Memory. A clip of four frames leaves the tower as 64 merged tokens: 16 a frame, each of the tower's width until the
projector. Of a 7B model in half precision a frame leaves 32,768 bytes of merged tokens, 114,688 projected, and 917,504
of keys and values without dropout (57,344 a token); the patches of one clip only are alive at a time (6.4 MB at 448
pixels, where all patches of 10,000 frames would take 16 GB).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from baselines.videochat_flash.compress import layer_stretches, merge_clips
from baselines.videochat_flash.config import TokenDropout, UmtConfig, VideoChatFlashConfig
from baselines.videochat_flash.language import DroppingQwen2, PromptState, RopeTable
from niah.adapters.checkpoint import load_into, on_meta_device
from niah.adapters.generation import Choose, continue_reply, most_likely
from niah.adapters.qwen import PREFILL_CHUNK
from niah.adapters.spread import dispatch, plan
from niah.adapters.tensors import tensors
from niah.run.attention import VisualAttention
from niah.types import UserError

PLACEHOLDER = -200  # the id that stands for all visual tokens of a prompt
STORED_GRID = 14  # patches a side that the tower's positions were made for: 224 pixels of 16
LAYERS = "language.layers"
TOWER, PROJECTOR = "model.vision_tower.vision_tower.encoder.", "model.mm_projector.mlp."


class VideoChatFlash(nn.Module):
    """The model and its pure steps; it keeps nothing between calls."""

    def __init__(self, config: VideoChatFlashConfig) -> None:
        super().__init__()
        width = config.language.width
        self.config = config
        self.tower = UmtTower(config.tower)
        self.projector = nn.Sequential(nn.Linear(config.tower.width, width), nn.GELU(), nn.Linear(width, width))
        self.language = DroppingQwen2(config.language)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.language.norm.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights."""
        return self.language.norm.weight.dtype

    def rope(self, mode: str) -> RopeTable:
        """Return the rotary positions: "faithful" as the release rounds them, or "exact"."""
        return RopeTable(mode, self.config.language, self.language.qwen, self.device)

    @torch.inference_mode()
    def encode(self, pixels: Float[Tensor, "clips frames 3 size size"]) -> Float[Tensor, "clips tokens width"]:
        """Return the merged tokens of clips, 16 a frame, before the projector."""
        features = self.tower(pixels.to(self.device, self.dtype))
        return merge_clips(features, self.config.tower.clip_tokens, self.config.tower.merge_heads).to(self.dtype)

    @torch.inference_mode()
    def assemble(
        self, ids: Sequence[int], clips: Iterable[Float[Tensor, "tokens width"]], count: int
    ) -> tuple[Float[Tensor, "total hidden"], range]:
        """Return a prompt's embeddings with the projected tokens at the placeholder, and where those lie.

        Each of the `count` clips is projected when it comes, so that no more than one is alive. Raises ValueError
        unless a prompt with clips has one placeholder and another none, and UserError for an id the model does not
        know.
        """
        if ids.count(PLACEHOLDER) != (count > 0):
            raise ValueError(f"a prompt with {count} clips has {ids.count(PLACEHOLDER)} placeholders for them")
        first = ids.index(PLACEHOLDER) if count else len(ids)
        text = torch.tensor([*ids[:first], *ids[first + 1 :]], dtype=torch.long, device=self.device)
        if len(text) and int(text.max()) >= self.config.language.vocabulary:
            raise UserError(
                f"the tokenizer gives id {int(text.max())}, the model knows {self.config.language.vocabulary}: "
                "the folder's tokenizer is another model's"
            )
        embedded = self.language.embed_tokens(text)
        size = self.config.tower.clip_tokens
        visual = range(first, first + count * size)
        whole = embedded.new_empty(len(embedded) + len(visual), embedded.shape[1])
        whole[:first], whole[visual.stop :] = embedded[:first], embedded[first:]
        for number, clip in zip(range(count), clips, strict=True):
            start = first + number * size
            whole[start : start + size] = self.projector(clip.to(self.device, self.dtype))
        return whole, visual

    @torch.inference_mode()
    def prefill(
        self,
        embeds: Float[Tensor, "tokens hidden"],
        visual: range,
        rope: RopeTable,
        dropout: TokenDropout | None = None,
        truncate: int | None = None,
        room: int = 0,
        rows: int = 1,
        chunk: int = PREFILL_CHUNK,
    ) -> PromptState:
        """Prefill the language model with a prompt.

        Args:
            embeds: The prompt's embeddings; they are overwritten.
            visual: Which of its tokens are visual.
            rope: The rotary positions.
            dropout: Where visual tokens are dropped; without visual tokens nowhere.
            truncate: Cut the prompt on the right after so many positions, as the release does, and the question with
                it: only for callers that want this.
            room: How many more tokens the cache shall have room for.
            rows: How many of the last positions' states to return.
            chunk: Tokens that pass through the layers at a time.
        """
        if truncate is not None and len(embeds) > truncate:
            embeds, visual = embeds[:truncate], range(visual.start, min(visual.stop, truncate))
        if dropout is not None and not visual:
            dropout = None  # nothing to drop: a question without a video
        return self.language.prefill(embeds, visual, dropout, rope, chunk, room, rows)

    @torch.inference_mode()
    def first_logits(self, state: PromptState) -> Float[Tensor, " vocabulary"]:
        """Return the logits after a prompt. Raises UserError where they are not finite."""
        return _check_finite(self.language.logits(state.hidden[-1:])[0])

    @torch.inference_mode()
    def generate(
        self,
        logits: Float[Tensor, " vocabulary"],
        state: PromptState,
        rope: RopeTable,
        limit: int,
        stops: Collection[int] = (),
        choose: Choose = most_likely,
    ) -> tuple[list[int], list[Float[Tensor, " vocabulary"]]]:
        """Return what `continue_reply` yields. Raises UserError where logits are not finite."""

        def step(token: int) -> Tensor:
            return _check_finite(self.language.step(token, state, rope))

        said = list(continue_reply(logits, step, limit, stops, choose))
        return [token for token, _ in said], [row for _, row in said]


def sinusoids(count: int, width: int) -> Float[Tensor, "count width"]:
    """Return the fixed table of positions: sine on even channels, cosine on odd ones; fp32, computed in fp64."""
    channel = torch.arange(width)
    angles = torch.arange(count, dtype=torch.float64)[:, None] / 10000 ** (2 * (channel // 2).double() / width)
    return torch.where(channel % 2 == 0, angles.sin(), angles.cos()).float()


def clip_positions(frames: int, grid: int, width: int) -> Float[Tensor, "patches width"]:
    """Return positions of grid x grid patches a frame: the table of 14 x 14, resized where the grid is another."""
    table = sinusoids(frames * STORED_GRID**2, width)
    if grid == STORED_GRID:
        return table
    maps = table.view(frames, STORED_GRID, STORED_GRID, width).permute(0, 3, 1, 2)
    maps = functional.interpolate(maps, size=(grid, grid), mode="bicubic", align_corners=False)
    return maps.permute(0, 2, 3, 1).reshape(frames * grid**2, width)


class UmtAttention(nn.Module):
    """Attention with biases on queries and values alone."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(width))
        self.v_bias = nn.Parameter(torch.zeros(width))
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Float[Tensor, "clips tokens width"]) -> Float[Tensor, "clips tokens width"]:
        """Attend within each clip."""
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        mixed = functional.linear(tokens, self.qkv.weight, bias).unflatten(-1, (3, self.heads, -1))
        query, key, value = mixed.permute(2, 0, 3, 1, 4)  # each (clips, heads, tokens, head width)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class UmtBlock(nn.Module):
    """Attention and a feed-forward layer, each after its own norm and added to what came in."""

    def __init__(self, config: UmtConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, eps=config.block_eps)
        self.attn = UmtAttention(config.width, config.heads)
        self.norm2 = nn.LayerNorm(config.width, eps=config.block_eps)
        self.mlp = nn.ModuleDict({
            "fc1": nn.Linear(config.width, config.intermediate),
            "fc2": nn.Linear(config.intermediate, config.width),
        })  # fmt: skip

    def forward(self, tokens: Float[Tensor, "clips tokens width"]) -> Float[Tensor, "clips tokens width"]:
        """Run attention, then the feed-forward layer."""
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp["fc2"](functional.gelu(self.mlp["fc1"](self.norm2(tokens))))


class UmtTower(nn.Module):
    """UMT-L: attention over all patches of a clip of four frames together; parameters have the release's names."""

    def __init__(self, config: UmtConfig) -> None:
        super().__init__()
        self.config = config
        patch = (1, config.patch_size, config.patch_size)
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv3d(3, config.width, patch, patch)})
        self.blocks = nn.ModuleList(UmtBlock(config) for _ in range(config.blocks))
        self.vision_layernorm = nn.LayerNorm(config.width, eps=config.final_eps)
        self._positions: dict[tuple[int, torch.dtype], Tensor] = {}  # on the host; computing them takes 40 ms a clip

    def patches(self, pixels: Float[Tensor, "clips frames 3 size size"]) -> Float[Tensor, "clips tokens width"]:
        """Return the patches of clips, without positions."""
        return self.patch_embed["proj"](pixels.transpose(1, 2)).flatten(2).transpose(1, 2)

    def forward(self, pixels: Float[Tensor, "clips frames 3 size size"]) -> Float[Tensor, "clips tokens width"]:
        """Return the features of clips, one row for each patch.

        One frame to a clip is the single-image mode, with positions of its own. Attention is fused: the most
        that is held besides weights is one block's hidden layer, 4 times the features.
        """
        tokens = self.patches(pixels)
        tokens = tokens + self._position_table(pixels.shape[1], tokens.dtype).to(tokens)
        for block in self.blocks:
            tokens = block(tokens)
        return self.vision_layernorm(tokens)

    def _position_table(self, frames: int, dtype: torch.dtype) -> Float[Tensor, "patches width"]:
        """Return the positions of clips of so many frames, computed once."""
        if (frames, dtype) not in self._positions:
            table = clip_positions(frames, self.config.grid, self.config.width)
            self._positions[frames, dtype] = table.to(dtype)
        return self._positions[frames, dtype]


def _check_finite(logits: Float[Tensor, " vocabulary"]) -> Float[Tensor, " vocabulary"]:
    """Return logits as they came. Raises UserError where some are not finite, naming this model's own cause."""
    if not logits.isfinite().all():
        raise UserError(
            "the logits are not finite numbers: in float16 the release's rotary table is NaN from position 65,520 on, "
            "and large activations overflow; use rope=exact or dtype=bfloat16"
        )
    return logits


def rename(name: str) -> str:
    """Return the module's name for a tensor of the release."""
    for prefix, own in ((TOWER, "tower."), (PROJECTOR, "projector."), ("model.", "language.")):
        if name.startswith(prefix):
            return own + name[len(prefix) :]
    return "language." + name if name.startswith("lm_head.") else name


def build_empty(config: VideoChatFlashConfig) -> VideoChatFlash:
    """Return the model without memory for its weights, to be filled or compared with a layout."""
    with on_meta_device():
        return VideoChatFlash(config).eval()


def load(
    folder: Path,
    config: VideoChatFlashConfig,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    device_map: str | None = None,
) -> VideoChatFlash:
    """Load a released folder. Raises UserError naming every mismatch between config and tensors."""
    model = build_empty(config)
    # A tied head is the embedding, whether or not it was written out once more.
    unused = ("lm_head.weight",) if config.language.tied else ()
    places = plan(model, LAYERS, dtype, device_map)
    load_into(model, tensors(folder), rename, unused=unused, device=device, dtype=dtype, places=places)
    dispatch(model, LAYERS, device, places)
    return model


@torch.inference_mode()
def capture_attention(
    model: VideoChatFlash, embeds: Float[Tensor, "tokens hidden"], visual: range, shown: list[int], rope: RopeTable
) -> VisualAttention:
    """Read a prompt; return what the tokens after the video attend to. Raises UserError without a video.

    The prompt is read as for an answer. Then the words after the video go through the layers once more, over the keys
    and values which that left in the cache, so the numbers are those of the forward pass. A visual token is merged from
    patches of a clip, four frames, which ones is not kept: it is counted to the clip's first frame and has no place
    among patches. After a stop some visual tokens are gone; what later layers pay them is 0. Held are the cache of all
    layers, and of one layer at a time (heads, words, tokens).

    Args:
        model: The model.
        embeds: The prompt's embeddings; they are overwritten. A token's features are its embedding.
        visual: Which of its tokens are visual.
        shown: The frames shown, clip by clip.
        rope: The rotary positions.
    """
    if not shown:
        raise UserError("attention is captured in a video's tokens: ask about a video, not a blind case")
    tower = model.config.tower
    features = embeds[visual.start : visual.stop].float().cpu().numpy()
    words = embeds[visual.stop :].clone()
    state = model.prefill(embeds, visual, rope, model.config.dropout)
    frames = np.repeat(shown[:: tower.clip_frames], tower.clip_tokens)
    return VisualAttention(
        frames, np.full(len(frames), -1), features, _word_attention(model, state, words, visual, rope)
    )


@torch.inference_mode()
def _word_attention(
    model: VideoChatFlash, state: PromptState, words: Float[Tensor, "words hidden"], visual: range, rope: RopeTable
) -> Iterator[Float[np.ndarray, "heads words visual"]]:
    """Yield for each layer the attention weights of the words on the visual tokens."""
    rows = model.language.attention(words, state, rope)
    left = [torch.arange(len(visual)), *state.kept]
    for stretch, numbers in zip(layer_stretches(model.config.dropout, len(state.cache)), left, strict=True):
        for _, row in zip(stretch, rows, strict=False):
            weights = row.new_zeros(*row.shape[:2], len(visual))
            weights[:, :, numbers.to(row.device)] = row[:, :, visual.start : visual.start + len(numbers)]
            yield weights.cpu().numpy()

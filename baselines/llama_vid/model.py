"""LLaMA-VID as a whole: EVA-ViT-g tower, compressor, language model, loading, and how a video gets in.

Frames stream: a chunk leaves the tower as features, the compressor as two tokens a frame, and nothing else of it stays.
At 7B size in half precision that is 16 KiB a frame, against 724 KiB of features and 301 KiB of pixels, which live for
one chunk. The key-value cache then takes 1 MiB a frame.

The tower is written out because the one in `transformers` always ends in a norm and fuses the biases; its parameters
have the release's names. Its weights never come from the checkpoint, even where that has some: so the release loads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import gelu, linear, scaled_dot_product_attention
from transformers.cache_utils import Cache

from baselines.llama_vid.compress import FrameCompressor, Query
from baselines.llama_vid.config import EvaConfig, LlamaVidConfig, parse
from baselines.llama_vid.language import Rotary, build_language
from niah.adapters import qwen
from niah.adapters.checkpoint import load_into, locate, on_meta_device
from niah.adapters.config_reader import read_config
from niah.adapters.spread import dispatch, plan
from niah.adapters.tensors import TensorSource, tensors, tensors_of
from niah.types import UserError

PLACEHOLDER = -200  # the id that stands for the video, or on the long path for one of its tokens
TOWER_FILES = ("eva_vit.safetensors", "eva_vit_g.safetensors", "eva_vit_g.pth")
BERT = "google-bert/bert-base-uncased"
LAYERS = "language.model.layers"
FREQUENCIES = "*.rotary_emb.inv_freq"
POSITION_IDS = "model.vlm_att_encoder.bert.embeddings.position_ids"
IN_CHECKPOINT_TOWER = "model.vision_tower.*"
_ENCODER = "model.vlm_att_encoder.bert."
Heads = Float[Tensor, "frames heads rows size"]


class LlamaVid(nn.Module):
    """The whole model; build it `on_meta_device` and fill it by `load`."""

    def __init__(self, config: LlamaVidConfig) -> None:
        super().__init__()
        self.config = config
        self.vision_tower = EvaTower(config.vision)
        self.compressor = FrameCompressor(config)
        self.language = build_language(config.language)
        self.rotary = Rotary(
            config.language.head_width,
            config.language.rope_theta,
            config.language.rope_factor,
            config.language.positions,
        )
        self.language.model.rotary_emb = self.rotary  # type: ignore[assignment]

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.language.lm_head.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights."""
        return self.language.lm_head.weight.dtype

    @property
    def tokens_per_frame(self) -> int:
        """Count the context token and the content tokens."""
        grid, vision = self.config.grid, self.config.vision
        if grid is None:
            return 1 + (1 if self.config.compress else vision.patches)
        side = vision.image_size // vision.patch_size
        return 1 + (side // (side // grid)) ** 2  # windows of side // grid rows: more than grid, if that leaves a rest

    def encode(
        self, pixels: Float[Tensor, "frames 3 side side"], class_row: bool
    ) -> Float[Tensor, "frames rows width"]:
        """Return the tower's features of one chunk; the long path drops the class row."""
        features = self.vision_tower(pixels.to(self.device, self.dtype))
        return features if class_row else features[:, 1:]

    def video_tokens(
        self, chunks: Iterable[Float[Tensor, "_frames rows width"]], query: Query
    ) -> Float[Tensor, "prompts tokens hidden"]:
        """Turn chunks of features into tokens, holding one chunk of features at a time.

        With the class row the Q-Former sees it (short path), without it does not (long path).
        """
        hidden = self.config.language.width
        tokens = [torch.zeros(len(query.ids), 0, hidden, device=self.device, dtype=self.dtype)]
        tokens += [self.compressor(features, query) for features in chunks]
        return torch.cat(tokens, dim=1)

    def assemble(
        self, ids: Int[Tensor, " length"], tokens: Float[Tensor, "tokens hidden"]
    ) -> Float[Tensor, "total hidden"]:
        """Embed a prompt and put the video's tokens in.

        One placeholder is replaced by all tokens (short path); as many as there are tokens are
        overwritten in order (long path). Raises ValueError for any other number.
        """
        places = (ids == PLACEHOLDER).nonzero().flatten()
        if len(places) not in (1, len(tokens)):
            raise ValueError(f"{len(tokens)} tokens need 1 placeholder or as many, got {len(places)}")
        embedded = self.embed(ids.masked_fill(ids == PLACEHOLDER, 0))
        if len(places) == len(tokens):
            embedded[places] = tokens.to(embedded)
            return embedded
        return torch.cat((embedded[: places[0]], tokens.to(embedded), embedded[places[0] + 1 :]))

    def embed(self, ids: Int[Tensor, " length"]) -> Float[Tensor, "length hidden"]:
        """Return the language model's embeddings of token ids."""
        return self.language.model.embed_tokens(ids.to(self.device))

    def prefill(
        self, embeds: Float[Tensor, "total hidden"], room: int = 0, chunk: int = qwen.PREFILL_CHUNK
    ) -> tuple[Cache, Float[Tensor, " vocabulary"]]:
        """Run a prompt through the language model; return its cache and the logits of the last position alone."""
        self.rotary.expect(len(embeds))
        return qwen.prefill(self.language, embeds, chunk, room)


class EvaTower(nn.Module):
    """The class row and the patches of a frame after the last block, with no final norm.

    For one chunk of frames it holds about 9 MB a frame at 7B size in half precision.
    """

    def __init__(self, sizes: EvaConfig) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, sizes.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, sizes.patches + 1, sizes.width))
        convolution = nn.Conv2d(3, sizes.width, sizes.patch_size, stride=sizes.patch_size)
        self.patch_embed = nn.ModuleDict({"proj": convolution})
        self.blocks = nn.ModuleList(EvaBlock(sizes) for _ in range(sizes.blocks))

    def embed(self, pixels: Float[Tensor, "frames 3 side side"]) -> Float[Tensor, "frames rows width"]:
        """Return the class row and the patches, positions added, before the first block."""
        patches = self.patch_embed["proj"](pixels).flatten(2).transpose(1, 2)
        rows = torch.cat((self.cls_token.expand(len(pixels), -1, -1), patches), dim=1)
        return rows + self.pos_embed

    def forward(self, pixels: Float[Tensor, "frames 3 side side"]) -> Float[Tensor, "frames rows width"]:
        """Encode standardised pixels; rows are the class row and then the patches in reading order."""
        rows = self.embed(pixels)
        for block in self.blocks:
            rows = block(rows)
        return rows


class EvaBlock(nn.Module):
    """x + Attn(LN(x)), then x + MLP(LN(x))."""

    def __init__(self, sizes: EvaConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(sizes.width, eps=sizes.layer_norm_eps)
        self.attn = EvaAttention(sizes)
        self.norm2 = nn.LayerNorm(sizes.width, eps=sizes.layer_norm_eps)
        self.mlp = nn.ModuleDict({
            "fc1": nn.Linear(sizes.width, sizes.mlp_width),
            "fc2": nn.Linear(sizes.mlp_width, sizes.width),
        })  # fmt: skip

    def forward(self, rows: Float[Tensor, "frames rows width"]) -> Float[Tensor, "frames rows width"]:
        """Run attention, then the feed-forward."""
        rows = rows + self.attn(self.norm1(rows))
        return rows + self.feed(self.norm2(rows))

    def feed(self, rows: Float[Tensor, "frames rows width"]) -> Float[Tensor, "frames rows width"]:
        """Run the feed-forward alone."""
        return self.mlp["fc2"](gelu(self.mlp["fc1"](rows)))


class EvaAttention(nn.Module):
    """Self-attention whose queries and values have biases; keys have none."""

    def __init__(self, sizes: EvaConfig) -> None:
        super().__init__()
        self.heads = sizes.heads
        self.q_bias = nn.Parameter(torch.zeros(sizes.width))
        self.v_bias = nn.Parameter(torch.zeros(sizes.width))
        self.qkv = nn.Linear(sizes.width, 3 * sizes.width, bias=False)
        self.proj = nn.Linear(sizes.width, sizes.width)

    def project(self, rows: Float[Tensor, "frames rows width"]) -> tuple[Heads, Heads, Heads]:
        """Return queries, keys and values."""
        bias = torch.cat((self.q_bias, torch.zeros_like(self.q_bias), self.v_bias))
        parts = linear(rows, self.qkv.weight, bias).unflatten(-1, (3, self.heads, -1))
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        return query, key, value

    def merge(self, mixed: Heads) -> Float[Tensor, "frames rows width"]:
        """Join the heads again."""
        return self.proj(mixed.transpose(1, 2).flatten(2))

    def forward(self, rows: Float[Tensor, "frames rows width"]) -> Float[Tensor, "frames rows width"]:
        """Attend with a kernel that holds no whole matrix."""
        return self.merge(scaled_dot_product_attention(*self.project(rows)))


def rename(name: str) -> str:
    """Return what `LlamaVid` calls a tensor of the release."""
    if name.startswith("model.vision_tower."):
        return name.replace("model.vision_tower.vision_tower.", "vision_tower.", 1)
    if name.startswith(_ENCODER):
        name = re.sub(r"(attention)\.self\.", r"\1.attention.", name[len(_ENCODER) :])
        return "compressor.vlm_att_encoder." + name.replace("embeddings.LayerNorm", "embeddings.layernorm")
    if name.startswith(("model.vlm_", "model.mm_projector.")):
        return "compressor." + name.removeprefix("model.")
    return "language." + name


def bert_folder(folder: Path, bert: str | None) -> Path:
    """Return where BERT's config.json and vocab.txt lie: as named, beside the checkpoint, or on the hub."""
    if bert is None and (folder / "bert").is_dir():
        return folder / "bert"
    return locate(bert or BERT)


def read_sizes(folder: Path, name: str = "config.json", bert: str | None = None) -> LlamaVidConfig:
    """Read a checkpoint's sizes. Raises UserError naming what is missing or not followed."""
    return parse(read_config(folder, name), read_config(bert_folder(folder, bert)))


def load(
    folder: Path,
    config: LlamaVidConfig,
    *,
    tower: str | None = None,
    rope: str = "faithful",
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    device_map: str | None = None,
) -> LlamaVid:
    """Build a model and fill it from a checkpoint folder and the tower's file.

    Raises UserError naming every tensor that does not fit, and damaged or contradictory tables.
    """
    with on_meta_device():
        model = LlamaVid(config)
    tower_file = _tower_file(folder, tower)
    found = tensors(folder)
    frequencies = _frequencies(found, config.language.head_width)
    model.rotary.choose(rope, frequencies)
    _check_position_ids(found)
    mine = nn.ModuleDict({"compressor": model.compressor, "language": model.language})
    unused = (IN_CHECKPOINT_TOWER, FREQUENCIES, POSITION_IDS)
    places = plan(model, LAYERS, dtype, device_map)
    load_into(mine, found, rename, unused=unused, device=device, dtype=dtype, places=places)
    of_tower = tensors_of(tower_file)
    known = set(model.vision_tower.state_dict())
    load_into(model.vision_tower, of_tower, unused=set(of_tower) - known, device=device, dtype=dtype)
    dispatch(model, LAYERS, device, places)
    return model.eval()


def _tower_file(folder: Path, tower: str | None) -> Path:
    """Return the file of the vision tower."""
    if tower is not None:
        if not Path(tower).is_file():
            raise UserError(f"no file {tower!r}: tower= names the file of the vision tower, eva_vit_g.pth")
        return Path(tower)
    for name in TOWER_FILES:
        if (folder / name).is_file():
            return folder / name
    raise UserError(
        f"{folder.name} holds no vision tower: the release keeps it in a file of its own, eva_vit_g.pth of LAVIS; "
        f"put it there (as {' or '.join(TOWER_FILES)}) or name it by tower=FILE"
    )


def _frequencies(found: dict[str, TensorSource], head_width: int) -> torch.Tensor | None:
    """Return the rotary frequencies that every layer of the checkpoint holds, or None where none does."""
    names = sorted(name for name in found if name.endswith(".rotary_emb.inv_freq"))
    if not names:
        return None
    tables = {name: found[name].read().float() for name in names}
    first = tables[names[0]]
    if tuple(first.shape) != (head_width // 2,) or not (first.isfinite() & (first > 0)).all():
        raise UserError(f"{names[0]} must hold {head_width // 2} positive numbers, got shape {list(first.shape)}")
    others = [name for name, table in tables.items() if not torch.equal(table, first)]
    if others:
        raise UserError(
            f"all layers of a LLaMA rotate by the same frequencies, but {', '.join(others)} differ from {names[0]}: "
            "the checkpoint is damaged; download it again"
        )
    return first


def _check_position_ids(found: dict[str, TensorSource]) -> None:
    """Raise UserError where the Q-Former's positions, which are only ever counted up, are something else."""
    if POSITION_IDS in found:
        stored = found[POSITION_IDS].read().flatten()
        if not torch.equal(stored, torch.arange(len(stored)).to(stored.dtype)):
            raise UserError(f"{POSITION_IDS} must count up from 0: the checkpoint is damaged; download it again")

"""VideoChat-Flash whole: tower, merging, projector, language model.

Memory. A clip of four frames leaves the tower as 64 merged tokens: 16 a frame, each of the tower's width until the
projector. Of a 7B model in half precision a frame leaves 32,768 bytes of merged tokens, 114,688 projected, and
917,504 of keys and values without dropout (57,344 a token); the patches of one clip only are alive at a time
(6.4 MB at 448 pixels, where all patches of 10,000 frames would take 16 GB).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from baselines.videochat_flash.config import Dropout, VideoChatFlashConfig
from baselines.videochat_flash.language import Language, State
from baselines.videochat_flash.merge import merge_clips
from baselines.videochat_flash.prompt import PLACEHOLDER
from baselines.videochat_flash.rope import Rope
from baselines.videochat_flash.tower import Tower
from niah.adapters.checkpoint import load_into, on_meta_device
from niah.adapters.qwen import PREFILL_CHUNK
from niah.adapters.tensors import tensors
from niah.types import UserError

TOWER, PROJECTOR = "model.vision_tower.vision_tower.encoder.", "model.mm_projector.mlp."


class VideoChatFlash(nn.Module):
    """The model and its pure steps; it keeps nothing between calls."""

    def __init__(self, config: VideoChatFlashConfig) -> None:
        super().__init__()
        width = config.language.width
        self.config = config
        self.tower = Tower(config.tower)
        self.projector = nn.Sequential(nn.Linear(config.tower.width, width), nn.GELU(), nn.Linear(width, width))
        self.language = Language(config.language)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.language.norm.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """What the weights are."""
        return self.language.norm.weight.dtype

    def rope(self, mode: str) -> Rope:
        """Return the rotary positions: "faithful" as the release rounds them, or "exact"."""
        return Rope(mode, self.config.language, self.language.qwen, self.device)

    @torch.inference_mode()
    def encode(self, pixels: Tensor) -> Tensor:
        """Return merged tokens (clips, 16 * frames, tower width) of pixels (clips, frames, 3, size, size)."""
        features = self.tower(pixels.to(self.device, self.dtype))
        return merge_clips(features, self.config.tower.clip_tokens, self.config.tower.merge_heads).to(self.dtype)

    @torch.inference_mode()
    def assemble(self, ids: Sequence[int], clips: Iterable[Tensor], count: int) -> tuple[Tensor, range]:
        """Return embeddings (tokens, width) with the projected tokens at the placeholder, and where those lie.

        Each of the `count` clips is (16 * frames, tower width) and projected when it comes, so that no more than
        one is alive. Raises ValueError unless a prompt with clips has one placeholder and another none, and
        UserError for an id that the model does not know.
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
    def read(
        self,
        embeds: Tensor,
        visual: range,
        rope: Rope,
        dropout: Dropout | None = None,
        truncate: int | None = None,
        room: int = 0,
        rows: int = 1,
        chunk: int = PREFILL_CHUNK,
    ) -> State:
        """Run the prompt through the language model; `embeds` are overwritten.

        `truncate` cuts on the right after so many positions, as the release does, and the question with it:
        only the caller that wants this says so. Raises ValueError where the cut leaves no visual token to drop.
        """
        if truncate is not None and len(embeds) > truncate:
            embeds, visual = embeds[:truncate], range(visual.start, min(visual.stop, truncate))
        if dropout is not None and not visual:
            dropout = None  # nothing to drop: a question without a video
        return self.language.prefill(embeds, visual, dropout, rope, chunk, room, rows)

    @torch.inference_mode()
    def first_logits(self, state: State) -> Tensor:
        """Return the logits (vocabulary,) behind a prompt. Raises UserError where they are not numbers."""
        return _numbers(self.language.logits(state.hidden[-1:])[0])

    @torch.inference_mode()
    def generate(
        self, logits: Tensor, state: State, rope: Rope, limit: int, stops: Collection[int] = ()
    ) -> tuple[list[int], list[Tensor]]:
        """Return greedy ids up to but without one of `stops`, and the logits (vocabulary,) each was chosen by.

        `logits` are those behind the prompt. Raises UserError where logits are not numbers.
        """
        ids: list[int] = []
        chosen_by: list[Tensor] = []
        while len(ids) < limit:
            best = int(logits.argmax())
            if best in stops:
                break
            ids.append(best)
            chosen_by.append(logits)
            if len(ids) < limit:
                logits = _numbers(self.language.step(best, state, rope))
        return ids, chosen_by


def _numbers(logits: Tensor) -> Tensor:
    """Return logits as they came. Raises UserError where some are not finite: the likeliest would be made up."""
    if not logits.isfinite().all():
        raise UserError(
            "the logits are not numbers: in float16 the release's rotary table is NaN from position 65,520 on, "
            "and large activations overflow; use rope=exact or dtype=bfloat16"
        )
    return logits


def rename(name: str) -> str:
    """Return the module's name for a tensor of the release."""
    for prefix, own in ((TOWER, "tower."), (PROJECTOR, "projector."), ("model.", "language.")):
        if name.startswith(prefix):
            return own + name[len(prefix) :]
    return "language." + name if name.startswith("lm_head.") else name


def unloaded(config: VideoChatFlashConfig) -> VideoChatFlash:
    """Return the model without memory for its weights, to be filled or compared with a layout."""
    with on_meta_device():
        return VideoChatFlash(config).eval()


def load(
    folder: Path, config: VideoChatFlashConfig, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> VideoChatFlash:
    """Load a released folder. Raises UserError naming every misfit between config and tensors."""
    model = unloaded(config)
    # A tied head is the embedding, whether or not it was written out once more.
    unused = ("lm_head.weight",) if config.language.tied else ()
    load_into(model, tensors(folder), rename, unused=unused, device=device, dtype=dtype)
    return model

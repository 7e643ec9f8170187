"""A released ViLaMP, streamed: what the authors' code computes, in memory that hardly grows.

Live besides the weights, for N frames, K keyframes, L tokens, b bytes a number:
- one chunk of frames with its activations;
- CLIP embeddings, d_clip * b bytes a frame, until the sequence is complete;
- maps of the anchors, at most K * patches * D * b (167 MB at full size);
- the sequence, D * b bytes a token, and the language model's cache, 2 * layers * key heads * head width * b a
  token. A frame that is no keyframe is one token, so a further frame costs (`bytes_per_frame`) 65.5 kB at full
  size in 16 bit: 57.3 kB of cache, 7.2 kB of sequence, 1 kB of CLIP. The cache comes when the chunks have gone:
  while a chunk's activations are larger than it, the peak grows by the other 8.2 kB alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import normalize
from transformers import Qwen2Config, Qwen2ForCausalLM

from niah.adapters.attention import register_attention
from niah.adapters.compressor import TokenChunk, write_tokens
from niah.types import UserError
from vilamp.keyframes import fill_gaps, select_keyframes
from vilamp.release.behaviour import Behaviour
from vilamp.release.composer import Composer, SigPooling, pooled_tokens, two_layers
from vilamp.release.config import LanguageSizes, ReleaseConfig
from vilamp.release.stream import stream_tokens
from vilamp.release.towers import ClipTowers, SiglipPatches

VIDEO = -200  # the id that stands for the video in a prompt


class ReleasedVilamp(nn.Module):
    """The weights of a released checkpoint and what is done with them; built by `vilamp.release.load`."""

    def __init__(self, config: ReleaseConfig) -> None:
        super().__init__()
        self.config = config
        width = config.language.stack.hidden_size
        self.clip = ClipTowers(config.clip)
        self.vision = SiglipPatches(config.siglip, config.siglip_picture)
        self.projector = two_layers(config.siglip.hidden_size, width)
        self.composer: nn.Module | None = None
        if config.behaviour.composer == "sig_pooling":
            self.composer = SigPooling(config.clip.width, width)
        elif config.behaviour.composer == "single_token":
            self.composer = two_layers(config.clip.width, width)
        self.image_newline = nn.Parameter(torch.zeros(width))
        self.language = Qwen2ForCausalLM(_language(config.language))
        self._compose: Composer | None = None

    @property
    def behaviour(self) -> Behaviour:
        """What is computed."""
        return self.config.behaviour

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.image_newline.device

    @property
    def dtype(self) -> torch.dtype:
        """What the weights are stored in."""
        return self.image_newline.dtype

    @property
    def compose(self) -> Composer:
        """The projector and composer, with maps folded when first asked for."""
        if self._compose is None:
            self.fold()
        return cast(Composer, self._compose)

    def fold(self) -> None:
        """Fold the maps of the weights there are now. Raises UserError where their temperature is not positive."""
        self._compose = Composer(self.projector, self.composer, self.behaviour)

    @property
    def table(self) -> nn.Embedding:
        """The language model's embeddings."""
        return cast(nn.Embedding, self.language.get_input_embeddings())

    def bytes_per_frame(self) -> int:
        """Return what one further frame that is no keyframe adds to the memory alive at the end of the prefill."""
        language, stack = self.config.language, self.config.language.stack
        cache = 2 * stack.layers * language.key_value_heads * (stack.hidden_size // stack.heads)
        return (cache + stack.hidden_size + self.config.clip.width) * self.dtype.itemsize

    def encode_clip(self, pixels: Float[Tensor, "frames 3 side side"]) -> Float[Tensor, "frames dim"]:
        """Return the CLIP embeddings of one chunk of frames, not normalised."""
        return self.clip.encode_image(pixels.to(self.device, self.dtype))

    def encode_patches(self, pixels: Float[Tensor, "frames 3 side side"]) -> Float[Tensor, "frames patches dim"]:
        """Return the SigLIP patches of one chunk of frames."""
        return self.vision(pixels.to(self.device, self.dtype))

    def encode_query(
        self, ids: Int[Tensor, "1 tokens"], real: Int[Tensor, "1 tokens"] | None = None
    ) -> Float[Tensor, " dim"]:
        """Return the CLIP embedding of the bare question, not normalised. Raises UserError where it is too long."""
        if ids.shape[1] > self.config.clip.positions:
            raise UserError(f"CLIP reads {self.config.clip.positions} tokens of a question, got {ids.shape[1]}")
        return self.clip.encode_text(ids.to(self.device), None if real is None else real.to(self.device))[0]

    def select(
        self, embeddings: Float[Tensor, "frames dim"], query: Float[Tensor, " dim"]
    ) -> tuple[list[int], list[int]]:
        """Return the keyframes that relevance chooses, and all keyframes, gaps filled where the behaviour says so."""
        unit, direction = normalize(embeddings.float(), dim=-1), normalize(query.float(), dim=-1)
        behaviour, limit = self.behaviour, self.config.keyframes
        floor = float("-inf") if behaviour.relevance_floor is None else behaviour.relevance_floor
        greedy = select_keyframes(unit, direction, limit, self.config.threshold, floor, behaviour.keep_ties)
        return greedy, fill_gaps(greedy, len(embeddings), limit) if behaviour.fill_gaps else greedy

    def visual_tokens(self, count: int, kept: int) -> int:
        """Return how many tokens `count` frames become, `kept` of them keyframes."""
        tokens = pooled_tokens(self.config.patches, self.behaviour.pool, self.behaviour.pool_stride)
        return kept * tokens + count - kept + self.behaviour.newline

    def with_patches(self, kept: Sequence[int], count: int) -> list[int]:
        """Return the frames whose patches `tokens` needs: those of keyframes alone where the rest needs none."""
        alone = self.behaviour.composer == "single_token" or self.behaviour.legacy_mask
        return list(kept) if alone else list(range(count))

    def tokens(
        self,
        kept: Sequence[int],
        embeddings: Float[Tensor, "frames clip"],
        query: Float[Tensor, " clip"] | None,
        patches: Iterable[Float[Tensor, "_frames patches dim"]],
    ) -> Iterator[TokenChunk]:
        """Yield a video's tokens in temporal order, without the newline behind them.

        Args:
            kept: The keyframes.
            embeddings: CLIP's embeddings of all frames, not normalised.
            query: CLIP's embedding of the question, not normalised; may be None where every frame is kept.
            patches: Patches of the frames that `with_patches` names, in temporal order; each chunk is read once.
        """
        return stream_tokens(self, kept, embeddings, query, patches)

    def write_video(self, room: Float[Tensor, "tokens width"], tokens: Iterable[TokenChunk]) -> None:
        """Write a video's tokens, and the newline where there is one, into their place in a sequence."""
        if self.behaviour.newline:
            room[-1] = self.image_newline
            room = room[:-1]
        write_tokens(room, tokens)

    def sequence(
        self, ids: Sequence[int], visual: int, cut: bool = False
    ) -> tuple[Float[Tensor, "tokens width"], Float[Tensor, "visual width"]]:
        """Return a prompt's embeddings with room for `visual` tokens at the id -200, and that room as a view.

        Raises UserError where the prompt holds no such place or several, or where the whole is longer than
        the checkpoint's limit; with `cut`, the model function `truncate` is then to be used as the release does.
        """
        places = [index for index, token in enumerate(ids) if token == VIDEO]
        if len(places) != 1:
            raise UserError(f"a prompt holds the video's place (id {VIDEO}) once, got it {len(places)} times")
        length = len(ids) - 1 + visual
        if not cut:
            self.refuse_longer(length, visual)
        whole = self.image_newline.new_empty(length, len(self.image_newline))
        start = places[0]
        whole[:start] = self.embed(ids[:start])
        whole[start + visual :] = self.embed(ids[start + 1 :])
        return whole, whole[start : start + visual]

    def refuse_longer(self, length: int, visual: int) -> None:
        """Raise UserError where `length` tokens, `visual` of them of the video, exceed the checkpoint's limit."""
        if self.config.longest is not None and length > self.config.longest:
            raise UserError(
                f"{length} tokens ({visual} of the video) are more than the {self.config.longest} this checkpoint "
                "reads: the release cuts the end away, and the question with it. Ask about fewer frames, "
                "with a smaller keyframe budget, or a shorter question"
            )

    def truncate(self, whole: Float[Tensor, "tokens width"]) -> Float[Tensor, "left width"]:
        """Cut a sequence to the checkpoint's limit from the end, question included, as the release does."""
        return whole[: self.config.longest]

    def embed(self, ids: Sequence[int]) -> Float[Tensor, "tokens width"]:
        """Return the embeddings of token ids. Raises UserError for an id the checkpoint has no row for."""
        rows = self.table.weight
        if any(not 0 <= token < len(rows) for token in ids):
            raise UserError(
                f"token ids must lie in 0..{len(rows) - 1}, the rows of the checkpoint's embeddings, got "
                f"{min(ids)}..{max(ids)}: the tokenizer belongs to another checkpoint"
            )
        return rows[torch.tensor(list(ids), dtype=torch.long, device=self.device)]


def _language(sizes: LanguageSizes) -> Qwen2Config:
    """Return the language model's config; attention needs no mask in memory."""
    stack = sizes.stack
    return Qwen2Config(
        vocab_size=sizes.vocabulary,
        hidden_size=stack.hidden_size,
        intermediate_size=stack.intermediate_size,
        num_hidden_layers=stack.layers,
        num_attention_heads=stack.heads,
        num_key_value_heads=sizes.key_value_heads,
        max_position_embeddings=sizes.positions,
        rms_norm_eps=stack.eps,
        rope_parameters={"rope_type": "default", "rope_theta": sizes.rope_theta},
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
        attn_implementation=register_attention(),  # type: ignore[call-arg]  # taken by every config's base class
    )

"""LLaMA-VID put together: tower, compressor, language model, and the two ways a video gets in.

Frames stream: a chunk leaves the tower as features, the compressor as two tokens a frame,
and nothing else of it stays. At 7B size in half precision that is 16 KiB a frame, against
724 KiB of features and 301 KiB of pixels, which live for one chunk. The key-value cache
then takes 1 MiB a frame.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.cache_utils import Cache

from baselines.llama_vid.compressor import Compressor, Query
from baselines.llama_vid.config import Language, LlamaVidConfig
from baselines.llama_vid.rope import Rotary
from baselines.llama_vid.tower import EvaTower
from niah.adapters import attention, qwen

PLACEHOLDER = -200  # the id that stands for the video, or on the long path for one of its tokens
CHUNK = 32  # frames


class LlamaVid(nn.Module):
    """The whole model; build it `weightless` and fill it by `weights.load`."""

    def __init__(self, config: LlamaVidConfig) -> None:
        super().__init__()
        self.config = config
        self.vision_tower = EvaTower(config.vision)
        self.compressor = Compressor(config)
        self.language = _language(config.language)
        self.rotary = Rotary(
            config.language.head_width,
            config.language.rope_theta,
            config.language.rope_factor,
            config.language.positions,
        )
        self.language.model.rotary_emb = self.rotary  # type: ignore[assignment]

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.language.lm_head.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """What the weights are stored in."""
        return self.language.lm_head.weight.dtype

    @property
    def tokens_per_frame(self) -> int:
        """The context token and the content tokens."""
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


def _language(sizes: Language) -> LlamaForCausalLM:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=sizes.vocabulary,
            hidden_size=sizes.width,
            intermediate_size=sizes.mlp_width,
            num_hidden_layers=sizes.layers,
            num_attention_heads=sizes.heads,
            num_key_value_heads=sizes.key_value_heads,
            hidden_act=sizes.activation,
            max_position_embeddings=sizes.positions,
            rms_norm_eps=sizes.rms_norm_eps,
            tie_word_embeddings=sizes.tied,
            bos_token_id=sizes.start,
            eos_token_id=sizes.end,
            attn_implementation=attention.register_attention(),  # type: ignore[call-arg]  (taken by every config)
        )
    )

"""Text-guided compression: what the Q-Former asks of a frame, and what the frame answers.

Parameters bear the release's names but for the Q-Former's own, which is `transformers`'
InstructBLIP Q-Former: numerically the release's, with some parts called otherwise.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import InstructBlipQFormerConfig, InstructBlipQFormerModel

from baselines.llama_vid.config import LlamaVidConfig, QFormer
from baselines.llama_vid.tokens import content_of, context_of, context_scores, interleave, patches_of


class Query(NamedTuple):
    """Questions as BERT tokens, one row each; padding has mask 0."""

    ids: Int[Tensor, "prompts tokens"]
    mask: Int[Tensor, "prompts tokens"]


class Answered(NamedTuple):
    """How the patches of each frame answer one question."""

    asked: Float[Tensor, "frames queries width"]
    keys: Float[Tensor, "frames patches width"]
    scores: Float[Tensor, "frames queries patches"]
    weights: Float[Tensor, "frames queries patches"]
    pooled: Float[Tensor, "frames 1 width"]


class Compressor(nn.Module):
    """Features of frames in, tokens for the language model out."""

    def __init__(self, config: LlamaVidConfig) -> None:
        super().__init__()
        self.config = config
        width, hidden = config.vision.width, config.language.width
        self.vlm_att_query = nn.Parameter(torch.zeros(1, config.queries, config.qformer.width))
        self.vlm_att_encoder = _qformer(config.qformer, width)
        self.vlm_att_ln = nn.LayerNorm(width, eps=1e-5)
        self.vlm_att_projector = nn.Linear(config.qformer.width, width)
        self.vlm_att_key_projector = nn.Linear(width, width)
        self.vlm_att_val_projector = nn.Linear(width, hidden)
        self.mm_projector = _mlp(config.projector_layers, width, hidden)

    def ask(
        self, features: Float[Tensor, "frames rows width"], query: Query
    ) -> Float[Tensor, "frames queries asked_width"]:
        """Return the query vectors after reading the question (one row) and every frame of a chunk."""
        frames, count = len(features), self.vlm_att_query.shape[1]
        rows = self.vlm_att_encoder(
            input_ids=query.ids.expand(frames, -1),
            attention_mask=torch.cat((query.mask.new_ones(1, count), query.mask), dim=1).expand(frames, -1),
            query_embeds=self.vlm_att_query.expand(frames, -1, -1),
            encoder_hidden_states=self.vlm_att_ln(features),
        ).last_hidden_state
        return rows[:, :count]

    def attend(
        self, features: Float[Tensor, "frames rows width"], asked: Float[Tensor, "frames queries asked_width"]
    ) -> Answered:
        """Let the query vectors choose among the patches of their frame."""
        patches = patches_of(features)
        text, keys = self.vlm_att_projector(asked), self.vlm_att_key_projector(patches)
        scores = context_scores(text, keys)
        weights = scores.softmax(dim=-1)
        return Answered(text, keys, scores, weights, context_of(weights, patches))

    def contents(self, features: Float[Tensor, "frames rows width"]) -> Float[Tensor, "frames contents width"]:
        """Return what of a frame is kept whatever is asked, before projection."""
        return content_of(patches_of(features), self.config.compress, self.config.grid)

    def forward(
        self, features: Float[Tensor, "frames rows width"], query: Query
    ) -> Float[Tensor, "prompts tokens hidden"]:
        """Return [context, content...] of each frame of a chunk, once for each question."""
        content = self.mm_projector(self.contents(features))
        rows = []
        for ids, mask in zip(query.ids.split(1), query.mask.split(1), strict=True):
            answered = self.attend(features, self.ask(features, Query(ids, mask)))
            rows.append(interleave(self.vlm_att_val_projector(answered.pooled), content))
        return torch.stack(rows)


def _qformer(sizes: QFormer, image_width: int) -> InstructBlipQFormerModel:
    return InstructBlipQFormerModel(
        InstructBlipQFormerConfig(
            vocab_size=sizes.vocabulary,
            hidden_size=sizes.width,
            num_hidden_layers=sizes.layers,
            num_attention_heads=sizes.heads,
            intermediate_size=sizes.mlp_width,
            hidden_act=sizes.activation,
            max_position_embeddings=sizes.positions,
            layer_norm_eps=sizes.layer_norm_eps,
            pad_token_id=sizes.padding,
            cross_attention_frequency=2,
            encoder_hidden_size=image_width,
        )
    )


def _mlp(layers: int, width: int, hidden: int) -> nn.Sequential:
    parts: list[nn.Module] = [nn.Linear(width, hidden)]
    for _ in range(layers - 1):
        parts += [nn.GELU(), nn.Linear(hidden, hidden)]
    return nn.Sequential(*parts)

"""LLaMA-VID's idea (arXiv 2311.17043, section 3.1): a frame becomes one context token and its content.

The context token is what the frame's patches answer to the question: a Q-Former reads question and frame, and its
query vectors attend to the patches. The content is the mean patch, or a small grid of them. The functions are pure;
`Compressor` has the projections around them. Parameters have the release's names but for the Q-Former's own, which is
`transformers`' InstructBLIP Q-Former: numerically the release's, with some parts named otherwise.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d
from transformers import InstructBlipQFormerConfig, InstructBlipQFormerModel

from baselines.llama_vid.config import LlamaVidConfig, QFormerConfig


class Query(NamedTuple):
    """Questions as BERT tokens, one row each; padding has mask 0."""

    ids: Int[Tensor, "prompts tokens"]
    mask: Int[Tensor, "prompts tokens"]


class Context(NamedTuple):
    """How the query vectors attend to the patches of each frame, for one question."""

    queries: Float[Tensor, "frames queries width"]
    keys: Float[Tensor, "frames patches width"]
    scores: Float[Tensor, "frames queries patches"]
    weights: Float[Tensor, "frames queries patches"]
    pooled: Float[Tensor, "frames 1 width"]


class FrameCompressor(nn.Module):
    """Turns features of frames into tokens for the language model."""

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
        """Return the query vectors after the Q-Former has read the question (one row) and each frame of a chunk."""
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
    ) -> Context:
        """Attend from the query vectors to the patches of their frame."""
        patches = drop_class_row(features)
        queries = self.vlm_att_projector(asked)
        keys = self.vlm_att_key_projector(patches)
        scores = context_scores(queries, keys)
        weights = scores.softmax(dim=-1)
        return Context(queries, keys, scores, weights, average_context(weights, patches))

    def contents(self, features: Float[Tensor, "frames rows width"]) -> Float[Tensor, "frames contents width"]:
        """Return the part of a frame that is kept whatever the question, before projection."""
        return pool_content(drop_class_row(features), self.config.compress, self.config.grid)

    def forward(
        self, features: Float[Tensor, "frames rows width"], query: Query
    ) -> Float[Tensor, "prompts tokens hidden"]:
        """Return [context, content...] of each frame of a chunk, once for each question."""
        content = self.mm_projector(self.contents(features))
        rows = []
        for ids, mask in zip(query.ids.split(1), query.mask.split(1), strict=True):
            context = self.attend(features, self.ask(features, Query(ids, mask)))
            rows.append(interleave(self.vlm_att_val_projector(context.pooled), content))
        return torch.stack(rows)


def drop_class_row(features: Float[Tensor, "frames rows width"]) -> Float[Tensor, "frames patches width"]:
    """Return the rows without the class row.

    The release recognises a class row only by the number of rows being odd, so a grid with an odd side and no class
    row loses its first patch; so it does here.
    """
    return features[:, 1:] if features.shape[1] % 2 else features


def context_scores(
    asked: Float[Tensor, "frames queries width"], keys: Float[Tensor, "frames patches width"]
) -> Float[Tensor, "frames queries patches"]:
    """Return the attention scores of each query vector over the patches, before the softmax."""
    return asked @ keys.transpose(1, 2) / keys.shape[-1] ** 0.5


def average_context(
    weights: Float[Tensor, "frames queries patches"], patches: Float[Tensor, "frames patches width"]
) -> Float[Tensor, "frames 1 width"]:
    """Return the patches weighted by each query, averaged over the queries. Values are the raw patches."""
    return (weights @ patches).mean(dim=1, keepdim=True)


def pool_content(
    patches: Float[Tensor, "frames patches width"], compress: str | None, grid: int | None
) -> Float[Tensor, "frames contents width"]:
    """Return the mean patch ("mean"), a grid x grid of pooled patches ("grid:G"), or every patch (None)."""
    if compress == "mean":
        return patches.mean(dim=1, keepdim=True)
    if grid is None:
        return patches
    side = int(patches.shape[1] ** 0.5)
    square = patches.transpose(1, 2).unflatten(2, (side, side))  # (frames, width, side, side)
    return avg_pool2d(square, side // grid).flatten(2).transpose(1, 2)


def interleave(
    context: Float[Tensor, "frames 1 hidden"], content: Float[Tensor, "frames contents hidden"]
) -> Float[Tensor, "tokens hidden"]:
    """Return [context, content...] of each frame, frames in playing order."""
    return torch.cat((context, content), dim=1).flatten(0, 1)


def _qformer(sizes: QFormerConfig, image_width: int) -> InstructBlipQFormerModel:
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

"""The three encoders of a released ViLaMP, with the parameter names of its checkpoint.

Written out rather than taken from `transformers`, whose modules for these towers are named and
nested differently from one version to the next; the two kinds of block differ in one function.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from vilamp.release.tower_sizes import ClipSizes, PictureSizes, TransformerSizes

Activation = Callable[[Tensor], Tensor]  # of any shape


def tanh_gelu(values: Float[Tensor, ...]) -> Float[Tensor, ...]:
    """Return SigLIP's GELU."""
    return gelu(values, approximate="tanh")


def quick_gelu(values: Float[Tensor, ...]) -> Float[Tensor, ...]:
    """Return CLIP's GELU."""
    return values * torch.sigmoid(1.702 * values)


class Attention(nn.Module):
    """Self-attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.v_proj, self.out_proj = nn.Linear(width, width), nn.Linear(width, width)

    def forward(
        self, states: Float[Tensor, "batch tokens width"], mask: Bool[Tensor, "batch 1 tokens tokens"] | None
    ) -> Float[Tensor, "batch tokens width"]:
        """Attend everywhere, or where the mask says so."""
        batch, tokens, width = states.shape
        split = (batch, tokens, self.heads, width // self.heads)
        parts = [proj(states).view(split).transpose(1, 2) for proj in (self.q_proj, self.k_proj, self.v_proj)]
        mixed = scaled_dot_product_attention(*parts, attn_mask=mask)  # (batch, heads, tokens, dim)
        return self.out_proj(mixed.transpose(1, 2).reshape(batch, tokens, width))


class Mlp(nn.Module):
    """Two linear maps around an activation."""

    def __init__(self, width: int, hidden: int, activation: Activation) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)
        self.activation = activation

    def forward(self, states: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        """Map token by token."""
        return self.fc2(self.activation(self.fc1(states)))


class Block(nn.Module):
    """One pre-norm transformer block."""

    def __init__(self, sizes: TransformerSizes, activation: Activation) -> None:
        super().__init__()
        width = sizes.hidden_size
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(width, sizes.eps), nn.LayerNorm(width, sizes.eps)
        self.self_attn = Attention(width, sizes.heads)
        self.mlp = Mlp(width, sizes.intermediate_size, activation)

    def forward(
        self, states: Float[Tensor, "batch tokens width"], mask: Bool[Tensor, "batch 1 tokens tokens"] | None = None
    ) -> Float[Tensor, "batch tokens width"]:
        """Return the states after attention and MLP."""
        states = states + self.self_attn(self.layer_norm1(states), mask)
        return states + self.mlp(self.layer_norm2(states))


class Encoder(nn.Module):
    """A stack of blocks."""

    def __init__(self, sizes: TransformerSizes, activation: Activation) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Block(sizes, activation) for _ in range(sizes.layers))

    def forward(
        self, states: Float[Tensor, "batch tokens width"], mask: Bool[Tensor, "batch 1 tokens tokens"] | None = None
    ) -> Float[Tensor, "batch tokens width"]:
        """Run all blocks."""
        for layer in self.layers:
            states = layer(states, mask)
        return states


class PatchEmbeddings(nn.Module):
    """Pictures to patch embeddings with learned positions, with a class token in front if there is one."""

    def __init__(self, width: int, picture: PictureSizes, class_token: bool) -> None:
        super().__init__()
        self.patch_embedding = nn.Conv2d(3, width, picture.patch, picture.patch, bias=not class_token)
        self.position_embedding = nn.Embedding(picture.grid**2 + class_token, width)
        self.class_embedding = nn.Parameter(torch.zeros(width)) if class_token else None

    def forward(self, pixels: Float[Tensor, "frames 3 side side"]) -> Float[Tensor, "frames tokens dim"]:
        """Embed one chunk of frames."""
        patches = self.patch_embedding(pixels).flatten(2).transpose(1, 2)  # (frames, patches, dim)
        if self.class_embedding is not None:
            patches = torch.cat([self.class_embedding.expand(len(pixels), 1, -1), patches], dim=1)
        return patches + self.position_embedding.weight


class SiglipPatches(nn.Module):
    """SigLIP's vision tower without its last block; its output is taken raw, before `post_layernorm`."""

    def __init__(self, sizes: TransformerSizes, picture: PictureSizes) -> None:
        super().__init__()
        self.embeddings = PatchEmbeddings(sizes.hidden_size, picture, class_token=False)
        self.encoder = Encoder(sizes, tanh_gelu)
        self.post_layernorm = nn.LayerNorm(sizes.hidden_size, sizes.eps)  # in the checkpoint, never used

    def forward(self, pixels: Float[Tensor, "frames 3 side side"]) -> Float[Tensor, "frames patches dim"]:
        """Return the patches of one chunk of frames in reading order."""
        return self.encoder(self.embeddings(pixels))


class ClipVision(nn.Module):
    """CLIP's vision tower; the normed class token is what it sees."""

    def __init__(self, sizes: TransformerSizes, picture: PictureSizes) -> None:
        super().__init__()
        self.embeddings = PatchEmbeddings(sizes.hidden_size, picture, class_token=True)
        self.pre_layrnorm = nn.LayerNorm(sizes.hidden_size, sizes.eps)  # spelled so in every CLIP checkpoint
        self.encoder = Encoder(sizes, quick_gelu)
        self.post_layernorm = nn.LayerNorm(sizes.hidden_size, sizes.eps)

    def forward(self, pixels: Float[Tensor, "frames 3 side side"]) -> Float[Tensor, "frames dim"]:
        """Return one vector a frame."""
        return self.post_layernorm(self.encoder(self.pre_layrnorm(self.embeddings(pixels)))[:, 0])


class TextEmbeddings(nn.Module):
    """Token ids to embeddings with learned positions."""

    def __init__(self, vocabulary: int, positions: int, width: int) -> None:
        super().__init__()
        self.token_embedding, self.position_embedding = nn.Embedding(vocabulary, width), nn.Embedding(positions, width)

    def forward(self, ids: Int[Tensor, "batch tokens"]) -> Float[Tensor, "batch tokens dim"]:
        """Embed at most `positions` tokens."""
        return self.token_embedding(ids) + self.position_embedding.weight[: ids.shape[1]]


class ClipText(nn.Module):
    """CLIP's causal text tower; the state at the end of the text is what it reads."""

    def __init__(self, sizes: ClipSizes) -> None:
        super().__init__()
        width = sizes.text.hidden_size
        self.embeddings = TextEmbeddings(sizes.vocabulary, sizes.positions, width)
        self.encoder = Encoder(sizes.text, quick_gelu)
        self.final_layer_norm = nn.LayerNorm(width, sizes.text.eps)

    def forward(
        self, ids: Int[Tensor, "batch tokens"], real: Int[Tensor, "batch tokens"] | None = None
    ) -> Float[Tensor, "batch dim"]:
        """Return the state at each text's largest id, which marks its end; `real` is 0 where a token is padding."""
        tokens = ids.shape[1]
        mask = torch.ones(tokens, tokens, dtype=torch.bool, device=ids.device).tril()[None, None]
        if real is not None:
            mask = mask & real.bool()[:, None, None]  # (batch, 1, tokens, tokens)
        states = self.final_layer_norm(self.encoder(self.embeddings(ids), mask.expand(len(ids), -1, -1, -1)))
        return states[torch.arange(len(ids), device=ids.device), ids.argmax(dim=1)]


class ClipTowers(nn.Module):
    """Both towers and their projections into one space; nothing is normalised."""

    def __init__(self, sizes: ClipSizes) -> None:
        super().__init__()
        self.vision_model, self.text_model = ClipVision(sizes.vision, sizes.picture), ClipText(sizes)
        self.visual_projection = nn.Linear(sizes.vision.hidden_size, sizes.width, bias=False)
        self.text_projection = nn.Linear(sizes.text.hidden_size, sizes.width, bias=False)
        self.logit_scale = nn.Parameter(torch.zeros(()))  # in the checkpoint, never used

    def encode_image(self, pixels: Float[Tensor, "frames 3 side side"]) -> Float[Tensor, "frames dim"]:
        """Embed one chunk of frames."""
        return self.visual_projection(self.vision_model(pixels))

    def encode_text(
        self, ids: Int[Tensor, "batch tokens"], real: Int[Tensor, "batch tokens"] | None = None
    ) -> Float[Tensor, "batch dim"]:
        """Embed texts."""
        return self.text_projection(self.text_model(ids, real))

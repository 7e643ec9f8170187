"""The two frame encoders, built by `transformers`: a CLIP for selection, a SigLIP tower for patches.

Frames arrive as (frames, height, width, 3) uint8 RGB of any size and are resized
straight to each tower's square, aspect ratio not kept, as SigLIP's own preprocessing does.
"""

from __future__ import annotations

import hashlib

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize
from transformers import (
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from vilamp import config
from vilamp.vocabulary import PAD, START

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


class ClipSelector(nn.Module):
    """CLIP's two towers, with random weights; a text is pooled at its end-of-text token."""

    def __init__(self, settings: config.Clip, vocabulary: int, end: int) -> None:
        super().__init__()
        self.vision = CLIPVisionModelWithProjection(
            CLIPVisionConfig(
                hidden_size=settings.vision_width,
                intermediate_size=4 * settings.vision_width,
                num_hidden_layers=settings.vision_layers,
                num_attention_heads=settings.vision_width // settings.head_width,
                image_size=settings.image_size,
                patch_size=settings.patch_size,
                projection_dim=settings.embed_dim,
            )
        )
        self.text = CLIPTextModelWithProjection(
            CLIPTextConfig(
                vocab_size=vocabulary,
                hidden_size=settings.text_width,
                intermediate_size=4 * settings.text_width,
                num_hidden_layers=settings.text_layers,
                num_attention_heads=settings.text_width // settings.head_width,
                max_position_embeddings=settings.context_length,
                projection_dim=settings.embed_dim,
                bos_token_id=START,
                pad_token_id=PAD,
                eos_token_id=end,
            )
        )

    def encode_frames(self, pixels: Float[Tensor, "frames 3 side side"]) -> Float[Tensor, "frames dim"]:
        """Return unit-length embeddings of frames whose pixels were scaled by `clip_pixels`."""
        return normalize(self.vision(pixel_values=pixels).image_embeds, dim=-1)

    def encode_frames_and_patches(
        self, pixels: Float[Tensor, "frames 3 side side"]
    ) -> tuple[Float[Tensor, "frames dim"], Float[Tensor, "frames patches width"]]:
        """Return the same embeddings, and the normed last states of the patches, which only training uses."""
        output = self.vision(pixel_values=pixels)
        patches = self.vision.vision_model.post_layernorm(output.last_hidden_state[:, 1:])
        return normalize(output.image_embeds, dim=-1), patches

    def encode_texts(self, ids: Int[Tensor, "texts length"]) -> Float[Tensor, "texts dim"]:
        """Return unit-length embeddings of texts that each hold one end-of-text token; what follows it is not seen."""
        return normalize(self.text(input_ids=ids).text_embeds, dim=-1)


class SiglipTower(nn.Module):
    """SigLIP without its pooling head: a frame in, its patches in reading order out."""

    def __init__(self, settings: config.Vision) -> None:
        super().__init__()
        self.tower = SiglipVisionModel(
            SiglipVisionConfig(
                hidden_size=settings.hidden_size,
                intermediate_size=settings.intermediate_size,
                num_hidden_layers=settings.layers,
                num_attention_heads=settings.heads,
                image_size=settings.image_size,
                patch_size=settings.patch_size,
                vision_use_head=False,
            )
        )

    def forward(self, pixels: Float[Tensor, "frames 3 side side"]) -> Float[Tensor, "frames patches dim"]:
        """Encode frames whose pixels were scaled by `siglip_pixels`."""
        return self.tower(pixel_values=pixels).last_hidden_state


def encoders_id(clip: ClipSelector, vision: SiglipTower) -> str:
    """Return 12 hex digits of a hash of the encoders' weights: models that share them share features."""
    digest = hashlib.sha256()
    for tower in (clip, vision):
        for name, tensor in sorted(tower.state_dict().items()):
            digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def resize(frames: UInt8[Tensor, "frames height width 3"], side: int) -> UInt8[Tensor, "frames {side} {side} 3"]:
    """Resize frames straight to a square, bicubic with antialiasing; frames of that size stay as they are."""
    if frames.shape[1:3] == (side, side):
        return frames
    square = interpolate(frames.permute(0, 3, 1, 2), (side, side), mode="bicubic", antialias=True)
    return square.permute(0, 2, 3, 1)


def siglip_pixels(frames: UInt8[Tensor, "frames side side 3"]) -> Float[Tensor, "frames 3 side side"]:
    """Return pixels in -1..1, as SigLIP wants them."""
    return (frames.permute(0, 3, 1, 2) / 255 - 0.5) / 0.5


def clip_pixels(frames: UInt8[Tensor, "frames side side 3"]) -> Float[Tensor, "frames 3 side side"]:
    """Return pixels by CLIP's mean and standard deviation."""
    mean = torch.tensor(CLIP_MEAN, device=frames.device).view(3, 1, 1)
    std = torch.tensor(CLIP_STD, device=frames.device).view(3, 1, 1)
    return (frames.permute(0, 3, 1, 2) / 255 - mean) / std

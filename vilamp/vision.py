"""The two frame encoders: a CLIP built by `open_clip` for selection, a SigLIP tower by `transformers` for patches.

Frames arrive as (frames, height, width, 3) uint8 RGB of any size and are resized
straight to each tower's square, aspect ratio not kept, as SigLIP's own preprocessing does.
"""

from __future__ import annotations

import open_clip.model
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import interpolate
from transformers import SiglipVisionConfig, SiglipVisionModel

from vilamp import config

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def build_clip(settings: config.Clip, vocabulary: int) -> open_clip.model.CLIP:
    """Build the CLIP of keyframe selection with random weights; end-of-text is the largest token id."""
    vision = open_clip.model.CLIPVisionCfg(
        layers=settings.vision_layers,
        width=settings.vision_width,
        head_width=settings.head_width,
        patch_size=settings.patch_size,
        image_size=settings.image_size,
    )
    text = open_clip.model.CLIPTextCfg(
        context_length=settings.context_length,
        vocab_size=vocabulary,
        width=settings.text_width,
        heads=settings.text_width // settings.head_width,
        layers=settings.text_layers,
    )
    return open_clip.model.CLIP(settings.embed_dim, vision, text, quick_gelu=True)


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

"""Teach CLIP and the SigLIP tower what is in a frame, and where.

On frames whose sprites are known: does a frame show what a question names (CLIP
against its text tower, yes or no and which frames before which), which patches
show it (both towers against the same query, so that Eq. 6 means something), and
what each patch shows (linear heads that are thrown away afterwards). Asking CLIP
about its patches, which nobody uses later, is what makes it find frames: see LOG.md.
"""

from __future__ import annotations

import math
import random

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, normalize

from niah.suite.footage.draw import COLOURS, DIGITS, SHAPES
from vilamp.encoders import clip_pixels, siglip_pixels
from vilamp.model import Vilamp
from vilamp.train.data import LOOKS, NO_LABEL, TEMPLATES

KINDS = {"shape": len(SHAPES), "colour": len(COLOURS), "digit": len(DIGITS)}


class Heads(nn.Module):
    """What training needs and the model does not keep: label heads of a tower, scale and bias of its cosines."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.labels = nn.ModuleList(nn.Linear(width, kinds) for kinds in KINDS.values())
        self.scale = nn.Parameter(torch.tensor(10.0))
        self.bias = nn.Parameter(torch.tensor(-5.0))


class EncoderHeads(nn.Module):
    """The heads of both towers, and scale and bias of the cosine of frames."""

    def __init__(self, model: Vilamp) -> None:
        super().__init__()
        self.clip, self.vision = Heads(model.config.clip.vision_width), Heads(model.config.vision.hidden_size)
        self.scale = nn.Parameter(torch.tensor(10.0))
        self.bias = nn.Parameter(torch.tensor(-3.0))


def encoder_loss(
    model: Vilamp,
    heads: EncoderHeads,
    frames: UInt8[Tensor, "frames height width 3"],
    labels: Int[Tensor, "frames patches 3"],
    rng: random.Random,
) -> tuple[Float[Tensor, ""], dict[str, float]]:
    """Return the loss of one batch, and what to plot of it."""
    query = model.encode_queries([rng.choice(TEMPLATES).replace("{look}", str(look)) for look in LOOKS])
    for_clip, for_vision = model.prepare(frames)
    embeddings, clip_patches = model.clip.encode_frames_and_patches(clip_pixels(for_clip))
    patches = model.vision(siglip_pixels(for_vision))
    shape, colour, _ = labels.unbind(-1)
    look = torch.where(shape == NO_LABEL, NO_LABEL, shape * len(COLOURS) + colour)  # (frames, patches)
    shows = look[..., None] == torch.arange(len(LOOKS), device=look.device)  # (frames, patches, queries)

    of_frames = (embeddings @ query.T) * heads.scale + heads.bias  # (frames, queries)
    wanted = shows.any(1)
    frame_loss = _balanced(of_frames, wanted) + _ranking(of_frames, wanted)
    projected = model.clip.vision.visual_projection(clip_patches)
    clip_loss, _ = _patch_loss(heads.clip, clip_patches, projected, query, labels, shows)
    vision_loss, plotted = _patch_loss(heads.vision, patches, patches, query, labels, shows)
    return frame_loss + clip_loss + vision_loss, plotted | {"frame_auc": _auc(of_frames, wanted)}


def _patch_loss(
    heads: Heads,
    patches: Float[Tensor, "frames patches width"],
    projected: Float[Tensor, "frames patches dim"],
    query: Float[Tensor, "queries dim"],
    labels: Int[Tensor, "frames patches 3"],
    shows: Bool[Tensor, "frames patches queries"],
) -> tuple[Float[Tensor, ""], dict[str, float]]:
    """Return how badly a tower's patches tell what they show, and the accuracy of its label heads."""
    loss = _balanced((normalize(projected, dim=-1) @ query.T) * heads.scale + heads.bias, shows)
    plotted = {}
    for kind, head, name in zip(labels.unbind(-1), heads.labels, KINDS, strict=True):
        known = kind != NO_LABEL
        if not known.any():
            plotted[name] = math.nan
            continue
        logits = head(patches[known])
        loss = loss + cross_entropy(logits, kind[known].long())
        plotted[name] = float((logits.argmax(-1) == kind[known]).float().mean())
    return loss, plotted


def _ranking(logits: Float[Tensor, "frames queries"], wanted: Bool[Tensor, "frames queries"]) -> Float[Tensor, ""]:
    """Return the cross-entropy of each frame that shows a query against all frames that do not; 0 where none does."""
    if not wanted.any():
        return logits.new_zeros(())
    others = logits.masked_fill(wanted, float("-inf")).logsumexp(0, keepdim=True)  # (1, queries)
    return (torch.logaddexp(logits, others.expand_as(logits)) - logits)[wanted].mean()


def _balanced(logits: Tensor, wanted: Tensor) -> Tensor:
    """Return binary cross-entropy in which yes and no weigh the same, however rare yes is."""
    losses = binary_cross_entropy_with_logits(logits, wanted.float(), reduction="none")
    return losses[wanted].sum() / wanted.sum().clamp(min=1) + losses[~wanted].mean()


def _auc(logits: Tensor, wanted: Tensor) -> float:
    """Return the share of (yes, no) pairs in the right order, over at most 200 of each."""
    yes, no = logits[wanted].detach()[:200], logits[~wanted].detach()
    no = no[:: max(1, math.ceil(len(no) / 200))]
    return float((yes[:, None] > no[None]).float().mean())

"""Teach CLIP and the SigLIP tower what is in a frame, and where.

Three losses on frames whose sprites are known:

- which frames show what a question names: CLIP against its text tower, as yes or no and as a ranking of frames;
- which patches show it: both towers against the same query, so that Eq. 6 compares the two;
- what each patch shows: linear heads, thrown away after training.

Nobody uses CLIP's patches later, but without their loss CLIP does not learn to find frames: see docs/lab_notebook.md.
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

CLASSES = {"shape": len(SHAPES), "colour": len(COLOURS), "digit": len(DIGITS)}


class Heads(nn.Module):
    """What a tower needs in training only: label heads, and scale and bias of the cosines of its patches."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.labels = nn.ModuleList(nn.Linear(width, classes) for classes in CLASSES.values())
        self.scale = nn.Parameter(torch.tensor(10.0))
        self.bias = nn.Parameter(torch.tensor(-5.0))


class EncoderHeads(nn.Module):
    """The heads of both towers, and scale and bias of the cosines of frames."""

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
    """Return the loss of one batch, and what the curve shows of it."""
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
    """Return the loss of a tower's patches, and the accuracy of its label heads.

    Args:
        heads: The tower's heads.
        patches: The tower's output.
        projected: The same in the space of the queries.
        query: One embedding for each look.
        labels: What each patch shows; NO_LABEL where it shows nothing.
        shows: Whether a patch shows the look of a query.
    """
    loss = _balanced((normalize(projected, dim=-1) @ query.T) * heads.scale + heads.bias, shows)
    plotted = {}
    for kind, head, name in zip(labels.unbind(-1), heads.labels, CLASSES, strict=True):
        known = kind != NO_LABEL
        if not known.any():
            plotted[name] = math.nan
            continue
        logits = head(patches[known])
        loss = loss + cross_entropy(logits, kind[known].long())
        plotted[name] = float((logits.argmax(-1) == kind[known]).float().mean())
    return loss, plotted


def _ranking(logits: Float[Tensor, "frames queries"], wanted: Bool[Tensor, "frames queries"]) -> Float[Tensor, ""]:
    """Return the cross-entropy of each frame that shows a query's look against all that do not; 0 if none does."""
    if not wanted.any():
        return logits.new_zeros(())
    others = logits.masked_fill(wanted, float("-inf")).logsumexp(0, keepdim=True)  # (1, queries)
    return (torch.logaddexp(logits, others.expand_as(logits)) - logits)[wanted].mean()


def _balanced(logits: Float[Tensor, "*shape"], wanted: Bool[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """Return binary cross-entropy in which positives and negatives weigh the same, however rare positives are."""
    losses = binary_cross_entropy_with_logits(logits, wanted.float(), reduction="none")
    return losses[wanted].sum() / wanted.sum().clamp(min=1) + losses[~wanted].mean()


def _auc(logits: Float[Tensor, "*shape"], wanted: Bool[Tensor, "*shape"]) -> float:
    """Return the area under the ROC curve, over at most 200 positives and 200 negatives."""
    positives = logits[wanted].detach()[:200]
    negatives = logits[~wanted].detach()
    negatives = negatives[:: max(1, math.ceil(len(negatives) / 200))]
    return float((positives[:, None] > negatives[None]).float().mean())

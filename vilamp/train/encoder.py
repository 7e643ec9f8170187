"""Teach CLIP and the SigLIP tower what is in a frame, and where.

Three losses on frames whose sprites are known: does a frame show what a question
names (CLIP against its text tower), which patches show it (SigLIP against the same
query, so that Eq. 6 means something), and what each patch shows (linear heads that
are thrown away afterwards).
"""

from __future__ import annotations

import random

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, normalize

from niah.footage import COLOURS, DIGITS, SHAPES
from vilamp.data import LOOKS, NO_LABEL, TEMPLATES
from vilamp.model import Vilamp

KINDS = (len(SHAPES), len(COLOURS), len(DIGITS))


class Heads(nn.Module):
    """What training needs and the model does not keep: label heads, and scale and bias of the two cosines."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.labels = nn.ModuleList(nn.Linear(dim, kinds) for kinds in KINDS)
        self.scales = nn.Parameter(torch.tensor([10.0, 10.0]))  # of frames, of patches
        self.biases = nn.Parameter(torch.tensor([-3.0, -5.0]))


def queries(model: Vilamp, looks: list[int], rng: random.Random) -> Float[Tensor, "queries dim"]:
    """Return the unit-length embeddings of a random question about each look."""
    texts = [rng.choice(TEMPLATES).replace("{look}", str(LOOKS[look])) for look in looks]
    length = model.config.clip.context_length
    ids = torch.tensor([model.vocabulary.encode_query(text, length) for text in texts], device=model.device)
    return normalize(model.clip.encode_text(ids), dim=-1)


def encoder_loss(
    model: Vilamp,
    heads: Heads,
    frames: UInt8[Tensor, "frames height width 3"],
    labels: Int[Tensor, "frames patches 3"],
    rng: random.Random,
) -> tuple[Float[Tensor, ""], dict[str, float]]:
    """Return the loss of one batch, and what to plot of it."""
    looks = rng.sample(range(len(LOOKS)), 24)
    query = queries(model, looks, rng)  # (queries, dim)
    embeddings, patches = model.encode_frames(frames)
    shape, colour, _ = labels.unbind(-1)
    look = torch.where(shape == NO_LABEL, NO_LABEL, shape * len(COLOURS) + colour)  # (frames, patches)
    shows = look[..., None] == torch.tensor(looks, device=look.device)  # (frames, patches, queries)

    of_frames = (embeddings @ query.T) * heads.scales[0] + heads.biases[0]  # (frames, queries)
    of_patches = (normalize(patches, dim=-1) @ query.T) * heads.scales[1] + heads.biases[1]
    frame_loss = _balanced(of_frames, shows.any(1))
    patch_loss = _balanced(of_patches, shows)
    label_loss = patches.new_zeros(())
    plotted = {}
    for kind, head, name in zip(labels.unbind(-1), heads.labels, ("shape", "colour", "digit"), strict=True):
        known = kind != NO_LABEL
        logits = head(patches[known])
        label_loss = label_loss + cross_entropy(logits, kind[known].long())
        plotted[name] = float((logits.argmax(-1) == kind[known]).float().mean())
    plotted |= {"frame_auc": _auc(of_frames, shows.any(1)), "patch_auc": _auc(of_patches, shows)}
    return frame_loss + patch_loss + label_loss, plotted


def _balanced(logits: Tensor, wanted: Tensor) -> Tensor:
    """Return binary cross-entropy in which yes and no weigh the same, however rare yes is."""
    losses = binary_cross_entropy_with_logits(logits, wanted.float(), reduction="none")
    return losses[wanted].sum() / wanted.sum().clamp(min=1) + losses[~wanted].mean()


def _auc(logits: Tensor, wanted: Tensor) -> float:
    """Return the share of (yes, no) pairs in the right order, over at most 200 of each."""
    yes, no = logits[wanted].detach()[:200], logits[~wanted].detach()
    no = no[:: max(1, len(no) // 200)]
    return float((yes[:, None] > no[None]).float().mean())

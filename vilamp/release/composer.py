"""From a frame's patches to its tokens, with the projector's second linear map taken last.

That map is linear and pooling weights sum to 1, so it may follow the pooling: one row per token instead
of one per patch. The composer's maps of projected patches absorb it likewise. Same maths, other
rounding, and 21.7G instead of 41.8G multiply-adds per frame at full size.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, gelu, interpolate, linear, max_pool2d

from niah.types import UserError
from vilamp.merge import merge_features, patch_cosines
from vilamp.release.behaviour import Behaviour

BLOCK = 512  # rows and columns that are folded at a time
Hidden = Float[Tensor, "frames patches hidden"]  # patches between the projector's two linear maps


class SigPooling(nn.Module):
    """The learned maps of relevance and redundancy, and the temperature."""

    def __init__(self, query_width: int, width: int) -> None:
        super().__init__()
        self.tau = nn.Parameter(torch.zeros(()))
        self.linear_q = nn.Linear(query_width, width)
        self.linear_k, self.linear_iq, self.linear_ik = (nn.Linear(width, width) for _ in range(3))


def two_layers(inward: int, width: int) -> nn.Sequential:
    """Return a perceptron with exact GELU; its parameters are called 0 and 2, as in the checkpoint."""
    return nn.Sequential(nn.Linear(inward, width), nn.GELU(), nn.Linear(width, width))


class Folded:
    """One learned map of projected patches, with the projector's second map absorbed."""

    def __init__(self, after: nn.Linear, before: nn.Linear) -> None:
        self.weight = torch.empty_like(after.weight)
        self.bias = torch.empty_like(after.bias)
        # in double precision, a block at a time: whole, three such matrices would be most of what loading needs at most
        for first in range(0, len(after.weight), BLOCK):
            rows = slice(first, first + BLOCK)
            weight = after.weight[rows].double()
            self.bias[rows] = weight @ before.bias.double() + after.bias[rows].double()
            for start in range(0, before.weight.shape[1], BLOCK):
                columns = slice(start, start + BLOCK)
                self.weight[rows, columns] = weight @ before.weight[:, columns].double()

    def __call__(self, hidden: Hidden) -> Float[Tensor, "frames patches mapped"]:
        """Map hidden patches as if they had been projected first."""
        return linear(hidden, self.weight, self.bias)


class Composer:
    """What a checkpoint's projector and composer compute of a chunk of frames."""

    def __init__(self, projector: nn.Sequential, composer: nn.Module | None, behaviour: Behaviour) -> None:
        self.behaviour, self.composer = behaviour, composer
        self.first, self.last = cast(nn.Linear, projector[0]), cast(nn.Linear, projector[2])
        if isinstance(composer, SigPooling):
            self.key, self.by_query, self.by_key = (
                Folded(after, self.last) for after in (composer.linear_k, composer.linear_iq, composer.linear_ik)
            )
            self.temperature = float(composer.tau) if behaviour.temperature is None else behaviour.temperature
            if not self.temperature > 0:
                raise UserError(f"the checkpoint's composer_projector.tau must be positive, got {self.temperature}")

    def hidden(self, patches: Float[Tensor, "frames patches dim"]) -> Hidden:
        """Run the projector's first half."""
        return gelu(self.first(patches))

    def map_query(self, query: Float[Tensor, " dim"]) -> Float[Tensor, " mapped"]:
        """Map the query, once a case."""
        if self.behaviour.relevance == "learned":
            return cast(SigPooling, self.composer).linear_q(query)
        return query

    def map_anchor(
        self, patches: Float[Tensor, "frames patches dim"], hidden: Hidden
    ) -> Float[Tensor, "frames patches mapped"]:
        """Return what other frames are compared with where this one is their anchor."""
        return self.key(hidden) if self.behaviour.redundancy == "learned" else patches

    def relevance(
        self, patches: Float[Tensor, "frames patches dim"], hidden: Hidden, mapped_query: Float[Tensor, " mapped"]
    ) -> Float[Tensor, "frames patches"]:
        """Return R of Eq. 6."""
        mapped = self.by_query(hidden) if self.behaviour.relevance == "learned" else patches
        return patch_cosines(mapped, mapped_query)

    def redundancy(
        self, patches: Float[Tensor, "frames patches dim"], hidden: Hidden, anchor: Float[Tensor, ...] | None
    ) -> Float[Tensor, "frames patches"]:
        """Return T of Eq. 7 for frames of one anchor; None is their own, or zero, as the behaviour says."""
        if anchor is None:
            if self.behaviour.before_first == "zero":
                return hidden.new_zeros(hidden.shape[:2], dtype=torch.float32)
            anchor = self.map_anchor(patches, hidden)
        mapped = self.by_key(hidden) if self.behaviour.redundancy == "learned" else patches
        return patch_cosines(mapped, anchor)

    def merge(
        self,
        patches: Float[Tensor, "frames patches dim"],
        hidden: Hidden,
        saliency: Float[Tensor, "frames patches"],
    ) -> Float[Tensor, "frames width"]:
        """Return one token a frame (Eq. 8-11)."""
        if self.behaviour.merged == "vision":
            return self.last(gelu(self.first(merge_features(patches, saliency, self.temperature))))
        return self.last(merge_features(hidden, saliency, self.temperature))

    def mean(self, hidden: Hidden) -> Float[Tensor, "frames width"]:
        """Return the mean of each frame's projected patches."""
        return self.last(hidden.mean(dim=1))

    def keyframe_tokens(self, hidden: Hidden) -> Float[Tensor, "frames tokens width"]:
        """Return a keyframe's projected patches, pooled on their grid."""
        if self.behaviour.pool == "max":  # the one pooling that is not linear
            return pool_grid(self.last(hidden), "max", self.behaviour.pool_stride)
        return self.last(pool_grid(hidden, self.behaviour.pool, self.behaviour.pool_stride))


def pool_grid(
    patches: Float[Tensor, "frames patches dim"], mode: str, stride: int = 2
) -> Float[Tensor, "frames tokens dim"]:
    """Pool a square grid of patches: bilinear to half its side, rounded up; average or max by stride; none.

    Bilinear has half-pixel centres and no antialiasing. What average and max leave over at the right and
    below is dropped.
    """
    if mode == "none":
        return patches
    side = math.isqrt(patches.shape[1])
    grid = patches.transpose(1, 2).reshape(len(patches), -1, side, side)  # (frames, dim, side, side)
    if mode == "bilinear":
        half = math.ceil(side / 2)
        grid = interpolate(grid, (half, half), mode="bilinear", align_corners=False)
    else:
        grid = (avg_pool2d if mode == "average" else max_pool2d)(grid, stride)
    return grid.flatten(2).transpose(1, 2)


def pooled_tokens(patches: int, mode: str, stride: int = 2) -> int:
    """Return how many tokens a keyframe of so many patches leaves."""
    side = math.isqrt(patches)
    return {"none": side, "bilinear": math.ceil(side / 2)}.get(mode, side // stride) ** 2

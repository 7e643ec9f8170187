"""Where the paper and the released code differ, as fields: what a record must say to be understood.

`RELEASE` is what the weights were trained with. `PAPER` is Algorithm 1 and Eq. 5-11 as far as a
released checkpoint allows: it has one projector, so MLP_k = MLP_n, and its query (CLIP's width)
and patches (SigLIP's width) differ in width, so Eq. 6 goes through the checkpoint's maps.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from niah.settings import from_mapping, unknown_name
from niah.types import UserError

CHOICES = {
    "composer": ("sig_pooling", "single_token", "average_pooling"),
    "relevance": ("learned", "cosine"),
    "redundancy": ("learned", "cosine"),
    "anchor": ("frame_number", "keyframe"),
    "before_first": ("itself", "zero"),
    "merged": ("projected", "vision"),
    "pool": ("bilinear", "average", "max", "none"),
    "too_long": ("refuse", "cut"),
}


@dataclass(frozen=True)
class Behaviour:
    """How a video becomes tokens; the defaults are the release's."""

    name: str = "release"
    # keyframe selection: Algorithm 1, and what the release adds to it
    relevance_floor: float | None = None  # tau_q: no frame below it is kept for its relevance
    keep_ties: bool = True  # whether a frame exactly as similar as the threshold may be kept
    fill_gaps: bool = True  # up to exactly K keyframes, evenly between those found
    # one token for a frame that is no keyframe: Eq. 5-10
    composer: str = "sig_pooling"
    relevance: str = "learned"  # Eq. 6: of learned maps of query and patch, or of both as they are
    redundancy: str = "learned"  # Eq. 7: likewise of anchor and patch; "cosine" is of SigLIP's patches
    anchor: str = "frame_number"  # of the j-th keyframe's segment: frame j (the release's slip), or that keyframe
    before_first: str = "itself"  # the anchor of frames before the first keyframe, or "zero" redundancy
    redundancy_weight: float = 1.0  # lambda of Eq. 5
    temperature: float | None = None  # alpha of Eq. 10; None is the checkpoint's learned `tau`
    merged: str = "projected"  # the space patches are averaged in: after the projector, or before it (Eq. 11)
    # the sequence
    pool: str = "bilinear"  # of a keyframe's grid of patches
    pool_stride: int = 2  # of "average" and "max"; bilinear always halves
    newline: bool = True  # one learned vector after the last frame
    too_long: str = "refuse"  # "cut" drops the end of a sequence, question included, as the release does
    legacy_mask: bool = False  # pixels of frames that are no keyframes are 0: code before 2025-09-08

    def __post_init__(self) -> None:
        for field, known in CHOICES.items():
            if getattr(self, field) not in known:
                raise UserError(unknown_name(field, getattr(self, field), list(known)))
        for field in ("relevance_floor", "redundancy_weight", "temperature"):
            value = getattr(self, field)
            if value is not None and not math.isfinite(value):
                raise UserError(f"{field} must be a finite number, got {value!r}")
        if self.pool_stride < 1:
            raise UserError(f"pool_stride must be a whole number from 1 up, got {self.pool_stride!r}")
        if self.temperature is not None and not self.temperature > 0:
            raise UserError(f"the pooling temperature must be positive, got {self.temperature!r}")

    def with_settings(self, **settings: Any) -> Behaviour:
        """Return a copy with other fields. Raises UserError for a field there is not, or of another type."""
        known = [field.name for field in dataclasses.fields(self) if field.name != "name"]
        for name in settings:
            if name not in known:
                raise UserError(unknown_name("setting", name, known))
        return from_mapping(Behaviour, {**dataclasses.asdict(self), **settings}, "behaviour")


RELEASE = Behaviour()
PAPER = Behaviour(
    name="paper",
    keep_ties=False,
    fill_gaps=False,
    redundancy="cosine",
    anchor="keyframe",
    before_first="zero",
    temperature=0.01,
    merged="vision",
    pool="none",
    newline=False,
)
BEHAVIOURS = {"release": RELEASE, "paper": PAPER}

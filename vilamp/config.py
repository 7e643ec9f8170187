"""What a ViLaMP is made of: one frozen dataclass, read from the `config.yaml` of a checkpoint folder.

`Extras` are what the paper does not have. They are off unless named, off for the
published 7B model, and disclosed in the README.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Clip:
    """The frame and query encoder of keyframe selection."""

    embed_dim: int = 96
    image_size: int = 64
    patch_size: int = 8
    vision_layers: int = 3
    vision_width: int = 96
    text_layers: int = 2
    text_width: int = 96
    head_width: int = 24
    context_length: int = 48


@dataclass(frozen=True)
class Vision:
    """The SigLIP tower that turns a frame into patches, built by `transformers`."""

    hidden_size: int = 96
    intermediate_size: int = 192
    layers: int = 3
    heads: int = 4
    image_size: int = 64
    patch_size: int = 8

    @property
    def side(self) -> int:
        """Patches along one edge of the frame."""
        return self.image_size // self.patch_size


@dataclass(frozen=True)
class Language:
    """The Qwen2 language model, built by `transformers`."""

    hidden_size: int = 128
    intermediate_size: int = 384
    layers: int = 3
    heads: int = 4
    key_value_heads: int = 2
    rope_theta: float = 100000.0
    max_positions: int = 32768


@dataclass(frozen=True)
class Extras:
    """Not in the paper, each ablated where it is on.

    `patch_positions` appends (x, y) in [-4, 4] of a patch to its features before the
    connectors, `query_scores` its cosine with the query. `late_question` uses that cosine after compression only
    (`vilamp.late`).
    """

    patch_positions: bool = False
    query_scores: bool = False
    late_question: bool = False

    @property
    def channels(self) -> int:
        """How many numbers the extras add to a patch."""
        return 2 * self.patch_positions + self.query_scores


@dataclass(frozen=True)
class Compression:
    """One of `vilamp.compressors` in the place of ViLaMP's own compressor."""

    scheme: str  # the name of the compressor, under the key checkpoints have for it
    budget: float  # visual tokens a frame; of `pooled_frames`, frames however long the video

    def __post_init__(self) -> None:
        if self.budget <= 0:
            raise ValueError(f"a budget is above 0, got {self.budget}")


@dataclass(frozen=True)
class VilampConfig:
    """Sizes and the paper's constants (section 5.1): K, tau, lambda and alpha.

    The query and the patches meet in a cosine (Eq. 6), so `clip.embed_dim` must
    equal `vision.hidden_size`.
    """

    keyframes: int = 32  # K, at most
    threshold: float = 0.85  # tau of Algorithm 1
    redundancy_weight: float = 1.0  # lambda of Eq. 5
    temperature: float = 0.01  # alpha of Eq. 10
    clip: Clip = Clip()
    vision: Vision = Vision()
    language: Language = Language()
    extras: Extras = Extras()
    compression: Compression | None = None  # None: ViLaMP's own, with K keyframes whatever the length

    def __post_init__(self) -> None:
        if self.clip.embed_dim != self.vision.hidden_size:
            raise ValueError(
                f"Eq. 6 compares the query with patches, so clip.embed_dim ({self.clip.embed_dim}) must equal "
                f"vision.hidden_size ({self.vision.hidden_size})"
            )
        if self.keyframes < 1:
            raise ValueError(f"at least one keyframe is kept, got keyframes={self.keyframes}")
        if self.temperature <= 0:
            raise ValueError(f"the pooling temperature must be positive, got {self.temperature}")


def written(settings: Any) -> dict[str, Any]:
    """Return a dataclass as it is written down: without `compression` and `late_question` where there is none.

    So files and fingerprints of models that have ViLaMP's own compressor stay what they were before there were others.
    """
    return dataclasses.asdict(
        settings, dict_factory=lambda pairs: {k: v for k, v in pairs if k not in ("compression", "late_question") or v}
    )

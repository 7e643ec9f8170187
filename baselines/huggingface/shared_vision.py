"""Features of temporal patches that an earlier question showed, found instead of encoded: Qwen-VL, GLM-V and their kin.

In the towers named here nothing passes from one temporal patch (two frames, or an image) to another, so its features
follow from its pixels. They are kept under a hash of those. A forward pass always holds the same number of patches:
with another number the last bit of a feature may change, and an answer must not depend on what was asked before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from niah.adapters.feature_cache import FeatureCache
from niah.adapters.feature_store import FeatureStore
from niah.types import UserError

TOWERS = (  # for each of which a test compares patches alone with the same in a video
    "Qwen2VisionTransformerPretrainedModel", "Qwen2_5_VisionTransformerPretrainedModel", "Qwen3VLVisionModel",
    "Qwen3VLMoeVisionModel", "Qwen3_5VisionModel", "Qwen3_5MoeVisionModel", "Glm4vVisionModel", "Glm4vMoeVisionModel",
)  # fmt: skip
TOGETHER = 16  # temporal patches in a forward pass


class SharedVision:
    """Stands before a vision tower's `forward`."""

    def __init__(self, model: Any, store: FeatureStore) -> None:
        """`store` is this model's alone. Raises UserError where no tower encodes each temporal patch by itself."""
        towers = [module for module in model.modules() if type(module).__name__ in TOWERS]
        if not towers:
            raise UserError(
                f"store_gib and store_disk_gib keep the features of Qwen-VL, GLM-V and their kin, whose patches are "
                f"encoded apart; {type(model).__name__} is none of them: leave both out"
            )
        (tower,) = towers
        self.reused: float | None = None  # the share that was found when a video last came, since this was set to None
        self._cache = FeatureCache(store, tower.dtype, tower.device)
        self._encode, tower.forward = tower.forward, self._forward
        self._kind: type[Any] | None = None  # what the tower returns
        self._width = 0  # of a token's features

    def _forward(self, hidden_states: Tensor, grid_thw: Tensor, **settings: Any) -> Any:
        """Return what the tower returns, but for the hidden states, which no language model reads."""
        sizes = {(height, width) for _, height, width in grid_thw.tolist()}
        if len(sizes) > 1:  # images of several sizes
            return self._encode(hidden_states, grid_thw=grid_thw, **settings)
        (size,) = sizes
        patches = hidden_states.view(-1, size[0] * size[1], hidden_states.shape[-1])  # (temporal, spatial, pixels)
        batches = [range(len(patches))[start : start + TOGETHER] for start in range(0, len(patches), TOGETHER)]
        name = lambda number: _digest(patches[number], size)  # noqa: E731
        encode = lambda numbers: self._features(patches[numbers], size)  # noqa: E731
        parts, encoded = zip(*self._cache.get_or_encode(batches, name, encode), strict=True)
        if self.reused is None:
            self.reused = 1 - sum(encoded) / len(patches)
        pooled, *deep = torch.cat(parts).flatten(0, 1).split(self._width, -1)
        assert self._kind is not None  # nothing is found before something was encoded
        return self._kind(pooler_output=pooled, **({"deepstack_features": deep} if deep else {}))

    def _features(self, patches: Tensor, size: Sequence[int]) -> Tensor:
        """Return the features (patches, tokens, width of all layers) of at most so many patches as a pass holds."""
        padding = patches[:1].expand(TOGETHER - len(patches), -1, -1)
        grid = torch.tensor([[1, *size]] * TOGETHER, device=patches.device)
        made = self._encode(torch.cat([patches, padding]).flatten(0, 1), grid_thw=grid, return_dict=True)
        self._kind, self._width = type(made), made.pooler_output.shape[-1]
        features = torch.cat([made.pooler_output, *(made.get("deepstack_features") or ())], -1)
        return features.view(TOGETHER, -1, features.shape[-1])[: len(patches)]


def _digest(patch: Tensor, size: Sequence[int]) -> bytes:
    """Return a hash of a patch's pixels, in the dtype the tower is given, and of its size."""
    pixels = patch.contiguous().view(torch.uint8).cpu().numpy()
    return hashlib.blake2b(pixels.tobytes(), digest_size=16, salt=bytes(f"{size[0]}x{size[1]}", "ascii")).digest()

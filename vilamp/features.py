"""Features of frames, out of the store where it has them, made and stored where it has not.

Frames are encoded in chunks aligned to their source, each frame always in the
same slot of a batch of the same shape, so that its features are the same bits
whether they were made for this case or found in the store.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
import torch
from jaxtyping import Float
from torch.nn.functional import normalize

from niah.adapters.feature_store import FeatureStore
from niah.types import FrameKey, Video
from vilamp.model import Vilamp

CHUNK = 64  # frames a batch


def encoders_id(model: Vilamp) -> str:
    """Return 12 hex digits of a hash of the encoders' weights: models that share them share features."""
    digest = hashlib.sha256()
    for tower in (model.clip, model.vision):
        for name, tensor in sorted(tower.state_dict().items()):
            digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


class FrameFeatures:
    """CLIP embeddings ("embedding") and SigLIP patches ("patches") of frames, half precision, by frame and encoders."""

    def __init__(self, model: Vilamp, store: FeatureStore) -> None:
        self.model, self.store = model, store
        self._encoders = encoders_id(model)

    def of(
        self, video: Video, keys: list[FrameKey], kind: str, wanted: Sequence[int] | None = None
    ) -> Iterator[tuple[np.ndarray, int]]:
        """Yield one kind of feature of all frames, or the `wanted` ones, and how many had to be encoded.

        A chunk at a time; a chunk costs its whole batch, however few of its frames are wanted.
        """
        frames = range(len(keys)) if wanted is None else wanted
        for _, group in groupby(frames, key=lambda n: (keys[n].source, keys[n].number // CHUNK)):
            indices = list(group)
            found = [self.store.get((keys[n], kind + self._encoders)) for n in indices]
            missing = [n for n, features in zip(indices, found, strict=True) if features is None]
            if missing:
                fresh = self._encode(video, keys, missing, kind)
                found = [fresh.get(n, old) for n, old in zip(indices, found, strict=True)]
            yield np.stack(found), len(missing)  # type: ignore[arg-type]

    def directions(
        self, video: Video, keys: list[FrameKey], encoded: Counter[str]
    ) -> Float[torch.Tensor, "frames dim"]:
        """Return the unit-length embeddings of all frames, and count under "embedding" those that had to be encoded."""
        made, read = torch.empty(len(keys), self.model.config.clip.embed_dim, device=self.model.device), 0
        for rows, fresh in self.of(video, keys, "embedding"):
            unit = normalize(torch.from_numpy(rows).to(self.model.device, torch.float32), dim=-1)
            made[read : read + len(rows)] = unit
            read += len(rows)
            encoded["embedding"] += fresh
        return made

    def _encode(self, video: Video, keys: list[FrameKey], indices: list[int], kind: str) -> dict[int, np.ndarray]:
        """Encode frames of one chunk in their fixed slots, store both kinds, return the one asked for."""
        slots = torch.tensor([keys[n].number % CHUNK for n in indices])
        prepared = self.model.prepare(torch.from_numpy(video.frames(indices)))
        batches = [part.new_zeros((CHUNK, *part.shape[1:])).index_copy(0, slots, part) for part in prepared]
        kinds = ("embedding", "patches")
        made = [features.cpu().numpy().astype(np.float16) for features in self.model.encode(*batches)]
        for n in indices:
            for name, features in zip(kinds, made, strict=True):
                self.store.put((keys[n], name + self._encoders), features[keys[n].number % CHUNK])
        return {n: made[kinds.index(kind)][keys[n].number % CHUNK] for n in indices}

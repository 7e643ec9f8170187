"""The features of a video's frames for one question: found in the store, or encoded and stored.

Frames are encoded in batches aligned to their source, each frame always in the same row of a batch of the same shape,
so that its features are the same bits whether they were encoded for this case or found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from niah.adapters.compressor import EMBEDDING, PATCHES
from niah.adapters.feature_cache import FeatureCache, Slot, slot_batches
from niah.adapters.feature_store import FeatureStore
from niah.types import FrameKey, UserError, Video


@dataclass(frozen=True)
class FrameEncoder:
    """How a model encodes frames, and how its features are stored.

    Args:
        name: Identifies weights and dtype: models of one name share stored features.
        dtype: What features are stored in.
        device: Where features are wanted.
        batch: Frames in a batch.
        embedding_dim: Length of a frame's embedding.
        frame_bytes: Size of a frame's features of both kinds, as stored.
        encode: Returns the features of frames, (frames, height, width, 3) uint8, by kind; each frame is encoded in the
            given row of a batch, by which the bits of its features are settled.
    """

    name: str
    dtype: torch.dtype
    device: torch.device
    batch: int
    embedding_dim: int
    frame_bytes: int
    encode: Callable[[np.ndarray, Sequence[int], Sequence[str]], dict[str, Tensor]]


class FrameFeatures:
    """The features a model makes of frames, with a store that other models of the process may share."""

    def __init__(self, encoder: FrameEncoder, store: FeatureStore) -> None:
        self.encoder, self.store = encoder, store

    def of(self, video: Video) -> VideoFeatures:
        """Return the features of a video's frames."""
        return VideoFeatures(self.encoder, self.store, video)


class VideoFeatures:
    """Features of one video's frames. Holds one batch of frames and of features at a time."""

    def __init__(self, encoder: FrameEncoder, store: FeatureStore, video: Video) -> None:
        self._encoder, self._video = encoder, video
        self._cache = FeatureCache(store, encoder.dtype, encoder.device)
        self._keys: list[FrameKey] = video.keys(0, len(video))
        self._looked_at: Sequence[int] = ()
        self._encoded = np.zeros(len(video), dtype=bool)  # the frames of which anything had to be encoded
        # Patches that cannot all stay are not stored: the first would be gone when they are needed again.
        self._keep_patches = len(video) * encoder.frame_bytes <= store.capacity

    def embeddings(self, needs: Sequence[str]) -> Float[Tensor, "frames dim"]:
        """Return the embeddings of all frames; (frames, 0) unless they are among the features needed.

        Where patches are needed too and can be kept, they are encoded from the same pixels and stored.
        """
        count, encoder = len(self._keys), self._encoder
        if EMBEDDING not in needs:
            return torch.empty(count, 0, device=encoder.device)
        self._looked_at = range(count)
        kinds = (EMBEDDING, PATCHES) if PATCHES in needs and self._keep_patches else (EMBEDDING,)
        rows = torch.empty(count, encoder.embedding_dim, dtype=encoder.dtype, device=encoder.device)
        start = 0
        for found in self._get_or_encode(self._looked_at, kinds):
            rows[start : start + len(found)] = found
            start += len(found)
        return rows

    def patches(self, frames: Sequence[int]) -> Iterator[Float[Tensor, "_frames patches dim"]]:
        """Yield the patches of some frames, a batch at a time; a batch costs the same however few of its frames."""
        self._looked_at = self._looked_at or frames
        return self._get_or_encode(frames, (PATCHES,))

    @property
    def reused(self) -> int:
        """Of how many frames that were looked at nothing had to be encoded."""
        return len(self._looked_at) - int(self._encoded.sum())

    def _get_or_encode(self, frames: Sequence[int], kinds: tuple[str, ...]) -> Iterator[Tensor]:
        """Yield the first kind of feature of some frames; the other kinds are stored along with it."""

        def encode(slots: list[Slot]) -> Tensor:
            numbers = [slot.frame for slot in slots]
            self._encoded[numbers] = True
            features = self._encoder.encode(self._read(numbers), [slot.place for slot in slots], kinds)
            for kind in kinds[1:]:
                for slot, one in zip(slots, features[kind].cpu(), strict=True):
                    self._cache.put(self._key(slot, kind), one)
            return features[kinds[0]]

        keep = self._keep_patches or kinds[0] == EMBEDDING
        batches = slot_batches(self._keys, frames, self._encoder.batch)
        found = self._cache.get_or_encode(
            batches, lambda slot: self._key(slot, kinds[0]), encode, keep, self._announce, lambda slot: slot.place
        )
        for features, _ in found:
            yield features

    def _announce(self, missing: list[Slot]) -> None:
        """Have the frames that must be encoded decoded while the model computes."""
        self._video.announce([slot.frame for slot in missing])

    def _key(self, slot: Slot, kind: str) -> tuple[FrameKey, str]:
        return self._keys[slot.frame], kind + self._encoder.name

    def _read(self, numbers: Sequence[int]) -> np.ndarray:
        """Return frames of the video. Raises UserError where there are fewer than its index says."""
        frames = self._video.frames(numbers)
        if len(frames) != len(numbers):
            raise UserError(
                f"the video gave {len(frames)} frames where {len(numbers)} were asked for ({numbers[0]} to "
                f"{numbers[-1]}): its file is shorter than its index says, so scan it again, or leave it out"
            )
        return frames

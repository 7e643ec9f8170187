"""Features of frames for a released ViLaMP: out of the store where it has them, else encoded.

Frames are encoded in chunks aligned to their source, each frame always in the same slot of a
batch of the same shape, so that its features are the same bits whether they were made for this
case or found. Features are kept in the model's own dtype: 1.7 MB of patches a frame at full size,
16.8 GB for 10,000 frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from niah.adapters.feature_store import FeatureStore
from niah.types import FrameKey, UserError, Video
from vilamp.release.model import ReleasedVilamp
from vilamp.release.pixels import clip_pixels, siglip_pixels

CHUNK = 32  # frames a batch
KINDS = ("embedding", "patches")


class ReleaseFeatures:
    """CLIP embeddings ("embedding") and SigLIP patches ("patches") of a video's frames.

    Holds one chunk of frames and of features. `capacity` is how many bytes of features the store
    may hold: patches that cannot all stay are not put into it, as the first would be gone when
    they are next wanted.
    """

    def __init__(self, model: ReleasedVilamp, weights_id: str, store: FeatureStore, capacity: int) -> None:
        self.model, self.store, self.capacity = model, store, capacity
        self.name = f"{weights_id}/{model.dtype}"
        self.encoded = 0  # frames of which patches or embeddings had to be made

    def roomy(self, frames: int) -> bool:
        """Say whether the patches of so many frames can stay."""
        sizes = self.model.config.patches * self.model.config.siglip.hidden_size + self.model.config.clip.width
        return frames * sizes * self.model.dtype.itemsize <= self.capacity

    def of(
        self, video: Video, keys: Sequence[FrameKey], wanted: Sequence[int], kinds: tuple[str, ...]
    ) -> Iterator[Tensor]:
        """Yield the first of `kinds` for the `wanted` frames in order, (frames, ...) a chunk.

        Where it has to be made, the other kinds are made of the same pixels and stored with it.
        """
        keep = self.roomy(len(keys))
        for _, group in groupby(wanted, key=lambda n: (keys[n].source, keys[n].number // CHUNK)):
            indices = list(group)
            found = [self.store.get((keys[n], kinds[0] + self.name)) for n in indices]
            missing = [n for n, features in zip(indices, found, strict=True) if features is None]
            fresh: dict[int, Tensor] = {}
            if missing:
                slots = [keys[n].number % CHUNK for n in missing]
                made = self._encode(_as_many(video.frames(missing), missing), slots, kinds)
                fresh = dict(zip(missing, made[kinds[0]][slots], strict=True))
                self._put([keys[n] for n in missing], slots, made, keep)
                self.encoded += len(missing)
            parts = zip(indices, found, strict=True)
            yield torch.stack([fresh[n] if old is None else self._read(old) for n, old in parts])

    def _encode(self, frames: np.ndarray, slots: list[int], kinds: tuple[str, ...]) -> dict[str, Tensor]:
        """Return features of a whole chunk; slots that were not asked for hold those of black pixels."""
        model, made = self.model, {}
        for kind in kinds:
            if kind == "embedding":
                pixels = clip_pixels(frames, model.config.clip.picture, model.device)
                made[kind] = model.encode_clip(_placed(pixels, slots))
            else:
                pixels = siglip_pixels(frames, model.config.siglip_picture, model.device)
                made[kind] = model.encode_patches(_placed(pixels, slots))
        return made

    def _put(self, keys: Sequence[FrameKey], slots: Sequence[int], made: dict[str, Tensor], keep: bool) -> None:
        for kind, features in made.items():
            if keep or kind == "embedding":
                bits = _bits(features)
                for key, slot in zip(keys, slots, strict=True):
                    self.store.put((key, kind + self.name), bits[slot])

    def _read(self, stored: np.ndarray) -> Tensor:
        """Return stored bits as a tensor on the model's device."""
        return torch.from_numpy(stored.copy()).view(self.model.dtype).to(self.model.device)


def _as_many(frames: np.ndarray, indices: Sequence[int]) -> np.ndarray:
    """Return frames as they are. Raises UserError unless there is one for each index."""
    if len(frames) != len(indices):
        raise UserError(
            f"the video gave {len(frames)} frames where {len(indices)} were asked for ({indices[0]} to {indices[-1]}): "
            "its file is shorter than its index says, so measure it again, or leave it out"
        )
    return frames


def _placed(pixels: Tensor, slots: Sequence[int]) -> Tensor:
    """Return a whole chunk of pixels with the given frames in their slots."""
    whole = pixels.new_zeros(CHUNK, *pixels.shape[1:])
    whole[list(slots)] = pixels
    return whole


def _bits(features: Tensor) -> np.ndarray:
    """Return features as numpy can hold them: it has no bfloat16."""
    kinds = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    return features.cpu().contiguous().view(kinds[features.dtype.itemsize]).numpy()

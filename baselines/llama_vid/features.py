"""The tower's features of frames, out of the store where it has them, made and stored where it has not.

They do not depend on the question, so cases that share frames share them: 724 KB a frame at
7B size in half precision. Frames are encoded in batches of one shape, aligned to their
source, each always in the same slot, so that its features are the same bits whether they
were made for this case or found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from baselines.llama_vid.compressor import Query
from baselines.llama_vid.model import CHUNK, LlamaVid
from niah.adapters.feature_store import FeatureStore
from niah.adapters.preprocess import centre_square, standardise
from niah.types import FrameKey, Video


class Slot(NamedTuple):
    """One frame's place in a batch."""

    frame: int  # of the video
    place: int  # in the batch


def batches(numbers: Sequence[tuple[str, int]], indices: Sequence[int], stride: int) -> Iterator[list[Slot]]:
    """Group shown frames, given (source, number) of each, into runs that fill slots of one batch.

    The slot follows from the frame's number alone. A run ends where source or batch changes or a slot is taken.
    """
    batch: list[Slot] = []
    name: tuple[str, int] | None = None
    for (source, number), index in zip(numbers, indices, strict=True):
        step = number // stride
        slot, found = Slot(index, step % CHUNK), (source, step // CHUNK)
        if batch and (found != name or slot.place in {other.place for other in batch}):
            yield batch
            batch = []
        batch.append(slot)
        name = found
    if batch:
        yield batch


class FrameFeatures:
    """Features of shown frames. `store` holds one model's features: it must not be shared between models."""

    def __init__(self, model: LlamaVid, store: FeatureStore | None) -> None:
        self.model, self.store = model, store

    @torch.inference_mode()
    def tokens(
        self, video: Video, shown: Sequence[int], query: Query, class_row: bool
    ) -> tuple[Float[Tensor, "tokens hidden"], int]:
        """Return the tokens of the shown frames for one question, and how many frames the store had.

        `shown` is evenly spaced. Without `class_row` the Q-Former does not see it: the long path.
        """
        fresh: list[int] = []

        def chunks() -> Iterator[Tensor]:
            for features, encoded in self.of(video, shown, shown[1] if len(shown) > 1 else 1):
                fresh.append(encoded)
                yield features if class_row else features[:, 1:]

        return self.model.video_tokens(chunks(), query)[0], len(shown) - sum(fresh)

    @torch.inference_mode()
    def of(
        self, video: Video, indices: Sequence[int], stride: int
    ) -> Iterator[tuple[Float[Tensor, "_frames rows width"], int]]:
        """Yield features of a batch of shown frames, class row first, and how many of them had to be encoded.

        Holds the frames, pixels and activations of one batch of 32: 2, 19 and about 290 MB at 7B size.
        """
        keys = video.keys(0, len(video))
        for batch in batches([(keys[index].source, keys[index].number) for index in indices], indices, stride):
            found = {slot.place: self._find(keys[slot.frame]) for slot in batch}
            missing = [slot for slot in batch if found[slot.place] is None]
            if missing:
                made = self._encode(video, missing)
                found.update({slot.place: made[slot.place] for slot in missing})
                self._keep(keys, made, missing)
            rows = [features for features in found.values() if features is not None]
            yield torch.stack(rows), len(missing)

    def _encode(self, video: Video, slots: list[Slot]) -> Float[Tensor, "chunk rows width"]:
        """Encode a few frames, each in its slot of an otherwise black batch."""
        frames = centre_square(video.frames([slot.frame for slot in slots]), self.model.config.vision.image_size)
        batch = np.zeros((CHUNK, *frames.shape[1:]), np.uint8)
        batch[[slot.place for slot in slots]] = frames
        return self.model.encode(standardise(batch, device=self.model.device), class_row=True)

    def _find(self, key: FrameKey) -> Float[Tensor, "rows width"] | None:
        bits = None if self.store is None else self.store.get(key)
        if bits is None:
            return None
        return torch.from_numpy(bits.copy()).view(self.model.dtype).to(self.model.device)  # torch wants it writable

    def _keep(self, keys: Sequence[FrameKey], made: Float[Tensor, "chunk rows width"], slots: list[Slot]) -> None:
        """Store features as their bits, as numpy has no bfloat16."""
        if self.store is not None:
            for slot, features in zip(slots, made[[slot.place for slot in slots]].cpu(), strict=True):
                self.store.put(keys[slot.frame], features.contiguous().view(torch.uint8).numpy())

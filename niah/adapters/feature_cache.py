"""Get the features of frames from a store, or encode and store them.

Cases that share frames so share their encoding. The keys name pixels and weights, and a frame always has the same
place in a batch of the same shape, so features are the same bits whether they were encoded for this case or found.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from niah.adapters.feature_store import FeatureStore
from niah.adapters.to_device import to_device
from niah.types import FrameKey

Item = TypeVar("Item")
_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # NumPy has no bfloat16


class FeatureCache:
    """Tensors of one dtype in a `FeatureStore`, bit for bit; without a store it encodes everything anew."""

    def __init__(self, store: FeatureStore | None, dtype: torch.dtype, device: torch.device) -> None:
        self.store, self.dtype, self.device = store, dtype, device

    def get(self, key: Hashable) -> Float[Tensor, ...] | None:
        """Return what is stored under `key`, on the device, or None."""
        bits = None if self.store is None else self.store.get(key)
        return None if bits is None else self._to_device([bits])[0]

    def holds(self, key: Hashable) -> bool:
        """Return True if `key` is stored; this counts as using it, so that it is forgotten later."""
        return self.store is not None and self.store.get(key) is not None

    def put(self, key: Hashable, features: Float[Tensor, ...]) -> None:
        """Store a copy of `features`, which are of the cache's dtype."""
        if self.store is not None:
            self.store.put(key, features.cpu().contiguous().view(_BITS[features.element_size()]).numpy())

    def get_or_encode(
        self,
        batches: Iterable[Sequence[Item]],
        key: Callable[[Item], Hashable],
        encode: Callable[[list[Item]], Float[Tensor, "missing ..."]],
        keep: bool = True,
        announce: Callable[[list[Item]], object] | None = None,
        row: Callable[[Item], int] | None = None,
    ) -> Iterator[tuple[Float[Tensor, "items ..."], int]]:
        """Yield the features of each batch, and how many of its items had to be encoded; holds two batches at most.

        Args:
            batches: What to encode, frames or clips, grouped as they shall be yielded.
            key: Names an item's pixels, and the weights where the store serves several models.
            encode: Returns the features of the items of a batch that are not stored, in their order.
            keep: Whether to store what was encoded.
            announce: Called first, with all items that are not stored.
            row: An item's row where `encode` takes as long however few of its rows are taken: items of later batches
                whose rows are free are then encoded along with a batch.
        """
        batches = list(batches)
        if announce is not None:
            announce([item for batch in batches for item in batch if self._lacks(key(item))])
        left = deque(batches)
        if row is not None:
            encode = self._encode_along(encode, left, key, row)
        while left:
            yield self._batch(left.popleft(), key, encode, keep)

    def _encode_along(
        self,
        encode: Callable[[list[Item]], Float[Tensor, "missing ..."]],
        left: Iterable[Sequence[Item]],
        key: Callable[[Item], Hashable],
        row: Callable[[Item], int],
    ) -> Callable[[list[Item]], Float[Tensor, "missing ..."]]:
        """Return `encode` which also encodes what has free rows of the batches that are `left`, and finds it later."""
        ahead: dict[Hashable, Tensor] = {}

        def encode_or_find(missing: list[Item]) -> Tensor:
            new = [item for item in missing if key(item) not in ahead]
            if new:
                new += self._with_free_rows(new, left, key, row)
                ahead.update(zip(map(key, new), encode(new), strict=True))
            return torch.stack([ahead.pop(key(item)) for item in missing])

        return encode_or_find

    def _lacks(self, key: Hashable) -> bool:
        """Return True if `key` is not stored; this does not count as using it."""
        return self.store is None or key not in self.store

    def _with_free_rows(
        self,
        items: Sequence[Item],
        later: Iterable[Sequence[Item]],
        key: Callable[[Item], Hashable],
        row: Callable[[Item], int],
    ) -> list[Item]:
        """Return what is not stored of later batches, up to the first whose rows `items` or one another take."""
        taken = {row(item) for item in items}
        found: list[Item] = []
        for batch in later:
            missing = [item for item in batch if self._lacks(key(item))]
            if taken & {row(item) for item in missing}:
                break
            found += missing
            taken |= {row(item) for item in missing}
        return found

    def _batch(
        self,
        batch: Sequence[Item],
        key: Callable[[Item], Hashable],
        encode: Callable[[list[Item]], Float[Tensor, "missing ..."]],
        keep: bool,
    ) -> tuple[Float[Tensor, "items ..."], int]:
        """Return the features of one batch, and how many of its items had to be encoded."""
        found = [None if self.store is None else self.store.get(key(item)) for item in batch]
        missing = [item for item, bits in zip(batch, found, strict=True) if bits is None]
        stored = [bits for bits in found if bits is not None]
        if not missing:
            return self._to_device(stored), 0
        encoded = encode(missing)
        if keep and self.store is not None:
            for item, features in zip(missing, encoded.cpu(), strict=True):
                self.put(key(item), features)
        if len(missing) == len(batch):
            return encoded, len(missing)
        fresh, known = iter(encoded), iter(self._to_device(stored))
        return torch.stack([next(fresh if bits is None else known) for bits in found]), len(missing)

    def _to_device(self, stored: list[np.ndarray]) -> Float[Tensor, "items ..."]:
        """Return what is stored of some items, in one copy to the device."""
        return to_device(torch.from_numpy(np.stack(stored)).view(self.dtype), self.device)


class Slot(NamedTuple):
    """One frame's place in a batch."""

    frame: int  # number in the video
    place: int  # row of the batch


def slot_batches(keys: Sequence[FrameKey], frames: Sequence[int], size: int, stride: int = 1) -> Iterator[list[Slot]]:
    """Group frames into batches of at most `size`, in which a frame's row depends only on its number in its source.

    Args:
        keys: The keys of all frames of the video.
        frames: Numbers of the wanted frames, in order.
        size: Rows of a batch.
        stride: The distance between wanted frames of one source, where they are evenly spaced; one in `stride` frames
            then has a row.
    """
    batch: dict[int, Slot] = {}  # by row
    current: tuple[str, int] | None = None
    for frame in frames:
        step = keys[frame].number // stride
        place, name = step % size, (keys[frame].source, step // size)
        if batch and (name != current or place in batch):
            yield [*batch.values()]
            batch = {}
        batch[place] = Slot(frame, place)
        current = name
    if batch:
        yield [*batch.values()]

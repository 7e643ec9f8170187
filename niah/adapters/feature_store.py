"""A bounded store of features: memory first, then a memory-mapped scratch file, then nothing.

What it does not hold the adapter computes again, so it may forget anything at any time;
what it returns is bit for bit what was put in. Keys name the pixels and the weights
(`niah.types.FrameKey` and an id), so a value never has to be taken back.
"""

from __future__ import annotations

import mmap
import tempfile
import weakref
from collections import OrderedDict
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import numpy as np

SEGMENT_BYTES = 64 << 20  # the scratch file grows by this much
RESIDENT_BYTES = 16 << 20  # mapped pages count as this process's memory, so they are let go after so many bytes


class FeatureStore:
    """Holds arrays under keys, at most `memory_bytes` in memory and `disk_bytes` in a scratch file in `folder`.

    The longest unused goes first: from memory to disk, from disk to nowhere. The scratch
    file has no name, so it is gone when the process is, however that ends.
    """

    def __init__(self, memory_bytes: int, disk_bytes: int, folder: str | Path) -> None:
        self.memory_held = 0  # bytes
        self._memory_bytes = memory_bytes
        self._disk_bytes = disk_bytes
        self._folder = Path(folder)
        self._memory: OrderedDict[Hashable, np.ndarray] = OrderedDict()
        self._shelves: dict[tuple[Any, ...], _Shelf] = {}  # by shape and dtype: all slots of a shelf are alike
        self._shelf_of: dict[Hashable, _Shelf] = {}

    @property
    def capacity(self) -> int:
        """Bytes that can be held at most, in memory and on disk together."""
        return self._memory_bytes + self._disk_bytes

    @property
    def disk_held(self) -> int:
        """Bytes the scratch files take up."""
        return sum(shelf.bytes for shelf in self._shelves.values())

    def __len__(self) -> int:
        return len(self._memory) + len(self._shelf_of)

    def __contains__(self, key: Hashable) -> bool:
        """Return True if `get` would find the key; this does not count as using it."""
        return key in self._memory or key in self._shelf_of

    def get(self, key: Hashable) -> np.ndarray | None:
        """Return what was put under `key`, read-only, or None where it was forgotten or never known."""
        value = self._memory.get(key)
        if value is not None:
            self._memory.move_to_end(key)
            return value
        shelf = self._shelf_of.get(key)
        return None if shelf is None else shelf.read(key)

    def put(self, key: Hashable, value: np.ndarray) -> None:
        """Keep a copy of `value` under `key`. A key that is already held keeps its value, which is equal."""
        if key in self:
            return
        kept = np.array(value, order="C")  # a copy: a view would keep its whole batch alive
        kept.setflags(write=False)
        self._memory[key] = kept
        self.memory_held += kept.nbytes
        while self.memory_held > self._memory_bytes:
            oldest, fallen = self._memory.popitem(last=False)
            self.memory_held -= fallen.nbytes
            self._to_disk(oldest, fallen)

    def close(self) -> None:
        """Forget everything and delete the scratch files."""
        for shelf in self._shelves.values():
            shelf.close()
        self._memory.clear()
        self._shelves.clear()
        self._shelf_of.clear()
        self.memory_held = 0

    def __enter__(self) -> FeatureStore:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _to_disk(self, key: Hashable, value: np.ndarray) -> None:
        kind = (value.shape, value.dtype.str)
        if kind not in self._shelves:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._shelves[kind] = _Shelf(value.shape, value.dtype, self._folder)
        shelf = self._shelves[kind]
        if not shelf.has_room:
            shelf.grow(self._disk_bytes - self.disk_held)
        for forgotten in shelf.write(key, value):
            del self._shelf_of[forgotten]
        if key in shelf:
            self._shelf_of[key] = shelf


class _Shelf:
    """Slots of one shape in a nameless file, mapped a segment at a time."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype, folder: Path) -> None:
        self.bytes = 0
        self._shape, self._dtype = shape, dtype
        self._count = int(np.prod(shape))
        self._slot_bytes = max(1, self._count * dtype.itemsize)
        self._file = tempfile.TemporaryFile(dir=folder, prefix="features-", buffering=0)  # noqa: SIM115
        self._close_file = weakref.finalize(self, self._file.close)
        self._segments: list[mmap.mmap] = []
        self._free: list[tuple[mmap.mmap, int]] = []
        self._slots: OrderedDict[Hashable, tuple[mmap.mmap, int]] = OrderedDict()
        self._touched = 0
        self._full = False

    def __contains__(self, key: Hashable) -> bool:
        return key in self._slots

    @property
    def has_room(self) -> bool:
        return bool(self._free)

    def grow(self, room: int) -> None:
        """Add a segment of at most `room` bytes, unless the disk has no more."""
        unit = mmap.ALLOCATIONGRANULARITY
        slots = min(max(SEGMENT_BYTES, self._slot_bytes), room) // self._slot_bytes
        size = -(-slots * self._slot_bytes // unit) * unit  # segments begin where the system can map them
        if size > room:
            slots, size = room // unit * unit // self._slot_bytes, room // unit * unit
        if self._full or slots < 1:
            return
        try:
            self._file.seek(self.bytes)
            written = self._file.write(bytes(size))  # a mapped hole on a full disk would kill the process later
        except OSError:  # a full disk: go on with what there is
            written = 0
        if written < size:
            self._full = True
            return
        segment = mmap.mmap(self._file.fileno(), size, offset=self.bytes)
        self.bytes += size
        self._segments.append(segment)
        self._free += [(segment, slot * self._slot_bytes) for slot in reversed(range(slots))]

    def write(self, key: Hashable, value: np.ndarray) -> list[Hashable]:
        """Put `value` into a free slot, else into the longest unused; return the keys that made way."""
        forgotten: list[Hashable] = []
        if not self._free:
            if not self._slots:
                return forgotten  # no room at all: the value is dropped
            oldest, slot = self._slots.popitem(last=False)
            self._free.append(slot)
            forgotten.append(oldest)
        segment, offset = self._free.pop()
        segment[offset : offset + value.nbytes] = value.tobytes()
        self._slots[key] = (segment, offset)
        self._touch()
        return forgotten

    def read(self, key: Hashable) -> np.ndarray:
        """Return a read-only copy of what is in the slot of `key`."""
        self._slots.move_to_end(key)
        segment, offset = self._slots[key]
        data = segment[offset : offset + self._count * self._dtype.itemsize]  # bytes: a copy
        self._touch()
        return np.frombuffer(data, dtype=self._dtype, count=self._count).reshape(self._shape)

    def close(self) -> None:
        self._free.clear()
        self._slots.clear()
        for segment in self._segments:
            segment.close()
        self._close_file()

    def _touch(self) -> None:
        """Let go of mapped pages now and then: they stay in the system's cache, not in this process's memory."""
        self._touched += self._slot_bytes
        if self._touched > RESIDENT_BYTES and hasattr(mmap, "MADV_DONTNEED"):
            for segment in self._segments:
                segment.madvise(mmap.MADV_DONTNEED)
            self._touched = 0

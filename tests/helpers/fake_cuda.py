"""A stand-in for `torch.cuda`: cards that count bytes and raise what real ones raise."""

from __future__ import annotations

from types import SimpleNamespace

import torch

GIB = 2**30


class FakeCuda:
    """Some cards, of which the first is the current one; `patch` puts it in the place of `torch.cuda`'s functions."""

    def __init__(self, gib=(80.0,)):
        self.total = [int(size * GIB) for size in gib]
        self.allocated = [0] * len(gib)
        self.reserved = [0] * len(gib)
        self.peak_allocated = [0] * len(gib)
        self.peak_reserved = [0] * len(gib)
        self.fractions = {}

    def patch(self, monkeypatch):
        for name in (
            "device_count", "empty_cache", "reset_peak_memory_stats", "max_memory_allocated", "max_memory_reserved",
            "is_available", "is_initialized", "current_device", "get_device_properties", "get_device_name", "synchronize",
            "set_per_process_memory_fraction",
        ):  # fmt: skip
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))
        return self

    def use(self, card, size):
        """Allocate for a moment; the allocator keeps what it reserved."""
        limit = self.fractions.get(card, 1.0) * self.total[card]
        if self.allocated[card] + size > limit:
            raise torch.OutOfMemoryError(
                f"CUDA out of memory. Tried to allocate {size / GIB:.2f} GiB. GPU {card} has a limit"
            )
        self.reserved[card] = max(self.reserved[card], self.allocated[card] + size)
        self.peak_allocated[card] = max(self.peak_allocated[card], self.allocated[card] + size)
        self.peak_reserved[card] = max(self.peak_reserved[card], self.reserved[card])

    def device_count(self):
        return len(self.total)

    def is_available(self):
        return True

    def is_initialized(self):
        return True

    def current_device(self):
        return 0

    def synchronize(self, device=None):
        pass

    def empty_cache(self):
        self.reserved = list(self.allocated)

    def reset_peak_memory_stats(self, device=None):
        card = self._index(device)
        self.peak_allocated[card], self.peak_reserved[card] = self.allocated[card], self.reserved[card]

    def max_memory_allocated(self, device=None):
        return self.peak_allocated[self._index(device)]

    def max_memory_reserved(self, device=None):
        return self.peak_reserved[self._index(device)]

    def get_device_properties(self, device=None):
        return SimpleNamespace(total_memory=self.total[self._index(device, optional=True)], name="fake card")

    def get_device_name(self, device=None):
        return "fake card"

    def set_per_process_memory_fraction(self, fraction, device=None):
        self.fractions[self._index(device)] = fraction

    def _index(self, device, optional=False):
        """Return a card's number, and refuse what `torch.cuda` refuses."""
        if device is None:
            return 0
        if isinstance(device, int):
            return device
        index = torch.device(device).index
        if index is None:
            if optional:
                return 0
            raise ValueError(f"Expected a torch.device with a specified index or an integer, but got:{device}")
        return index

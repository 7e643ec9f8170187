"""Summary tokens of windows that an earlier case has read: the cache up to the needle is computed once a haystack.

All is causal, so what a window leaves in the cache depends on nothing behind it. A window is
named by a hash over itself and every window before it: names of frames, ratio, carry, and the
prefix in front. The store is bounded and gives back the bits that were put in; a window it
has forgotten, and all behind that one, are read again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch

from baselines.video_xl.cache import Cache
from baselines.video_xl.windows import Window
from niah.adapters.feature_store import FeatureStore
from niah.types import FrameKey

_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # numpy has no bfloat16


def names(prefix: Sequence[int], windows: Sequence[Window], frames: Sequence[Sequence[FrameKey]]) -> list[str]:
    """Name what each window leaves in the cache; `frames` are the keys of the frames it shows."""
    name, found = hashlib.sha256(repr(tuple(prefix)).encode()).hexdigest(), []
    for window, keys in zip(windows, frames, strict=True):
        parts = (name, window, [tuple(key) for key in keys])
        name = hashlib.sha256(repr(parts).encode()).hexdigest()
        found.append(name)
    return found


def restore(store: FeatureStore, cache: Cache, windows: Sequence[Window], found: Sequence[str]) -> int:
    """Append the windows that the store has from the first on; return how many."""
    for number, (window, name) in enumerate(zip(windows, found, strict=True)):
        if not window.summaries:
            continue
        kept = store.get(name)
        if kept is None:
            return number
        bits = torch.from_numpy(kept.copy())  # torch wants to be able to write
        cache.append(bits.view(cache.store.dtype).to(cache.store.device))
    return len(windows)


def remember(
    store: FeatureStore, cache: Cache, start: int, windows: Sequence[Window], found: Sequence[str], fresh: int
) -> None:
    """Store what the windows left in the cache, whose visual part starts at token `start`.

    Those before number `fresh` came from the store. Last windows first: the store forgets the longest unused, and
    a window is of no use without those before it, so the first have to be the latest used.
    """
    stops = (start + np.cumsum([window.summaries for window in windows])).tolist()
    for number in reversed(range(len(windows))):
        held = number < fresh and store.get(found[number]) is not None  # asking for it counts as using it
        if windows[number].summaries and not held:
            kept = cache.read(stops[number] - windows[number].summaries, stops[number]).cpu().contiguous()
            store.put(found[number], kept.view(_BITS[kept.element_size()]).numpy())

"""What a question looks at of a video that Video-XL has read: the summary tokens that its cache still holds.

The visual tokens themselves are gone by then, so no share falls on them. A summary token has seen all of the video up
to its place; it is counted to the frame of the visual token it stands behind, at ratio 16 the one whose 16 tokens it
closes. It has no place among patches. What it shows the question are its cached keys and values, and of these
the last layer's values are its features: its input is one learned vector, the same for all.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from baselines.video_xl.watch import Watcher
from niah.adapters.feature_store import FeatureStore
from niah.run.attention import VisualAttention
from niah.types import UserError


@torch.inference_mode()
def attentions(watcher: Watcher, store: FeatureStore | None = None) -> VisualAttention:
    """Read a video into the watcher's cache; return what the tokens behind it look at. Raises UserError without one.

    Held are the cache and, of one layer at a time, (heads, words, tokens).
    """
    if not watcher.windows:
        raise UserError("attention is told of a video's tokens: ask about a video, not a blind case")
    watcher.watch(store)
    numbers, first = frames(watcher), len(watcher.prompt.prefix)
    values = watcher.cache.store[1, -1, :, first : watcher.cache.length]  # (key heads, summaries, head size)
    features = values.transpose(0, 1).flatten(1).float().cpu().numpy()
    return VisualAttention(numbers, np.full(len(numbers), -1), features, _layers(watcher))


def frames(watcher: Watcher) -> np.ndarray:
    """Return the frame each summary token is counted to, (summaries,)."""
    before = [window.start + place - k - 1 for window in watcher.windows for k, place in enumerate(window.places)]
    return np.array([watcher.shown[token // watcher.tokens] for token in before])


@torch.inference_mode()
def _layers(watcher: Watcher) -> Iterator[np.ndarray]:
    """Yield for each layer what the suffix pays each summary token, (heads, words, summaries)."""
    model, first, last = watcher.model, len(watcher.prompt.prefix), watcher.cache.length
    suffix = torch.tensor(watcher.prompt.suffix, dtype=torch.long, device=model.device)
    for rows in model.language.attention(suffix, watcher.cache):
        yield rows[:, :, first:last].cpu().numpy()

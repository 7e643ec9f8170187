"""Read a video of the harness into a cache: frames are decoded, encoded and summarised a window at a time.

At any time one window's frames are held, as pixels (1.4 MB a frame in single precision at
336 x 336), as patches and as visual tokens (1 MB a frame at 7B in 16 bits); what stays is
the cache: 516,096 bytes a frame at ratio 16. Dynamic compression looks at every frame once
more beforehand and holds a class token of each.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from baselines.video_xl import dynamic, reuse
from baselines.video_xl.cache import Cache
from baselines.video_xl.model import VideoXL
from baselines.video_xl.prompt import Prompt
from baselines.video_xl.ratios import SEED
from baselines.video_xl.settings import Compression
from baselines.video_xl.windows import Window, cut, plan
from niah.adapters.feature_store import FeatureStore
from niah.adapters.meter import clock
from niah.adapters.qwen import check_finite
from niah.types import UserError, Video


class Watcher:
    """One video and one prompt on their way into a cache."""

    def __init__(self, model: VideoXL, how: Compression, video: Video, prompt: Prompt, new_tokens: int) -> None:
        self.model, self.how, self.video, self.prompt = model, how, video, prompt
        self.encode_seconds = 0.0  # spent in the tower and the projector, without decoding
        self.shown = spread(len(video), how.frames)  # numbers of the frames in the video
        self.tokens = model.settings.vision.tokens  # of a frame
        self.windows = self._plan()
        self.restored = 0  # windows
        kept = len(prompt.prefix) + sum(window.summaries for window in self.windows)
        step = max((len(window) + window.summaries for window in self.windows), default=0)
        self.cache: Cache = model.cache(kept + max(step, len(prompt.suffix) + new_tokens))

    @property
    def used(self) -> tuple[int, ...]:
        """Frames an answer can depend on: those with a visual token that a summary token follows."""
        places = (
            place
            for window in self.windows
            for place in range(window.start // self.tokens, -(-(window.start + window.seen) // self.tokens))
            if window.seen
        )
        return tuple(self.shown[place] for place in dict.fromkeys(places))

    @property
    def reused(self) -> int:
        """Frames whose summary tokens came from the store."""
        return self.windows[self.restored - 1].stop // self.tokens if self.restored else 0

    def visual(self, window: Window) -> Tensor:
        """Return a window's visual tokens, (tokens, hidden): decoded and encoded now.

        A frame that lies across two windows is encoded for both, so that no window depends on how another was cut.
        """
        first, places = self._places(window)
        frames = self.video.frames(places)
        began = clock(self.model.device)
        tokens = self.model.encode(frames)
        self.encode_seconds += clock(self.model.device) - began
        return tokens[window.start - first * self.tokens :][: len(window)]

    def read(self, store: FeatureStore | None = None) -> Tensor:
        """Read prefix, windows and suffix, those windows excepted that the store has.

        Returns the (vocabulary,) logits of the last token; the head is run for no other. Raises UserError where
        they are not finite, which in float16 happens to weights that were trained in bfloat16.
        """
        self.watch(store)
        return check_finite(self.model.language.logits(self._take(suffix=self.prompt.suffix))[0])

    def watch(self, store: FeatureStore | None = None) -> None:
        """Read prefix and windows, those excepted that the store has."""
        self._take(prefix=self.prompt.prefix)
        if store is None:
            self._take(windows=self.windows)
        else:
            names = self._names()
            self.restored = reuse.restore(store, self.cache, self.windows, names)
            self._take(windows=self.windows[self.restored :])
            reuse.remember(store, self.cache, len(self.prompt.prefix), self.windows, names, self.restored)

    def _take(self, prefix: Sequence[int] = (), windows: Sequence[Window] = (), suffix: Sequence[int] = ()) -> Tensor:
        """Read one part into the cache and return the (1, hidden) state of its last token."""
        before, after = (torch.tensor(ids, dtype=torch.long, device=self.model.device) for ids in (prefix, suffix))
        last = torch.empty(0, self.model.settings.language.hidden)
        for taken in self.model.read(before, windows, self.visual, after, self.cache):
            last = taken.states[-1:]
        return last

    def _plan(self) -> list[Window]:
        """Cut the video into windows and pick their ratios. Raises UserError where nothing would be left of it."""
        settings, how = self.model.settings, self.how
        visual = len(self.shown) * self.tokens
        if how.dynamic and visual:
            lengths, ratios = dynamic.compress(self._classes(), self.tokens, settings.window, how.rule.ratios)
        else:
            lengths = cut(visual, settings.window)
            text = len(self.prompt.prefix) + len(self.prompt.suffix)
            rng = np.random.default_rng(SEED if how.seed == 0 else [SEED, how.seed])
            limit = settings.language.max_positions
            ratios = how.rule.pick(lengths, settings.window, visual + text, limit, rng)
        windows = plan(lengths, ratios)
        if windows and not any(window.summaries for window in windows):
            raise UserError(
                f"{len(self.shown)} frames are {visual} visual tokens, too few for a summary token at ratio "
                f"{ratios[0]}: nothing of the video would reach the answer; choose a smaller ratio"
            )
        return windows

    def _classes(self) -> Tensor:
        """Return the class token of every frame, (frames, dim)."""
        batch = max(1, self.model.settings.window // self.tokens)
        parts = [self.shown[start : start + batch] for start in range(0, len(self.shown), batch)]
        classes = []
        for part in parts:
            frames = self.video.frames(part)
            began = clock(self.model.device)
            classes.append(self.model.patches(frames)[0].float())
            self.encode_seconds += clock(self.model.device) - began
        return torch.cat(classes)

    def _places(self, window: Window) -> tuple[int, list[int]]:
        """Return the place of a window's first frame among those shown, and the numbers of all its frames."""
        first, stop = window.start // self.tokens, -(-window.stop // self.tokens)
        return first, self.shown[first:stop]

    def _names(self) -> list[str]:
        """Name what each window leaves in the cache."""
        keys = self.video.keys(0, len(self.video))
        shown = [[keys[number] for number in self._places(window)[1]] for window in self.windows]
        return reuse.names(self.prompt.prefix, self.windows, shown)


def spread(count: int, limit: int | None) -> list[int]:
    """Return at most `limit` frames from the first to the last, evenly spread and rounded down; all where None."""
    if limit is None or limit >= count:
        return list(range(count))
    return [int(number) for number in np.linspace(0, count - 1, limit)]

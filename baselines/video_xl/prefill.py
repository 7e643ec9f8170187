"""Prefill Video-XL with a video: frames are decoded, encoded and summarised one window at a time.

At any time one window's frames are held, as pixels (1.4 MB a frame in single precision at 336 x 336), as patches and
as visual tokens (1 MB a frame at 7B in 16 bits); what stays is the cache: 516,096 bytes a frame at ratio 16. Dynamic
compression encodes every frame once more beforehand and holds a class token of each.

The cache up to the needle is computed once per haystack: since everything is causal, what a window leaves in the cache
depends on nothing after it. A window is named by a hash over itself and every window before it (keys of frames, ratio,
carry, and the prefix in front). A window that the bounded store has forgotten, and all after it, are read again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from baselines.video_xl.compress import SEED, Window, cut_windows, plan_dynamic, plan_windows
from baselines.video_xl.inputs import PromptIds, SummaryCompression, sample_frames
from baselines.video_xl.language import SummaryCache
from baselines.video_xl.model import VideoXL
from niah.adapters.feature_cache import FeatureCache
from niah.adapters.feature_store import FeatureStore
from niah.adapters.generation import check_finite
from niah.adapters.meter import Stopwatch
from niah.run.attention import VisualAttention
from niah.types import FrameKey, UserError, Video


class VideoPrefill:
    """One video and one prompt on their way into a cache."""

    def __init__(
        self, model: VideoXL, how: SummaryCompression, video: Video, prompt: PromptIds, new_tokens: int
    ) -> None:
        self.model, self.how, self.video, self.prompt = model, how, video, prompt
        self.encoding = Stopwatch(model.device)  # in the tower and the projector, without decoding
        self.shown = sample_frames(len(video), how.frames, video.fps)  # numbers of the frames in the video
        self.tokens = model.settings.vision.tokens  # of a frame
        self.windows = self._plan()
        self.restored = 0  # windows
        kept = len(prompt.prefix) + sum(window.summaries for window in self.windows)
        step = max((len(window) + window.summaries for window in self.windows), default=0)
        self.cache: SummaryCache = model.cache(kept + max(step, len(prompt.suffix) + new_tokens))

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

    def prefill(self, store: FeatureStore | None = None) -> Float[Tensor, " vocabulary"]:
        """Read prefix, windows (except those the store has) and suffix; return the logits of the last token.

        The head is run for no other token. Raises UserError where logits are not finite, which in float16 happens to
        weights that were trained in bfloat16.
        """
        self.read_video(store)
        return check_finite(self.model.language.logits(self._read(suffix=self.prompt.suffix))[0])

    def read_video(self, store: FeatureStore | None = None) -> None:
        """Read prefix and windows, except those the store has."""
        self._read(prefix=self.prompt.prefix)
        if store is None:
            self._read(windows=self.windows)
            return
        summaries = FeatureCache(store, self.model.dtype, self.model.device)
        names = self._window_names()
        self.restored = restore(summaries, self.cache, self.windows, names)
        self._read(windows=self.windows[self.restored :])
        remember(summaries, self.cache, len(self.prompt.prefix), self.windows, names, self.restored)

    def visual(self, window: Window) -> Float[Tensor, "tokens hidden"]:
        """Return a window's visual tokens, decoded and encoded now.

        A frame that lies across two windows is encoded for both, so that no window depends on how another was cut.
        """
        first, frames = self._frames_of(window)
        pictures = self.video.frames(frames)
        with self.encoding:
            tokens = self.model.encode(pictures)
        return tokens[window.start - first * self.tokens :][: len(window)]

    @torch.inference_mode()
    def capture_attention(self, store: FeatureStore | None = None) -> VisualAttention:
        """Read the video; return what the tokens after it attend to. Raises UserError without a video.

        The visual tokens themselves are gone by then, so no attention falls on them, but on the summary tokens that
        the cache still holds. A summary token has seen all of the video up to its place; it is counted to the frame of
        the visual token it follows, at ratio 16 the one whose 16 tokens it closes. It has no place among patches. Its
        features are the last layer's cached values: its input is one learned vector, the same for all. Held are the
        cache and, of one layer at a time, (heads, words, tokens).
        """
        if not self.windows:
            raise UserError("attention is captured in a video's tokens: ask about a video, not a blind case")
        self.read_video(store)
        numbers = self.summary_frames()
        values = self.cache.layers[-1][1, :, len(self.prompt.prefix) : self.cache.length]  # (heads, summaries, size)
        features = values.transpose(0, 1).flatten(1).float().cpu().numpy()
        return VisualAttention(numbers, np.full(len(numbers), -1), features, self._suffix_attention())

    def summary_frames(self) -> Int[np.ndarray, " summaries"]:
        """Return the frame each summary token is counted to."""
        before = [window.start + place - k - 1 for window in self.windows for k, place in enumerate(window.places)]
        return np.array([self.shown[token // self.tokens] for token in before])

    @torch.inference_mode()
    def _suffix_attention(self) -> Iterator[Float[np.ndarray, "heads words summaries"]]:
        """Yield for each layer the attention weights of the suffix on the summary tokens."""
        first, stop = len(self.prompt.prefix), self.cache.length
        suffix = torch.tensor(self.prompt.suffix, dtype=torch.long, device=self.model.device)
        for rows in self.model.language.attention(suffix, self.cache):
            yield rows[:, :, first:stop].cpu().numpy()

    def _read(
        self, prefix: Sequence[int] = (), windows: Sequence[Window] = (), suffix: Sequence[int] = ()
    ) -> Float[Tensor, "_rows hidden"]:
        """Read one part into the cache and return the (1, hidden) state of its last token."""
        before, after = (torch.tensor(ids, dtype=torch.long, device=self.model.device) for ids in (prefix, suffix))
        last = torch.empty(0, self.model.settings.language.hidden)
        self.video.announce([frame for window in windows for frame in self._frames_of(window)[1]])
        for step in self.model.read(before, windows, self.visual, after, self.cache):
            last = step.states[-1:]
        return last

    def _plan(self) -> list[Window]:
        """Cut the video into windows and pick their ratios. Raises UserError where nothing would be left of it."""
        settings, how = self.model.settings, self.how
        visual = len(self.shown) * self.tokens
        if how.dynamic and visual:
            lengths, ratios = plan_dynamic(self._classes(), self.tokens, settings.window, how.rule.ratios)
        else:
            lengths = cut_windows(visual, settings.window)
            text = len(self.prompt.prefix) + len(self.prompt.suffix)
            rng = np.random.default_rng(SEED if how.seed == 0 else [SEED, how.seed])
            limit = settings.language.max_positions
            ratios = how.rule.pick(lengths, settings.window, visual + text, limit, rng)
        windows = plan_windows(lengths, ratios)
        if windows and not any(window.summaries for window in windows):
            raise UserError(
                f"{len(self.shown)} frames are {visual} visual tokens, too few for a summary token at ratio "
                f"{ratios[0]}: nothing of the video would reach the answer; choose a smaller ratio"
            )
        return windows

    def _classes(self) -> Float[Tensor, "frames dim"]:
        """Return the class token of every frame shown."""
        batch = max(1, self.model.settings.window // self.tokens)
        classes = []
        self.video.announce(self.shown)
        for start in range(0, len(self.shown), batch):
            pictures = self.video.frames(self.shown[start : start + batch])
            with self.encoding:
                classes.append(self.model.patches(pictures)[0].float())
        return torch.cat(classes)

    def _frames_of(self, window: Window) -> tuple[int, list[int]]:
        """Return the place of a window's first frame among those shown, and the numbers of all its frames."""
        first, stop = window.start // self.tokens, -(-window.stop // self.tokens)
        return first, self.shown[first:stop]

    def _window_names(self) -> list[str]:
        keys = self.video.keys(0, len(self.video))
        shown = [[keys[number] for number in self._frames_of(window)[1]] for window in self.windows]
        return name_windows(self.prompt.prefix, self.windows, shown)


def name_windows(prefix: Sequence[int], windows: Sequence[Window], frames: Sequence[Sequence[FrameKey]]) -> list[str]:
    """Name what each window leaves in the cache; `frames` are the keys of the frames of each."""
    name = hashlib.sha256(repr(tuple(prefix)).encode()).hexdigest()
    names = []
    for window, keys in zip(windows, frames, strict=True):
        parts = (name, window, [tuple(key) for key in keys])
        name = hashlib.sha256(repr(parts).encode()).hexdigest()
        names.append(name)
    return names


def restore(summaries: FeatureCache, cache: SummaryCache, windows: Sequence[Window], names: Sequence[str]) -> int:
    """Append the windows that are stored to the cache, from the first on; return how many."""
    for number, (window, name) in enumerate(zip(windows, names, strict=True)):
        if not window.summaries:
            continue
        kept = summaries.get(name)
        if kept is None:
            return number
        cache.append(kept)
    return len(windows)


def remember(
    summaries: FeatureCache,
    cache: SummaryCache,
    start: int,
    windows: Sequence[Window],
    names: Sequence[str],
    fresh: int,
) -> None:
    """Store what the windows left in the cache.

    Last windows first: the store forgets the longest unused, and a window is of no use without those before it, so
    the first have to be the latest used.

    Args:
        summaries: Where to store it.
        cache: The cache, with the whole video read.
        start: Number of the first summary token in the cache.
        windows: All windows of the video.
        names: Their names.
        fresh: Number of the first window that did not come from the store.
    """
    stops = (start + np.cumsum([window.summaries for window in windows])).tolist()
    for number in reversed(range(len(windows))):
        held = number < fresh and summaries.holds(names[number])
        if windows[number].summaries and not held:
            summaries.put(names[number], cache.read(stops[number] - windows[number].summaries, stops[number]))

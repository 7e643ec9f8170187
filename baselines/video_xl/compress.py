"""Video-XL's idea (arXiv 2409.14485): a video passes in windows, and of each only summary tokens stay in the cache.

- `Window`, `cut_windows`, `plan_windows`: where the summary tokens stand, one after every `ratio` visual tokens.
- `RatioRule`: by which ratio each window is compressed; the release's four rules. `RatioCurriculum`: the paper's.
- `plan_dynamic`: more summary tokens where the picture changes; the paper's, off unless asked for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from niah.types import UserError

SEED = 42  # the release's
MIXES = ("step-random", "instance-random", "sequence", "adapt-F (F a number of tokens)")
SPREAD = 0.5  # standard deviations above the mean at which a dip in similarity is a boundary
_ADAPT = re.compile(r"adapt-(\d+)")


@dataclass(frozen=True)
class Window:
    """Visual tokens `start` up to `stop`, read in one step, with a summary token after every `ratio` of them.

    `carry` counts the visual tokens since the last summary token, all of earlier windows. Only summary tokens stay in
    the cache, so what follows a window's last one is forgotten with the window; the release does the same, and
    `carry` then only moves the next one forward.
    """

    start: int
    stop: int
    ratio: int
    carry: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop:
            raise ValueError(f"a window needs 0 <= start < stop, got start={self.start}, stop={self.stop}")
        if self.ratio < 1:
            raise ValueError(f"a ratio is at least 1 visual token for each summary token, got {self.ratio}")
        if not 0 <= self.carry < self.ratio:
            raise ValueError(
                f"the window at visual token {self.start} has ratio {self.ratio} but takes over {self.carry} tokens: "
                "a ratio may change only where no tokens are left over"
            )

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def summaries(self) -> int:
        """How many summary tokens the window leaves in the cache."""
        return (len(self) + self.carry) // self.ratio

    @property
    def places(self) -> range:
        """The positions i of the step that hold summary tokens: i mod (ratio + 1) = ratio - carry."""
        first = self.ratio - self.carry
        return range(first, first + self.summaries * (self.ratio + 1), self.ratio + 1)

    @property
    def seen(self) -> int:
        """Visual tokens of the window that a summary token follows: those an answer can depend on."""
        return self.places[-1] + 1 - self.summaries if self.summaries else 0


def cut_windows(tokens: int, window: int) -> list[int]:
    """Return the lengths of a video's windows: all `window` long, the last as long as what remains."""
    full, rest = divmod(tokens, window)
    return [window] * full + ([rest] if rest else [])


def plan_windows(lengths: Sequence[int], ratios: Sequence[int]) -> list[Window]:
    """Lay windows of the given lengths end to end, one ratio each.

    Raises ValueError where a ratio changes while visual tokens wait for their summary token.
    """
    windows: list[Window] = []
    start = carry = 0
    for length, ratio in zip(lengths, ratios, strict=True):
        windows.append(Window(start, start + length, ratio, carry))
        start, carry = start + length, (length + carry) % ratio
    return windows


@dataclass(frozen=True)
class RatioRule:
    """The candidate ratios and how one of them is picked for each window.

    A single ratio serves all windows. Of several, a window takes only those that divide its length; `mix` then picks:
    "step-random" draws one per window, "instance-random" one per video, "sequence" takes turns, "adapt-F" takes the
    smallest with which the video, its text and F more tokens stay within the trained positions. The release draws from
    numpy's default_rng(42), created with the model and never reset, so its results depend on the order of evaluation;
    here each video draws from a fresh one.

    Raises UserError for an unknown `mix` or a ratio below 1 (the release loses the video at ratio 0).
    """

    ratios: tuple[int, ...]
    mix: str = "step-random"

    def __post_init__(self) -> None:
        if not self.ratios or any(not isinstance(ratio, int) or ratio < 1 for ratio in self.ratios):
            raise UserError(f"compression ratios must be whole numbers from 1 up, got {self.ratios!r}")
        if self.mix not in MIXES[:3] and not _ADAPT.fullmatch(self.mix):
            raise UserError(f"ratios are mixed by one of {', '.join(MIXES)}; got {self.mix!r}")

    def pick(
        self, lengths: Sequence[int], window: int, tokens: int, max_positions: int, rng: np.random.Generator
    ) -> list[int]:
        """Return a ratio for every window of a video. Raises UserError naming a window that no candidate divides.

        Args:
            lengths: Visual tokens of each window.
            window: The nominal length of a window; the last one may be shorter.
            tokens: Tokens of the whole sequence, text included, summary tokens not.
            max_positions: The positions the model was trained for; only "adapt-F" looks.
            rng: Only the two random rules draw from it.
        """
        if len(self.ratios) == 1:
            return [self.ratios[0]] * len(lengths)
        candidates = [self.candidates(length) for length in lengths]
        if self.mix == "instance-random":
            return [int(rng.choice(candidates[0]))] * len(lengths) if lengths else []
        if self.mix == "step-random":
            return [int(rng.choice(choice)) for choice in candidates]
        if self.mix == "sequence":
            return self._take_turns(candidates)
        needed = int(self.mix.removeprefix("adapt-")) + tokens
        longest = {ratio: (max_positions - window) * ratio + window for ratio in self.ratios}  # sequence that fits
        return [min((r for r in choice if longest[r] >= needed), default=max(choice)) for choice in candidates]

    def candidates(self, length: int) -> list[int]:
        """Return the ratios that divide a window's length, in the order given."""
        fitting = [ratio for ratio in self.ratios if ratio <= length and length % ratio == 0]
        if not fitting:
            raise UserError(
                f"a window of {length} visual tokens can be divided by none of the ratios {list(self.ratios)}; "
                "give one ratio, or other ones"
            )
        return fitting

    def _take_turns(self, candidates: Sequence[Sequence[int]]) -> list[int]:
        """Go through the ratios in turn; one that does not divide a window is skipped for it."""
        picked: list[int] = []
        turn = 0
        for choice in candidates:
            while self.ratios[turn % len(self.ratios)] not in choice:
                turn += 1
            picked.append(self.ratios[turn % len(self.ratios)])
            turn += 1
        return picked


@dataclass(frozen=True)
class RatioCurriculum:
    """The ratios that training draws from as it proceeds; the paper's, absent from the release.

    Stage k holds from `starts[k]` (a fraction of all steps) on. Small ratios first, then 8, 12 and 16;
    the paper does not say when each joins, so by default they join at equal distances.
    """

    stages: tuple[tuple[int, ...], ...] = ((2,), (2, 4), (2, 4, 8), (2, 4, 8, 12), (2, 4, 8, 12, 16))
    starts: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8)

    def __post_init__(self) -> None:
        if len(self.stages) != len(self.starts) or not self.stages:
            raise ValueError(f"a curriculum needs a start for each stage, got {self.starts} for {self.stages}")
        if self.starts[0] != 0 or list(self.starts) != sorted(set(self.starts)) or self.starts[-1] >= 1:
            raise ValueError(f"starts must rise from 0 and stay below 1, got {self.starts}")

    def at(self, progress: float) -> RatioRule:
        """Return the rule in force after `progress` (0 up to 1) of training: a draw for each window."""
        if not 0 <= progress <= 1:
            raise ValueError(f"progress is a fraction from 0 to 1, got {progress}")
        stage = max(k for k, start in enumerate(self.starts) if start <= progress)
        return RatioRule(self.stages[stage])


def plan_dynamic(
    classes: Float[Tensor, "frames dim"], tokens: int, window: int, ratios: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Return lengths (in visual tokens) and ratios of windows that are cut where the picture changes.

    The paper has this, the release does not. The paper cuts where the similarity of neighbouring frames dips and does
    not say how many summary tokens an interval gets. Here each gets those of a full window at the largest ratio, as
    far as the ratios allow: a short interval, where much changes, is compressed less, and a still stretch as much as
    a plain window. Raises UserError where there is only one ratio, or a frame is larger than a window.

    Args:
        classes: CLIP's class token of each frame.
        tokens: Visual tokens of a frame.
        window: The longest window, in visual tokens.
        ratios: The ratios to choose from.
    """
    if len(set(ratios)) < 2:
        raise UserError(f"dynamic compression chooses between ratios, got only {list(ratios)}: give several (2/4/8)")
    if window < tokens:
        raise UserError(f"dynamic compression cuts between frames, but one has {tokens} tokens, a window {window}")
    cuts = find_boundaries(neighbour_similarity(classes))
    lengths = [tokens * frames for frames in cut_intervals(len(classes), cuts, window // tokens)]
    return lengths, [ratio_of_interval(length, window, ratios) for length in lengths]


def neighbour_similarity(classes: Float[Tensor, "frames dim"]) -> Float[Tensor, " gaps"]:
    """Return the cosine between each frame's class token and the next one's."""
    unit = normalize(classes.float(), dim=-1)
    return (unit[:-1] * unit[1:]).sum(-1)


def depth_scores(similarity: Float[Tensor, " gaps"]) -> Float[Tensor, " gaps"]:
    """Return how deep each similarity s lies below the peaks on both sides: (left peak + right peak - 2 s) / 2.

    A peak is where the climb from s ends, not the highest value of the video.
    """
    values = similarity.tolist()
    left = _left_peaks(values)
    right = _left_peaks(values[::-1])[::-1]
    return (torch.tensor(left) + torch.tensor(right) - 2 * torch.tensor(values)) / 2


def find_boundaries(similarity: Float[Tensor, " gaps"], spread: float = SPREAD) -> list[int]:
    """Return the frames before which to cut: depth beyond the mean plus `spread` standard deviations."""
    if len(similarity) < 2:
        return []
    depth = depth_scores(similarity)
    threshold = depth.mean() + spread * depth.std(correction=0)
    return [gap + 1 for gap in (depth > threshold).nonzero()[:, 0].tolist()]


def cut_intervals(frames: int, cuts: Sequence[int], limit: int) -> list[int]:
    """Return the lengths in frames of the intervals between cuts, none longer than `limit`."""
    edges = [0, *cuts, frames]
    lengths: list[int] = []
    for start, stop in zip(edges[:-1], edges[1:], strict=True):
        lengths += cut_windows(stop - start, limit)
    return lengths


def ratio_of_interval(length: int, window: int, ratios: Sequence[int]) -> int:
    """Return the largest ratio that divides an interval and leaves it as many summary tokens as a still window.

    An interval too short for that many gets the smallest ratio that divides it. Raises UserError where none does.
    """
    fitting = sorted(ratio for ratio in ratios if length % ratio == 0)
    if not fitting:
        raise UserError(f"an interval of {length} visual tokens can be divided by none of the ratios {list(ratios)}")
    budget = window // max(ratios)
    return max((ratio for ratio in fitting if length // ratio >= budget), default=fitting[0])


def _left_peaks(values: Sequence[float]) -> list[float]:
    """Return for each value the peak reached by climbing to the left, itself included."""
    peaks: list[float] = []
    for number, value in enumerate(values):
        peaks.append(peaks[-1] if number and values[number - 1] >= value else value)
    return peaks

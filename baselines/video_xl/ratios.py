"""Which ratio each window is compressed by: the release's four rules, and the paper's curriculum.

One ratio serves all windows. Of several a window takes only those that divide its
length; `mix` then picks: "step-random" draws one a window, "instance-random" one a video,
"sequence" takes turns, "adapt-F" takes the smallest with which the video, its text and F
more tokens stay within the trained positions. The release draws with numpy's default_rng(42)
made with the model and never reset, so its results depend on the order of evaluation;
here each video draws from a fresh one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from niah.types import UserError

SEED = 42  # the release's
MIXES = ("step-random", "instance-random", "sequence", "adapt-F (F a number of tokens)")
_ADAPT = re.compile(r"adapt-(\d+)")


@dataclass(frozen=True)
class RatioRule:
    """The candidates and how one of them is picked for a window.

    Raises UserError for an unknown `mix` or a ratio below 1 (the release loses the video at ratio 0).
    """

    ratios: tuple[int, ...]
    mix: str = "step-random"

    def __post_init__(self) -> None:
        if not self.ratios or any(not isinstance(ratio, int) or ratio < 1 for ratio in self.ratios):
            raise UserError(f"compression ratios must be whole numbers from 1 on, got {self.ratios!r}")
        if self.mix not in MIXES[:3] and not _ADAPT.fullmatch(self.mix):
            raise UserError(f"ratios are mixed by one of {', '.join(MIXES)}; got {self.mix!r}")

    def pick(
        self, lengths: Sequence[int], window: int, tokens: int, max_positions: int, rng: np.random.Generator
    ) -> list[int]:
        """Return a ratio for every window of a video.

        `tokens` counts the whole sequence without summary tokens, `window` is the nominal length. Raises
        UserError naming a window that no candidate divides.
        """
        if len(self.ratios) == 1:
            return [self.ratios[0]] * len(lengths)
        candidates = [self.candidates(length) for length in lengths]
        if self.mix == "instance-random":
            return [int(rng.choice(candidates[0]))] * len(lengths) if lengths else []
        if self.mix == "step-random":
            return [int(rng.choice(choice)) for choice in candidates]
        if self.mix == "sequence":
            return self._in_turn(candidates)
        room = int(self.mix.removeprefix("adapt-")) + tokens
        reach = {ratio: (max_positions - window) * ratio + window for ratio in self.ratios}
        return [min((r for r in choice if reach[r] >= room), default=max(choice)) for choice in candidates]

    def candidates(self, length: int) -> list[int]:
        """Return the ratios that divide a window's length, in the order given."""
        fitting = [ratio for ratio in self.ratios if ratio <= length and length % ratio == 0]
        if not fitting:
            raise UserError(
                f"a window of {length} visual tokens can be divided by none of the ratios {list(self.ratios)}; "
                "give one ratio, or other ones"
            )
        return fitting

    def _in_turn(self, candidates: Sequence[Sequence[int]]) -> list[int]:
        """Go round the list; a ratio that does not divide a window waits for the next one."""
        picked, turn = [], 0
        for choice in candidates:
            while self.ratios[turn % len(self.ratios)] not in choice:
                turn += 1
            picked.append(self.ratios[turn % len(self.ratios)])
            turn += 1
        return picked


@dataclass(frozen=True)
class Curriculum:
    """The ratios that training draws from as it proceeds; the paper's, absent from the release.

    Stage k holds from `starts[k]` (a share of all steps) on. Small ratios first, then 8, 12 and 16;
    the paper does not say when each joins, so they join at equal distances unless told otherwise.
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
            raise ValueError(f"progress is a share from 0 to 1, got {progress}")
        stage = max(k for k, start in enumerate(self.starts) if start <= progress)
        return RatioRule(self.stages[stage])

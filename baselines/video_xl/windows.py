"""Where the summary tokens of a video stand: windows of visual tokens, each with its ratio and carry.

A window reads `len` visual tokens with one summary token after every `ratio` of them.
Only the summary tokens stay in the cache, so what follows a window's last summary token is
forgotten with it; the release does the same, and `carry` then only moves the next one forward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """Visual tokens `start` up to `stop`, read in one step.

    `carry` counts the visual tokens since the last summary token, all of earlier windows.
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


def cut(tokens: int, window: int) -> list[int]:
    """Return the lengths of the windows of a video: all `window` long, but the last one as long as what is left."""
    full, rest = divmod(tokens, window)
    return [window] * full + ([rest] if rest else [])


def plan(lengths: Sequence[int], ratios: Sequence[int]) -> list[Window]:
    """Lay windows of the given lengths end to end, one ratio each.

    Raises ValueError where a ratio changes while visual tokens wait for their summary token.
    """
    windows: list[Window] = []
    start, carry = 0, 0
    for length, ratio in zip(lengths, ratios, strict=True):
        windows.append(Window(start, start + length, ratio, carry))
        start, carry = start + length, (length + carry) % ratio
    return windows

"""Do the needles of a suite lie where uniform samplers look, or where they do not? Geometry alone; no model is run.

A sampler of k frames sees a needle if one of its frames lies in it. If needles start anywhere in their depth bin, how
many are seen is a sum of independent draws with known chances; where positions alias with the sampler, far more or far
fewer are. The excess is the distance from the expected number in standard deviations, for one sampler, one k and one
bin. How large the largest of them may be by chance follows from suites whose starts are drawn anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from niah.suite.positions import bin_of, starts_in_bin
from niah.types import Case

Sampler = Callable[[int, int], np.ndarray]  # (length, k) -> the frames looked at


def bin_centres(length: int, count: int) -> np.ndarray:
    """Return the middle frames of `count` equal parts of a video."""
    return (2 * np.arange(count) + 1) * length // (2 * count)


def linspace(length: int, count: int) -> np.ndarray:
    """Return `count` frames evenly spread from the first to the last, rounded down as released samplers do."""
    return np.linspace(0, length - 1, count).astype(int)


def fixed_rate(length: int, count: int) -> np.ndarray:
    """Return every nth frame from the first on, with the n that gives at most `count` frames."""
    return np.arange(0, length, -(-length // count))


SAMPLERS: dict[str, Sampler] = {"bin centres": bin_centres, "linspace": linspace, "fixed rate": fixed_rate}


@dataclass(frozen=True)
class Positions:
    """Where the needles of some cases lie: one row a case; frames, and the depth bin it was drawn in."""

    lengths: np.ndarray  # (cases,)
    needle_frames: np.ndarray  # (cases,)
    starts: np.ndarray  # (cases,)
    bins: np.ndarray  # (cases,)
    bin_count: int


@dataclass(frozen=True)
class Excess:
    """How many needles one sampler sees in one bin, against how many it would see at random starts."""

    sampler: str
    count: int  # frames the sampler looks at
    bin: int
    seen: int
    expected: float
    deviations: float  # (seen - expected) / standard deviation; 0 where nothing is left to chance


def positions_of(cases: Sequence[Case], bin_count: int) -> Positions:
    """Return where the first needle of each `full` case lies."""
    rows = [
        (case.length, placed.stop - placed.start, placed.start)
        for case in cases
        if case.condition == "full"
        for placed in case.needles[:1]
    ]
    bins = [bin_of(start, bin_count, length - frames) for length, frames, start in rows]
    lengths, frames, starts = np.array(rows, dtype=int).reshape(-1, 3).T
    return Positions(lengths, frames, starts, np.array(bins, dtype=int), bin_count)


@dataclass(frozen=True)
class Aliasing:
    """The largest excess of a suite, and what it stays below where starts are drawn anew."""

    largest: Excess
    bound: float  # the 99th percentile of the largest |deviation| over redrawn suites

    @property
    def aliased(self) -> bool:
        """Return True if some sampler sees far more or far fewer needles of a bin than chance allows."""
        return abs(self.largest.deviations) > self.bound


def aliasing(
    positions: Positions,
    counts: Sequence[int],
    redraws: int,
    seed: int,
    samplers: Mapping[str, Sampler] = SAMPLERS,
) -> Aliasing:
    """Compare what every sampler of every k in `counts` sees of a suite with what it sees of suites drawn anew.

    One length at a time; holds for it a number for each sampler, k and frame, and for each redrawn suite the needles
    seen by bin. The bound is the 99th percentile over `redraws` suites whose starts are uniform within their bins.
    """
    settings = [(name, count) for name in samplers for count in counts]
    bins = positions.bin_count
    seen = np.zeros((bins, len(settings), 1 + redraws), np.float32)  # the suite as it is, then those drawn anew
    expected = np.zeros((bins, len(settings), 1))
    variance = np.zeros_like(expected)
    for case, below, possible, chance in _by_case(positions, settings, samplers):
        number, frames = int(positions.bins[case]), int(positions.needle_frames[case])
        draws = np.random.default_rng([seed, case]).integers(possible.start, possible.stop, redraws)
        starts = np.concatenate([[positions.starts[case]], draws])
        seen[number] += below[:, starts + frames] > below[:, starts]
        expected[number] += chance[:, None]
        variance[number] += (chance * (1 - chance))[:, None]
    deviations = np.where(variance > 1e-9, (seen - expected) / np.sqrt(np.maximum(variance, 1e-9)), 0)
    number, row = np.unravel_index(np.abs(deviations[..., 0]).argmax(), deviations.shape[:2])
    largest = Excess(
        *settings[row],
        bin=int(number),
        seen=int(seen[number, row, 0]),
        expected=float(expected[number, row, 0]),
        deviations=float(deviations[number, row, 0]),
    )
    return Aliasing(largest, float(np.quantile(np.abs(deviations[..., 1:]).max(axis=(0, 1)), 0.99)))


@dataclass(frozen=True)
class NeedlesSeen:
    """How many needles a sampler sees of a suite, and how many it would see at starts drawn anew within their bins."""

    sampler: str
    frames: int  # the sampler looks at
    needles: int
    seen: int
    expected: float
    deviation: float  # standard deviation of the number seen at starts drawn anew


def needles_seen(
    positions: Positions, counts: Sequence[int], samplers: Mapping[str, Sampler] = SAMPLERS
) -> list[NeedlesSeen]:
    """Return what every sampler of every k in `counts` sees; holds a number for each sampler, k and frame."""
    settings = [(name, count) for name in samplers for count in counts]
    seen, expected, variance = (np.zeros(len(settings)) for _ in range(3))
    for case, below, _, chance in _by_case(positions, settings, samplers):
        frames, start = int(positions.needle_frames[case]), int(positions.starts[case])
        seen += below[:, start + frames] > below[:, start]
        expected += chance
        variance += chance * (1 - chance)
    needles = len(positions.lengths)
    return [
        NeedlesSeen(name, count, needles, int(seen[row]), float(expected[row]), float(np.sqrt(variance[row])))
        for row, (name, count) in enumerate(settings)
    ]


def as_text(found: Aliasing) -> str:
    """Return the result in a sentence."""
    worst = found.largest
    return (
        f"positions: the largest excess is {abs(worst.deviations):.1f} standard deviations ({worst.sampler}, "
        f"{worst.count} frames, depth bin {worst.bin + 1}: {worst.seen} needles seen, {worst.expected:.1f} expected); "
        f"99 % of suites with starts drawn anew stay below {found.bound:.1f}: "
        + ("needles lie where this sampler looks, or where it does not" if found.aliased else "no sampler is favoured")
    )


def _by_case(
    positions: Positions, settings: Sequence[tuple[str, int]], samplers: Mapping[str, Sampler]
) -> Iterator[tuple[int, np.ndarray, range, np.ndarray]]:
    """Yield each case with the frames looked at before each frame, its possible starts, and the chance to be seen.

    One length at a time. Rows are samplers: (settings, length + 1) counts, and (settings,) shares of the starts in the
    needle's bin at which it is seen.
    """
    for length in np.unique(positions.lengths).tolist():
        below = _frames_before([samplers[name](length, min(count, length)) for name, count in settings], length)
        for case in np.flatnonzero(positions.lengths == length).tolist():
            frames = int(positions.needle_frames[case])
            possible = starts_in_bin(int(positions.bins[case]), positions.bin_count, length - frames)
            everywhere = slice(possible.start, possible.stop)
            yield case, below, possible, (below[:, frames:][:, everywhere] > below[:, everywhere]).mean(axis=1)


def _frames_before(looks: Sequence[np.ndarray], length: int) -> np.ndarray:
    """Return for each sampler how many frames it looks at before each frame, (samplers, length + 1)."""
    below = np.zeros((len(looks), length + 1), np.int16)
    for row, frames in enumerate(looks):
        below[row, np.unique(frames) + 1] = 1
    return np.cumsum(below, axis=1, dtype=np.int16)

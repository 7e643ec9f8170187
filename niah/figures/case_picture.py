"""Draw one case: the haystack as a bar, the clips in it with some of their frames, the question and its options.

Where the options are clock times, their edges are drawn, and the part that is right is shaded.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch

from niah.clock import clock_ranges, format_clock
from niah.figures.plotting import RC_PARAMS
from niah.io import replacing
from niah.media.video import SplicedVideo
from niah.types import LETTERS, Case, Placement

ASKED, OTHER, HAYSTACK, RIGHT = "#d55e00", "#0072b2", "#d0d0d0", "#009e73"  # colours that most people tell apart
FRAMES = 3  # of each clip
LETTERS_PER_LINE = 118


def draw_case(case: Case, video: SplicedVideo, path: Path) -> Path:
    """Draw a case and its video to a PNG file, and return its path; the same case gives the same bytes."""
    with matplotlib.rc_context(RC_PARAMS):
        figure = Figure(figsize=(9, 3.1))
        bar = figure.add_axes((0.03, 0.40, 0.94, 0.13))
        _draw_bar(bar, case)
        columns = max(len(case.needles), 1)
        for number, placed in enumerate(sorted(case.needles, key=lambda one: one.start)):
            left = 0.03 + 0.94 * number / columns
            thumbs = figure.add_axes((left, 0.63, 0.94 / columns - 0.01, 0.25))
            _draw_frames(thumbs, case, placed, video)
            _connect(figure, thumbs, bar, placed, case)
        _write(figure, case)
        with replacing(path) as temporary:
            figure.savefig(temporary, dpi=130, facecolor="white", metadata={"Software": None}, format="png")
    return path


def _draw_bar(axes: Axes, case: Case) -> None:
    """Draw the video as a bar: haystack in grey, clips in colour, clock times below."""
    axes.axvspan(0, case.length, color=HAYSTACK, linewidth=0)
    for letter, option in zip(LETTERS, case.options, strict=False):
        for start, stop in clock_ranges(option):
            first, last = (float(seconds * case.fps) if case.fps else 0.0 for seconds in map(float, (start, stop)))
            if letter == case.answer:
                axes.axvspan(first, last, color=RIGHT, alpha=0.35, linewidth=0)
            axes.axvline(first, color="white", linewidth=1.5)
            axes.text((first + last) / 2, 0.5, letter, ha="center", va="center", fontsize=9, color="0.25")
    for placed in case.needles:
        axes.axvspan(placed.start, placed.stop, color=_colour(case, placed), linewidth=1.5)
    ticks = [case.length * part / 5 for part in range(6)]
    axes.set_xticks(ticks, [format_clock(tick / case.fps) for tick in ticks], fontsize=8)
    axes.set_yticks([])
    axes.set_xlim(0, case.length)
    axes.set_ylim(0, 1)
    for side in axes.spines.values():
        side.set_visible(False)


def _draw_frames(axes: Axes, case: Case, placed: Placement, video: SplicedVideo) -> None:
    """Draw some frames of a clip side by side, with its name and number of frames."""
    numbers = np.linspace(placed.start, placed.stop - 1, FRAMES).round().astype(int).tolist()
    frames = video.frames(numbers)  # (frames, height, width, 3)
    gap = np.full((frames.shape[1], max(1, frames.shape[2] // 12), 3), 255, np.uint8)
    pictures: list[np.ndarray] = []
    for frame in frames:
        pictures += [frame, gap]
    axes.imshow(np.concatenate(pictures[:-1], axis=1), interpolation="nearest")
    axes.set_axis_off()
    title = f"{placed.needle}, frames {placed.start:,} to {placed.stop - 1:,}"
    axes.set_title(title, fontsize=8, color=_colour(case, placed), pad=3)


def _connect(figure: Figure, above: Axes, bar: Axes, placed: Placement, case: Case) -> None:
    """Draw a line from a clip's frames to where it lies."""
    line = ConnectionPatch(
        (0.5, 0.0), ((placed.start + placed.stop) / 2, 1.0), above.transAxes, bar.transData,
        color=_colour(case, placed), linewidth=1,
    )  # fmt: skip
    figure.add_artist(line)


def _write(figure: Figure, case: Case) -> None:
    """Write the question with its options below, the right one marked."""
    options = [
        f"[{letter}. {option}]" if letter == case.answer else f"{letter}. {option}"
        for letter, option in zip(LETTERS, case.options, strict=False)
    ]
    lines: Sequence[str] = (
        *textwrap.wrap(case.template.replace("{question}", case.question), LETTERS_PER_LINE),
        *textwrap.wrap("   ".join(options), LETTERS_PER_LINE),
    )
    figure.text(0.03, 0.27, "\n".join(lines), fontsize=8.5, va="top", linespacing=1.4)
    figure.text(0.03, 0.95, f"{case.id}: {case.length:,} frames, [ ] marks the right option", fontsize=8, color="0.4")


def _colour(case: Case, placed: Placement) -> str:
    """Return the colour of a clip: that of the clips asked about, or that of any other."""
    return ASKED if placed in case.target_placements else OTHER

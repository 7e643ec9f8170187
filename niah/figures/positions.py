"""Draw how many needles of a suite uniform samplers see, over the number of frames that they look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from niah.analysis.aliasing import NeedlesSeen
from niah.figures.plotting import RC_PARAMS, save_figure

NEARLY_ALL = 1.96  # standard deviations: 95 % of suites with starts drawn anew lie within


def draw_needles_seen(found: Sequence[NeedlesSeen], suite: str, folder: Path) -> list[Path]:
    """Draw a panel for each sampler: the needles seen, and the band in which they lie at random starts.

    Returns the paths of positions.png, .svg and .csv. A suite whose needles alias with a sampler has spikes there.
    """
    samplers = list(dict.fromkeys(one.sampler for one in found))
    with matplotlib.rc_context(RC_PARAMS):
        figure = Figure(figsize=(3.6 * len(samplers), 2.9), layout="constrained")
        grid = figure.subplots(1, len(samplers), squeeze=False, sharey=True)
        for axes, name in zip(grid.flat, samplers, strict=True):
            of_sampler = [one for one in found if one.sampler == name]
            frames = [one.frames for one in of_sampler]
            middle = [one.expected / one.needles for one in of_sampler]
            reach = [NEARLY_ALL * one.deviation / one.needles for one in of_sampler]
            low = [max(0.0, at - by) for at, by in zip(middle, reach, strict=True)]
            high = [min(1.0, at + by) for at, by in zip(middle, reach, strict=True)]
            axes.fill_between(frames, low, high, color="#bbbbbb", linewidth=0, label="95 % of starts drawn anew")
            seen = [one.seen / one.needles for one in of_sampler]
            axes.plot(frames, seen, color="#0173b2", linewidth=0.9, label="this suite")
            axes.set_title(name, fontsize=9.5)
            axes.set_xlabel("frames looked at")
            axes.spines[["top", "right"]].set_visible(False)
        grid.flat[0].yaxis.set_major_formatter(PercentFormatter(1))
        grid.flat[0].set_ylabel(f"needles seen, suite {suite}")
        grid.flat[0].legend(fontsize=7.5, frameon=False)
        return save_figure(figure, folder / "positions", found)

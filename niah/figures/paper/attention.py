"""Draw Figures 3 and 4: how attention concentrates on few frames, and on few patches; one panel per measurement.

The line is cumulative attention and the bars are cosine similarity, both means over cases; the band covers the middle
half of the cases.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from niah.types import UserError

BARS = 20  # at most
SHARES = (0.5, 0.8, 0.9)
CAPTIONS = {
    "frames": "frames by falling attention; bars: mean cosine with the three nearest in rank",
    "patches": "patches of all but the top frames, by falling attention; bars: mean cosine with the same patch of the "
    "top frame before",
}


@dataclass(frozen=True)
class AttentionStep:
    """One frame or patch of a panel, in order of falling attention."""

    model: str
    suite: str
    cases: int
    percentile: float  # the share of frames or patches up to and including this one
    cumulative: float  # attention, mean over cases
    low: float  # quartiles over cases
    high: float
    similarity: float
    random: float


@dataclass(frozen=True)
class AttentionPanel:
    """One measurement."""

    model: str
    suite: str
    cases: int
    steps: tuple[AttentionStep, ...]
    reached: tuple[tuple[float, float], ...]  # (share of attention, share of frames or patches that carry it)
    needle: tuple[float, float] | None = None  # of frames: the needle's share of frames, and of attention


def read_panels(folders: Sequence[Path], name: str) -> list[AttentionPanel]:
    """Return a panel for each folder that niah attention wrote and that holds frames.csv or patches.csv."""
    return [_panel(Path(folder), name) for folder in folders]


def draw_concentration(panels: Sequence[AttentionPanel], what: str) -> Figure:
    """Draw panels in a row; `what` is "frames" or "patches"."""
    figure = Figure(figsize=(5.4 * len(panels) + 0.4, 4.3), layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _curve(axes, panel, what)
    figure.supxlabel(textwrap.fill(f"{CAPTIONS[what]}; band: middle half of the cases", 78 * len(panels)), fontsize=8)
    return figure


def similarity_bars(similarities: Sequence[float]) -> list[tuple[float, float, float]]:
    """Return (start, stop, mean) of parts of nearly equal size; start and stop are shares of all steps."""
    count = len(similarities)
    parts = np.array_split(np.asarray(similarities), min(BARS, count))
    edges = [0, *accumulate(len(part) for part in parts)]
    return [
        (start / count, stop / count, float(part.mean()))
        for (start, stop), part in zip(pairwise(edges), parts, strict=True)
    ]


def _panel(folder: Path, name: str) -> AttentionPanel:
    """Read one measurement."""
    metadata = _read_metadata(folder)
    path = folder / name
    if not path.is_file():
        raise UserError(
            f"{path} is missing: patches are compared where every frame is there whole; measure again, with vilamp by "
            "--model_args keyframes=N,threshold=2 for N frames"
        )
    rows = _rows(path)
    cases = [group for _, group in rows.groupby("case", sort=True)]
    sizes = {len(group) for group in cases}
    if len(sizes) > 1:
        raise UserError(f"{path}: cases of {min(sizes)} to {max(sizes)} rows do not share an axis; measure one length")
    shares = np.stack([group["share"] for group in cases])  # (cases, steps)
    curves = shares.cumsum(axis=1)  # (cases, steps)
    model = metadata["label"]
    suite = metadata["suite"]
    similarity = np.mean([group["similarity"] for group in cases], axis=0)  # (steps,)
    random = np.mean([group["random"] for group in cases], axis=0)  # (steps,)
    low, high = np.quantile(curves, (0.25, 0.75), axis=0)
    count = curves.shape[1]
    steps = tuple(
        AttentionStep(
            model, suite, len(cases), (step + 1) / count, float(curves[:, step].mean()), float(low[step]),
            float(high[step]), float(similarity[step]), float(random[step]),
        )
        for step in range(count)
    )  # fmt: skip
    mean = curves.mean(axis=0)
    reached = tuple((share, float((np.searchsorted(mean, share - 1e-9) + 1) / count)) for share in SHARES)
    needle = None
    if "needle" in rows:
        in_needle = rows["needle"].to_numpy(float)  # 1.0 where the frame shows the needle
        attention = rows["share"].to_numpy(float)
        needle = float(in_needle.mean()), float((in_needle * attention).sum() / len(cases))
    return AttentionPanel(model, suite, len(cases), steps, reached, needle)


def _rows(path: Path) -> pd.DataFrame:
    """Return the rows of a measurement. Raises UserError where there are none, or columns are missing."""
    try:
        rows = pd.read_csv(path)
    except ValueError as error:  # all of pandas' parser errors are of this type
        raise UserError(f"{path} cannot be read ({error}); measure again") from None
    missing = [name for name in ("case", "share", "similarity", "random") if name not in rows]
    if missing or rows.empty:
        what = f"has no column {', '.join(missing)}" if missing else "holds no row"
        raise UserError(f"{path} {what}: it is not what niah attention writes; measure again")
    return rows


def _read_metadata(folder: Path) -> dict:
    """Return the settings of a measurement, from about.json. Raises UserError for the file of another command."""
    path = folder / "about.json"
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: name a folder that niah attention wrote") from None
    except ValueError as error:
        raise UserError(f"{path} cannot be read ({error}); measure again") from None
    missing = [name for name in ("label", "suite") if name not in metadata]
    if missing:
        raise UserError(f"{path} has no {' and no '.join(missing)}: name a folder that niah attention wrote")
    return metadata


def _curve(axes: Axes, panel: AttentionPanel, what: str) -> None:
    """Draw one panel."""
    places = [step.percentile for step in panel.steps]
    starts, stops, heights = np.array(similarity_bars([step.similarity for step in panel.steps])).T
    axes.bar((starts + stops) / 2, heights, (stops - starts) * 0.86, color="#c9d6e8", label="cosine similarity")
    pair = panel.steps[0].random
    axes.axhline(pair, color="#5b7aa8", linestyle="--", linewidth=1.1, label=f"random pair ({pair:.2f})")
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle=":", label="even attention")
    axes.fill_between(places, [s.low for s in panel.steps], [s.high for s in panel.steps], color="#c0392b", alpha=0.2)
    axes.plot([0, *places], [0, *(s.cumulative for s in panel.steps)], color="#c0392b", label="cumulative attention")
    share, needed = panel.reached[-1]
    axes.plot([needed], [share], "o", color="#c0392b", markersize=5)
    label = f"{share:.0%} on {needed:.0%} of {what}"
    axes.annotate(label, (needed, share), (8, -14), textcoords="offset points", fontsize=8)
    subtitle = f"suite {panel.suite}, {panel.cases} cases"
    if panel.needle is not None:
        subtitle += f"; needle: {panel.needle[0]:.0%} of frames, {panel.needle[1]:.0%} of attention"
    axes.set_title(f"{panel.model}\n{subtitle}", fontsize=9)
    axes.set(xlim=(0, 1), ylim=(min(0.0, min(heights) - 0.02), 1.02), xlabel=f"percentile of {what}")
    axes.set_ylabel("cumulative attention, cosine")
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=7.5, loc="lower right", edgecolor="white")

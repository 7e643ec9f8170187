"""Draw peak memory, and time to the first token, over frames.

Only `full` cases that reused no cached features count: a reused frame costs neither memory nor
time. Peak memory is the largest of a length's cases, time their median.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from niah.analysis.layout import format_length
from niah.analysis.load import RunData
from niah.figures.published import published_efficiency
from niah.types import Case, Record

GIB = 2**30
KINDS = {"peak_reserved_bytes": "peak device memory", "peak_host_bytes": "peak host memory"}
NOTE = (
    "Dashed: ViLaMP's Table 5, one A100, published MB taken for MiB. 91-92 GB cannot come from an 80 GB A100; "
    "other caveats are in results/published/README.md"
)


@dataclass(frozen=True)
class MemoryPoint:
    """What one model needed at one number of frames; `status` is ok, partial (some cases ran out of memory) or oom."""

    model: str
    published: bool
    frames: int
    status: str
    memory: str  # which memory: a key of KINDS, or "published"
    n: int
    peak_bytes: float | None
    seconds_to_first_token: float | None


def memory_points(runs: Sequence[RunData], published: bool) -> list[MemoryPoint]:
    """Return what to draw: device memory if every record with measurements has it, else host memory."""
    fresh = [(run, case, record) for run in runs for case, record in _fresh(run)]
    measured = [record for _, _, record in fresh if record.status == "ok"]
    device = measured and all(record.measured.get("peak_reserved_bytes") is not None for record in measured)
    memory = "peak_reserved_bytes" if device else "peak_host_bytes"
    groups: dict[tuple[str, int], list[Record]] = {}
    for run, case, record in fresh:
        frames = int(run.layout.length_label(case, run.layout.grouping) or case.length)
        groups.setdefault((run.model, frames), []).append(record)
    models = [run.model for run in runs]
    in_order = sorted(groups.items(), key=lambda group: (models.index(group[0][0]), group[0][1]))
    made = [_point(model, frames, records, memory) for (model, frames), records in in_order]
    return made + (published_points() if published and made else [])


def published_points() -> list[MemoryPoint]:
    """Return the cells of Table 5 of ViLaMP's paper."""
    return [
        MemoryPoint(
            model=row.model,
            published=True,
            frames=row.frames,
            status="oom" if row.peak_bytes is None else "ok",
            memory="published",
            n=1,
            peak_bytes=row.peak_bytes,
            seconds_to_first_token=row.seconds_to_first_token,
        )
        for row in published_efficiency()
    ]


def draw_memory(found: Sequence[MemoryPoint]) -> Figure:
    """Draw memory over frames, and beside it time to the first token where it was measured.

    Host memory has a row of its own: it shares no axis with device memory, measured or published.
    """
    by_memory = [[point for point in found if (point.memory == "peak_host_bytes") is host] for host in (True, False)]
    rows = [row for row in by_memory if row]
    published = any(point.published for point in found)
    timed = any(point.seconds_to_first_token is not None for point in found)
    figure = Figure(figsize=(10.5 if timed else 6.8, 4.2 * len(rows) + 0.4 * published), layout="constrained")
    plots = figure.subplots(len(rows), 1 + timed, width_ratios=(3, 2)[: 1 + timed], squeeze=False)
    models = list(dict.fromkeys(point.model for point in found))
    colours = dict(zip(models, seaborn.color_palette("colorblind", len(models)), strict=True))
    for row, points in zip(plots, rows, strict=True):
        _row(row, points, colours)
    what = "memory and time" if timed else "memory"
    plots[0, 0].set_title(f"{what} of full cases without reused frames", fontsize=10, loc="left")
    lines = [line for row in plots for line in row[0].get_legend_handles_labels()[0]]
    figure.legend(handles=lines, loc="outside right upper", fontsize=8, frameon=False)
    if published:
        figure.supxlabel(NOTE, fontsize=7, color="#444444")
    return figure


def _row(plots: Sequence[Axes], found: Sequence[MemoryPoint], colours: Mapping[str, tuple]) -> None:
    """Draw the points of one kind of memory, and their times where there is room for them."""
    models = list(dict.fromkeys(point.model for point in found))
    published = any(point.published for point in found)
    for axes, name in zip(plots, ("peak_bytes", "seconds_to_first_token"), strict=False):
        for model in models:
            _line(axes, [point for point in found if point.model == model], name, colours[model])
        _axes(axes, found, log=published)
    kind = KINDS.get(found[0].memory, KINDS["peak_reserved_bytes"])  # what is published is memory of a card
    plots[0].set_ylabel(f"{kind} (GiB)" + (", published" if all(point.published for point in found) else ""))
    _mark_oom(plots[0], found, models, colours)
    if len(plots) > 1:
        plots[1].set_ylabel("time to first token (s)")


def _fresh(run: RunData) -> list[tuple[Case, Record]]:
    """Return the `full` cases that reused no cached features, and those that ran out of memory."""
    asked = [(case, run.records[case.id]) for case in run.cases if case.condition == "full" and case.id in run.records]
    return [
        (case, record)
        for case, record in asked
        if record.status == "oom" or (record.status == "ok" and record.measured.get("reused_frames") == 0)
    ]


def _point(model: str, frames: int, records: Sequence[Record], memory: str) -> MemoryPoint:
    """Return the point of one model and length."""
    answered = [record.measured for record in records if record.status == "ok"]
    own = [measured for measured in answered if memory != "peak_host_bytes" or _alone(measured)]
    peaks = _numbers(own, memory)
    times = _numbers(answered, "seconds_to_first_token")
    status = "ok" if len(answered) == len(records) else "partial"
    if not answered:
        status = "oom"
    seconds = statistics.median(times) if times else None
    return MemoryPoint(model, False, frames, status, memory, len(answered), max(peaks, default=None), seconds)


def _alone(measured: Mapping[str, Any]) -> bool:
    """Return True if host memory is that of one case: of a process that held nothing of earlier ones.

    Older records do not say whether it did, but where a peak may have been an earlier case's.
    """
    return bool(measured.get("cold", measured.get("peak_host_since", "case") == "case"))


def _numbers(measured: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    """Return the numbers measured under a name."""
    return [one[name] for one in measured if one.get(name) is not None]


def _line(axes: Axes, found: Sequence[MemoryPoint], name: str, colour: tuple[float, float, float]) -> None:
    """Draw the line of one model."""
    scale = GIB if name == "peak_bytes" else 1
    values = [(point.frames, getattr(point, name)) for point in found]
    drawn = [(frames, value / scale) for frames, value in values if value is not None]
    style, fill = ("--", "white") if found[0].published else ("-", colour)
    axes.plot(
        [frames for frames, _ in drawn], [value for _, value in drawn], style, marker="o", markersize=5,
        markerfacecolor=fill, color=colour, linewidth=1.4, label=found[0].model,
    )  # fmt: skip


def _axes(axes: Axes, found: Sequence[MemoryPoint], log: bool) -> None:
    """Label the axes of one plot, logarithmic where published points are shown: those span orders of magnitude."""
    frames = sorted({point.frames for point in found})
    if log:
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_xlim(0, frames[-1] * 1.06)
    ticks = [2**power for power in range(6, 15) if frames[0] <= 2**power <= frames[-1]] if log else frames
    axes.set_xticks(ticks, [format_length(count) for count in ticks], rotation=45 if len(ticks) > 9 else 0, fontsize=8)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("frames")
    axes.grid(alpha=0.3, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if not log:
        top = axes.dataLim.y1 * 1.08  # so that the highest mark is not cut in half
        axes.set_ylim(0, top if math.isfinite(top) and top > 0 else 1)


def _mark_oom(axes: Axes, found: Sequence[MemoryPoint], models: Sequence[str], colours: Mapping[str, tuple]) -> None:
    """Mark at the top the lengths at which models ran out of memory, one row of marks per model."""
    short = [model for model in models if any(p.model == model and p.status != "ok" for p in found)]
    if not short:
        return
    step = 0.055
    room = 1 + step * (len(short) + 0.5)
    low, high = axes.get_ylim()
    log = axes.get_yscale() == "log"
    axes.set_ylim(low, low * (high / low) ** room if log else low + (high - low) * room * 1.02)
    for number, model in enumerate(short):
        places = [point.frames for point in found if point.model == model and point.status != "ok"]
        height = 1 - step * (number + 0.5) / room
        look = {"color": colours[model], "transform": axes.get_xaxis_transform()}
        axes.plot(places, [height] * len(places), "x", markersize=7, markeredgewidth=2, **look)
        axes.text(places[0], height, "OOM   ", ha="right", va="center", fontsize=7.5, **look)

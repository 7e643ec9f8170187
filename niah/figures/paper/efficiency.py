"""Draw Figure 1 and Table 5 of ViLaMP's paper: memory and FLOPs over frames, traced, beside what was published.

Traced and published numbers differ in kind. What is traced was counted without a card: a lower bound of what one
reports, up to the allocator and the driver. What was published was read off a card in a way that is not said.
`reconcile` says which published points lie where a card would report one of ours, and which do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from niah.analysis.layout import format_length
from niah.analysis.traced import GIB, TracedCosts
from niah.figures.plotting import add_footnote
from niah.figures.published import read_published

CARD_GIB = 80  # an A100 of "80 GB"
TOP_GIB = 96
KNOTS = (0, 64, 1000, 10000)  # equally far apart, as in the paper
TITLES = {"vilamp": "ViLaMP", "video_xl": "Video-XL", "llama_vid": "LLaMA-VID", "videochat_flash": "VideoChat-Flash"}
EXECUTIONS = {"streamed": ("streamed", "-", "o"), "as_released": ("as released", "--", "s")}
CONTEXT_GIB, SHARE = 1.3, 0.15  # what a card may report beyond live bytes: its context, and memory it holds in reserve
GONE: dict[str, Any] = {"marker": "x", "linestyle": "none", "markersize": 9, "markeredgewidth": 2.2}
FIGURE_NOTE = (
    "Traced: the code of this project at full size with random weights, run on tensors without numbers and without a "
    "GPU; every live byte is counted, so a card reports more (its context, memory in reserve). No card has checked it "
    "yet. 'As released' batches and keeps what the release does, from its code. Published: Table 5 "
    "of the ViLaMP paper, MB taken for MiB; results/published/README.md lists what does not add up there. Between two "
    "ticks the axis is linear."
)
ITS_LIMIT = (
    "Video-XL's weights are for 1,024 frames at most, as its authors say: beyond, its rows say what its code needs, "
    "not that its answers are worth anything."
)


@dataclass(frozen=True)
class EfficiencyRow:
    """A line of the table: a traced execution, or what was published (`kind`)."""

    model: str
    kind: str  # "streamed" or "as released", traced; "published"
    frames: int
    peak_gib: float | None  # None: published as out of memory
    tera_flops: float | None
    tera_multiply_adds: float | None
    published_tera: float | None  # as published, under the name of FLOPs
    reconciled: str  # of a published row: with which traced one, or why with none


def efficiency_rows(traced: Sequence[TracedCosts]) -> list[EfficiencyRow]:
    """Return the traced rows, and behind each model what was published of it; published models alone come last."""
    rows: list[EfficiencyRow] = []
    published = _published()
    models = list(dict.fromkeys(row.model for row in traced))
    for model in [name for name in TITLES if name in models] + [name for name in models if name not in TITLES]:
        own = sorted(
            (row for row in traced if row.model == model), key=lambda row: (row.execution != "streamed", row.frames)
        )
        title = TITLES.get(model, model)
        rows += [_traced_row(title, row) for row in own]
        rows += [_published_row(title, cell, own) for cell in published.pop(title, [])]
    return rows + [_published_row(title, cell, []) for title, cells in published.items() for cell in cells]


def reconcile(published_gib: float, own: Mapping[str, float]) -> str:
    """Return the executions whose traced memory a card might report as published, or by how much each misses it.

    Args:
        published_gib: what was published.
        own: traced GiB of each execution at the same length.
    """
    fits = [name for name, gib in own.items() if 0 <= published_gib - gib <= SHARE * gib + CONTEXT_GIB]
    if fits:
        return " and ".join(fits)
    return "neither: " + ", ".join(f"{name} {gib:.1f}" for name, gib in own.items()) if own else ""


def draw_figure1(rows: Sequence[EfficiencyRow]) -> Figure:
    """Draw memory over frames: a line for each model and kind, and a cross where one leaves the card."""
    figure = Figure(figsize=(9.6, 5.4), layout="constrained")
    axes = figure.subplots()
    models = list(dict.fromkeys(row.model for row in rows))
    colours = dict(zip(models, seaborn.color_palette("colorblind", len(models)), strict=True))
    axes.set_xscale("function", functions=(_to_axis, _from_axis))
    for model in models:
        for kind in dict.fromkeys(row.kind for row in rows if row.model == model):
            _draw_line(axes, [row for row in rows if (row.model, row.kind) == (model, kind)], colours[model])
    axes.axhline(CARD_GIB, color="#444444", linewidth=1)
    axes.text(0, CARD_GIB + 0.8, " 80 GB: one A100", fontsize=8, color="#444444", va="bottom")
    axes.set_xlim(0, KNOTS[-1] * 1.02)
    axes.set_ylim(0, TOP_GIB)
    axes.set_xticks(KNOTS, ["0", *(format_length(count) for count in KNOTS[1:])])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("frames")
    axes.set_ylabel("GPU memory, GiB")
    axes.grid(alpha=0.3, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(handles=_legend(rows, colours), loc="outside right upper", fontsize=8, frameon=False)
    notes = [FIGURE_NOTE, *([ITS_LIMIT] if TITLES["video_xl"] in models else [])]
    add_footnote(figure, *notes, fontsize=7, color="#444444")
    return figure


def draw_table5(rows: Sequence[EfficiencyRow]) -> Figure:
    """Draw the table: memory and multiply-adds of every model and kind at the lengths that were published."""
    lengths = sorted({row.frames for row in rows if row.kind == "published"})
    lines = list(dict.fromkeys((row.model, row.kind) for row in rows))
    cells = {(row.model, row.kind, row.frames): row for row in rows}
    texts = [
        [model, kind if kind == "published" else f"{kind}, traced"]
        + [part for frames in lengths for part in _cell(cells.get((model, kind, frames)))]
        for model, kind in lines
    ]
    heads = ["", ""] + [part for frames in lengths for part in (f"{frames:,}\nGiB", "T multiply-adds\n(T FLOP)")]
    figure = Figure(figsize=(13.0, 1.6 + 0.3 * len(texts)), layout="constrained")
    axes = figure.subplots()
    axes.set_axis_off()
    widths = [0.11, 0.12, *([0.075, 0.125] * len(lengths))]
    table = axes.table(texts, colLabels=heads, colWidths=widths, loc="center", cellLoc="right", edges="horizontal")
    table.auto_set_font_size(False)
    table.set_fontsize(8)
    for (line, column), cell in table.get_celld().items():
        cell.set_height(0.075 if line == 0 else 0.05)
        cell.set_linewidth(0.4)
        if column < 2:
            cell.set_text_props(ha="left")
        if line and lines[line - 1][1] == "published":
            cell.set_text_props(style="italic", color="#666666")
    add_footnote(figure, *table_notes(rows), letters_per_inch=19, fontsize=7, color="#444444")
    return figure


def table_notes(rows: Sequence[EfficiencyRow]) -> list[str]:
    """Return what a reader of the table has to know, and the published points that cannot be reconciled by name."""
    told = [row for row in rows if row.kind == "published" and row.peak_gib is not None and row.reconciled]
    near = [f"{row.model} at {row.frames:,} ({row.reconciled})" for row in told if not _open(row)]
    not_ours = [f"{row.model} at {row.frames:,} ({row.peak_gib:.1f}; {row.reconciled})" for row in told if _open(row)]
    reach = f"up to {SHARE:.0%} and {CONTEXT_GIB} GiB above it"
    return [
        "Traced without a GPU, verified on none: live bytes, weights included; one multiply-add is two FLOP. The "
        "published column called FLOPs is set beside multiply-adds, which it comes nearest to; OOM: out of memory.",
        f"Published memory that a card might report of a traced execution ({reach}): {'; '.join(near) or 'none'}.",
        f"Published memory that cannot be reconciled with either, GiB: {'; '.join(not_ours) or 'none'}.",
        *([ITS_LIMIT] if any(row.model == TITLES["video_xl"] for row in rows) else []),
    ]


def _open(row: EfficiencyRow) -> bool:
    """Return True for a published point that neither execution explains."""
    return row.reconciled.startswith("neither")


def _published() -> dict[str, list[dict[str, str]]]:
    """Return the cells of Table 5 by model."""
    found: dict[str, list[dict[str, str]]] = {}
    for row in read_published("table5_efficiency.csv"):
        found.setdefault(row["model"], []).append(row)
    return found


def _traced_row(title: str, row: TracedCosts) -> EfficiencyRow:
    kind = EXECUTIONS[row.execution][0] if row.execution in EXECUTIONS else row.execution
    return EfficiencyRow(
        title, kind, row.frames, row.peak_bytes / GIB, row.flops / 1e12, row.multiply_adds / 1e12, None, ""
    )


def _published_row(title: str, cell: Mapping[str, str], own: Sequence[TracedCosts]) -> EfficiencyRow:
    frames = int(cell["frames"])
    gib = None if cell["memory_MB"] == "OOM" else float(cell["memory_MB"]) / 1024
    same = {EXECUTIONS[row.execution][0]: row.peak_bytes / GIB for row in own if row.frames == frames}
    verdict = "" if gib is None else reconcile(gib, same)
    return EfficiencyRow(title, "published", frames, gib, None, None, float(cell["flops_T"]), verdict)


def _cell(row: EfficiencyRow | None) -> tuple[str, str]:
    """Return memory and work of one length."""
    if row is None:
        return "", ""
    memory = "OOM" if row.peak_gib is None else f"{row.peak_gib:.1f}"
    if row.published_tera is not None:
        return memory, f"{row.published_tera:,.1f}"
    return memory, f"{row.tera_multiply_adds:,.1f} ({row.tera_flops:,.1f})"


def _draw_line(axes: Axes, rows: Sequence[EfficiencyRow], colour: Any) -> None:
    """Draw one line: traced ones end where they cross the card's limit, published ones keep every point."""
    published = rows[0].kind == "published"
    known = [(row.frames, row.peak_gib) for row in rows if row.peak_gib is not None]
    gone = [row.frames for row in rows if row.peak_gib is None]
    if not published:
        known, gone = _cut(known)
    style, marker = _look(rows[0].kind)
    axes.plot(
        [frames for frames, _ in known], [gib for _, gib in known], style, color=colour, marker=marker, markersize=5,
        markerfacecolor="white" if published else colour, linewidth=1.5,
        markevery=slice(len(rows) if published or not gone else len(known) - 1),  # where it leaves is no traced length
    )  # fmt: skip
    axes.plot(gone[:1], [CARD_GIB] * len(gone[:1]), color=colour, **GONE)


def _cut(known: Sequence[tuple[int, float]]) -> tuple[list[tuple[float, float]], list[float]]:
    """Return a line up to the card's limit, and the frames at which a straight line between two points crosses it."""
    inside: list[tuple[float, float]] = []
    for frames, gib in known:
        if gib > CARD_GIB:
            if not inside:
                return [], [frames]
            before, below = inside[-1]
            crossing = before + (CARD_GIB - below) / (gib - below) * (frames - before)
            return [*inside, (crossing, CARD_GIB)], [crossing]
        inside.append((frames, gib))
    return inside, []


def _look(kind: str) -> tuple[Any, str]:
    """Return line style and marker of a kind."""
    return next(((style, marker) for title, style, marker in EXECUTIONS.values() if title == kind), (":", "D"))


def _legend(rows: Sequence[EfficiencyRow], colours: Mapping[str, Any]) -> list[Line2D]:
    """Return the entries: models by colour, kinds by line."""
    handles = [Line2D([], [], color=colour, linewidth=4, label=model) for model, colour in colours.items()]
    kinds = [kind for kind in ("streamed", "as released", "published") if any(row.kind == kind for row in rows)]
    for kind in kinds:
        style, marker = _look(kind)
        label = "published, measured by its authors" if kind == "published" else f"traced, no GPU: {kind}"
        fill = "white" if kind == "published" else "#444444"
        handles.append(
            Line2D([], [], color="#444444", linestyle=style, marker=marker, markerfacecolor=fill, label=label)
        )
    handles.append(Line2D([], [], color="#444444", label=f"OOM: more than {CARD_GIB} GB", **GONE))
    return handles


def _to_axis(frames: Any) -> Any:
    """Return the place of frames on the axis; beyond the last knot the last slope goes on."""
    frames = np.asarray(frames, dtype=float)
    beyond = np.clip(frames - KNOTS[-1], 0, None) / (KNOTS[-1] - KNOTS[-2])
    return np.interp(frames, KNOTS, np.arange(len(KNOTS))) + beyond + np.clip(frames, None, 0) / KNOTS[1]


def _from_axis(places: Any) -> Any:
    """Return the frames at places on the axis."""
    places = np.asarray(places, dtype=float)
    beyond = np.clip(places - (len(KNOTS) - 1), 0, None) * (KNOTS[-1] - KNOTS[-2])
    return np.interp(places, np.arange(len(KNOTS)), KNOTS) + beyond + np.clip(places, None, 0) * KNOTS[1]

"""Specify the charts of the page in Vega-Lite; a specification contains its data.

Text and axes are drawn in `currentColor`, so that one chart works on the light page, on the dark page and in print.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from niah.analysis.layout import ALL
from niah.analysis.load import RunData
from niah.analysis.table import Row
from niah.figures.memory import GIB, KINDS, MemoryPoint, memory_points

MAX_LENGTH_TICKS = 9  # with more lengths than this, ticks are automatic
SHORT_NAME = 24  # characters; longer names get a row of the legend each
INK = {"labelColor": "currentColor", "titleColor": "currentColor"}
CONFIG = {
    "background": "transparent",
    "view": {"stroke": None},
    "axis": {
        **INK, "gridColor": "currentColor", "gridOpacity": 0.12, "domain": False, "tickColor": "currentColor",
        "tickOpacity": 0.4, "titleFontWeight": "normal", "labelFontSize": 12, "titleFontSize": 12, "titlePadding": 8,
    },
    "legend": {
        **INK, "title": None, "orient": "bottom", "labelLimit": 300, "labelFontSize": 12,
        "symbolType": "circle", "symbolOpacity": 1, "symbolStrokeWidth": 0,
    },
    "text": {"color": "currentColor"},
    "font": "system-ui, sans-serif",
}  # fmt: skip


def chart_specs(
    runs: Sequence[RunData], rows: Mapping[str, Sequence[Row]], colours: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return title, text and Vega-Lite specification of each chart that the runs have data for."""
    charts = [_accuracy(runs, rows, colours), *_costs(runs, colours)]
    return [chart for chart in charts if chart is not None]


def _accuracy(
    runs: Sequence[RunData], rows: Mapping[str, Sequence[Row]], colours: Mapping[str, str]
) -> dict[str, Any] | None:
    """Return the chart of `full` accuracy over length, with intervals; None where no case has an answer."""
    groupings = {run.model: run.layout.grouping for run in runs}
    values = [
        {
            "model": model, "frames": int(row.length), "accuracy": row.accuracy, "n": row.n,
            "low": row.low if row.cluster_low is None else row.cluster_low,
            "high": row.high if row.cluster_high is None else row.cluster_high,
        }
        for model, own_rows in rows.items()
        for row in own_rows
        if (row.condition, row.type, row.depth, row.length_by) == ("full", ALL, ALL, groupings[model]) and row.n
    ]  # fmt: skip
    if not values:
        return None
    y = {"field": "accuracy", "type": "quantitative", "title": "accuracy", "scale": {"domain": [0, 1]}}
    y["axis"] = {"format": ".0%", "tickCount": 5}
    tooltip = [
        _field("model"),
        _field("frames", ","),
        _field("accuracy", ".1%"),
        _field("low", ".1%"),
        _field("high", ".1%"),
    ]
    layers = [
        {
            "mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.55},
            "encoding": {
                "y": {**y, "field": "low"},
                "y2": {"field": "high"},
                "tooltip": [*tooltip, _field("n")],
            },
        },
        {"mark": {"type": "line", "strokeWidth": 2}, "encoding": {"y": y}},
        {
            "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
            "encoding": {"y": y, "tooltip": [*tooltip, _field("n")]},
        },
        *_chance(runs),
    ]
    text = (
        "Condition full, all question types. Bars: 95 %, clustered by needle source, or Wilson's where there is one "
        "source; dashed: chance."
    )
    return _chart("Accuracy over length", text, values, layers, colours, "the models' accuracy over haystack length")


def _chance(runs: Sequence[RunData]) -> list[dict[str, Any]]:
    """Return a dashed line at chance, if all cases have the same number of options."""
    counts = {len(case.options) for run in runs for case in run.cases if case.condition == "full"}
    if len(counts) != 1:
        return []
    datum = {"datum": 1 / counts.pop(), "type": "quantitative"}
    mark = {"type": "rule", "strokeDash": [4, 4], "color": "currentColor", "opacity": 0.6}
    return [{"mark": mark, "data": {"values": [{}]}, "encoding": {"x": None, "color": None, "y": datum}}]


def _costs(runs: Sequence[RunData], colours: Mapping[str, str]) -> list[dict[str, Any] | None]:
    """Return the charts of memory and of time to the first token over frames; None for what was not measured."""
    points = memory_points(runs, False)
    out_of_memory = [{"model": point.model, "frames": point.frames} for point in points if point.status != "ok"]
    memory = [(point, point.peak_bytes and point.peak_bytes / GIB) for point in points]
    unit = f"{KINDS[points[0].memory]} (GiB)" if points else ""
    times = [(point, point.seconds_to_first_token) for point in points]
    return [
        _cost("Memory over length", unit, "largest", memory, out_of_memory, colours),
        _cost("Time over length", "seconds to first token", "median", times, [], colours),
    ]


def _cost(
    title: str,
    unit: str,
    statistic: str,
    pairs: Sequence[tuple[MemoryPoint, float | None]],
    out_of_memory: list[dict[str, Any]],
    colours: Mapping[str, str],
) -> dict[str, Any] | None:
    """Return the chart of one quantity over frames.

    Args:
        title: heading of the chart.
        unit: label of the y axis.
        statistic: which value of a length is shown: "largest" or "median".
        pairs: each point with its value, None where it was not measured.
        out_of_memory: rows of the points with cases that ran out of memory; marked with crosses.
        colours: the colour of each model.
    """
    values = [
        {"model": point.model, "frames": point.frames, "value": value, "n": point.n}
        for point, value in pairs
        if value is not None
    ]
    if not values and not out_of_memory:
        return None
    y = {"field": "value", "type": "quantitative", "title": unit, "scale": {"zero": True}, "axis": {"tickCount": 5}}
    tooltip = [
        _field("model"),
        _field("frames", ","),
        {**_field("value", ".2f"), "title": unit},
        _field("n"),
    ]
    layers: list[dict[str, Any]] = [
        {"mark": {"type": "line", "strokeWidth": 2}, "encoding": {"y": y}},
        {"mark": {"type": "point", "filled": True, "size": 60, "opacity": 1}, "encoding": {"y": y, "tooltip": tooltip}},
    ]
    text = f"Full cases without reused frames; the {statistic} of a length."
    if out_of_memory:
        layers.append(_crosses(out_of_memory))
        text += " \u00d7 at the top: some or all cases ran out of memory."
    return _chart(title, text, values, layers, colours, f"{unit} over haystack length")


def _crosses(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the layer of crosses at the top edge."""
    return {
        "data": {"values": rows},
        "mark": {"type": "point", "shape": "M-1,-1L1,1M1,-1L-1,1", "strokeWidth": 2.5, "size": 90, "filled": False},
        "encoding": {"y": {"value": 6}, "tooltip": [_field("model"), _field("frames", ",")]},
    }


def _chart(
    title: str,
    text: str,
    values: list[dict[str, Any]],
    layers: list[dict[str, Any]],
    colours: Mapping[str, str],
    description: str,
) -> dict[str, Any]:
    """Return a chart: title, text and a Vega-Lite specification with the axes and legend that all charts share."""
    drawn = [*values, *(row for layer in layers for row in layer.get("data", {}).get("values", []) if "frames" in row)]
    frames = sorted({row["frames"] for row in drawn})
    axis: dict[str, Any] = {"grid": False, "format": "~s", "labelOverlap": True}
    if len(frames) <= MAX_LENGTH_TICKS:
        axis["values"] = frames
    x = {"field": "frames", "type": "quantitative", "title": "haystack length (frames)", "axis": axis}
    x["scale"] = {"domain": [0, frames[-1]], "nice": False, "padding": 12}
    named = {model: colour for model, colour in colours.items() if any(row["model"] == model for row in drawn)}
    scale = {"domain": list(named), "range": list(named.values())}
    legend = {"columns": 1 if any(len(model) > SHORT_NAME for model in named) else 3} if len(colours) > 1 else None
    colour = {"field": "model", "type": "nominal", "scale": scale, "legend": legend}
    spec = {
        "description": description,
        "config": CONFIG,
        "width": "container",
        "height": 230,
        "data": {"values": values},
        "encoding": {"x": x, "color": colour},
        "layer": layers,
    }
    return {"title": title, "text": text, "spec": spec}


def _field(field: str, form: str | None = None) -> dict[str, Any]:
    """Return one line of a mark's tooltip: text, or a number in the format `form`."""
    if form is None:
        return {"field": field, "type": "nominal"}
    return {"field": field, "type": "quantitative", "format": form}

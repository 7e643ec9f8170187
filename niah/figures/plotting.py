"""What all figures share: their style, and how they are saved."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from niah.io import replace_file, replacing

RC_PARAMS: Any = {"font.family": "DejaVu Sans", "svg.hashsalt": "niah", "axes.titleweight": "normal"}
RC_PARAMS["text.parse_math"] = False  # a model's arguments may hold dollar signs


def save_figure(figure: Figure, stem: Path, drawn: Sequence[Any], float_format: str = "%.6g") -> list[Path]:
    """Save a figure as PNG and SVG, and the rows it shows as CSV; the same figure gives the same bytes on any day.

    Args:
        figure: what to save, drawn under RC_PARAMS.
        stem: the path of the files without their suffix.
        drawn: the rows the figure shows, as dataclasses.
        float_format: how the CSV writes floats.

    Returns the paths of the three files.
    """
    png, svg, csv = (stem.with_name(f"{stem.name}.{suffix}") for suffix in ("png", "svg", "csv"))
    with replacing(png) as temporary:
        figure.savefig(temporary, dpi=160, facecolor="white", metadata={"Software": None})
    with replacing(svg) as temporary:
        figure.savefig(temporary, facecolor="white", metadata={"Date": None})
    rows = pd.DataFrame([dataclasses.asdict(row) for row in drawn])
    replace_file(csv, rows.to_csv(index=False, float_format=float_format, lineterminator="\n"))
    return [png, svg, csv]

"""Read the published numbers of ViLaMP's paper, to draw beside measured ones.

results/published/README.md lists what does not add up in them.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from niah.types import UserError

FOLDER = Path(__file__).resolve().parents[2] / "results" / "published"
NAMES = {"llamavid": "LLaMA-VID", "vcflash": "VideoChat-Flash", "vilamp": "ViLaMP"}


@dataclass(frozen=True)
class Efficiency:
    """One cell of Table 5; its numbers are None where the model ran out of memory."""

    model: str
    frames: int
    peak_bytes: float | None
    seconds_to_first_token: float | None


def read_published(name: str) -> list[dict[str, str]]:
    """Return the rows of one published table. Raises UserError outside of a checkout, which alone has these files."""
    try:
        with open(FOLDER / name, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        raise UserError(f"{FOLDER / name} is missing: published numbers come with a checkout of the project") from None


def published_efficiency() -> list[Efficiency]:
    """Return Table 5."""
    return [
        Efficiency(
            f"{row['model']}, published",
            int(row["frames"]),
            None if row["memory_MB"] == "OOM" else float(row["memory_MB"]) * 2**20,
            None if row["ttft_ms"] == "OOM" else float(row["ttft_ms"]) / 1000,
        )
        for row in read_published("table5_efficiency.csv")
    ]


def published_heatmaps() -> dict[str, list[list[float]]]:
    """Return Figure 2 per model, as 5 rows of depth by 16 columns of length, read off its colours."""
    models: dict[str, dict[tuple[int, int], float]] = {}
    for row in read_published("fig2_digitised.csv"):
        cell = (int(row["depth_bin_lo"]), int(row["len_bin_lo"]))
        models.setdefault(NAMES[row["model"]], {})[cell] = float(row["accuracy_digitised"])
    lengths, depths = range(2000, 10000, 500), range(0, 100, 20)
    return {
        f"{model}, published": [[cells[depth, length] for length in lengths] for depth in depths]
        for model, cells in models.items()
    }

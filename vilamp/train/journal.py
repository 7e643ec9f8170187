"""What a training leaves in its folder: a curve, a state to resume from, and at the end a summary.

`curve.csv` and `curve.png` show what was learned; `resume.pt` lets an interrupted training continue and is removed
at the end; `train.json` stands for a finished training.
"""

from __future__ import annotations

import csv
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from niah.io import open_to_append, replace_file, replacing
from niah.types import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STATE = "resume.pt"
SUMMARY = "train.json"
CURVE = "curve.csv"
STAGES = ("encoder", "reader")  # in training order
COLUMNS = ("stage", "step", "seconds", "loss", "accuracy", "worst", "length", "shape", "colour", "digit", "frame_auc")


class Journal:
    """Writes the curve and the state of a training; `seconds` counts the time of all its attempts."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        """Read the state of an earlier attempt, if there is one.

        Raises UserError where that attempt had another `fingerprint`, that is other settings.
        """
        self.folder, self.fingerprint = folder, fingerprint
        self.state: dict[str, Any] = {"fingerprint": fingerprint, "seconds": 0.0, "stage": STAGES[0], "step": 0}
        folder.mkdir(parents=True, exist_ok=True)
        if has_state(folder):
            self.state = torch.load(self._state_file, weights_only=True)
            if self.state["fingerprint"] != fingerprint:
                raise UserError(
                    f"{self._state_file} belongs to another config; remove it, or give this run another output"
                )
        self._began = time.monotonic() - self.state["seconds"]
        self._drop_repeated_rows()

    @property
    def _state_file(self) -> Path:
        return self.folder / STATE

    @property
    def seconds(self) -> float:
        """Return the wall-clock seconds of all attempts so far."""
        return time.monotonic() - self._began

    def add_curve_row(self, stage: str, step: int, values: Mapping[str, float | int]) -> None:
        """Append a row to the curve."""
        path = self.folder / CURVE
        is_new = not path.is_file()
        with os.fdopen(open_to_append(path), "a", newline="") as file:
            writer = csv.writer(file)
            if is_new:
                writer.writerow(COLUMNS)
            rounded = {name: round(value, 4) for name, value in values.items()}
            row = {"stage": stage, "step": step, "seconds": round(self.seconds, 1), **rounded}
            writer.writerow([row.get(name, "") for name in COLUMNS])

    def _drop_repeated_rows(self) -> None:
        """Remove the curve's rows of steps that will be taken again."""
        path = self.folder / CURVE
        if not path.is_file():
            return
        with path.open(newline="") as file:
            header, *rows = csv.reader(file)
        resumed_at = (STAGES.index(self.state["stage"]), self.state["step"])
        kept = [row for row in rows if (STAGES.index(row[0]), int(row[1])) < resumed_at]
        with replacing(path) as temporary, temporary.open("w", newline="") as file:
            csv.writer(file).writerows([header, *kept])

    def save(self, stage: str, step: int, **parts: Any) -> None:
        """Replace the state to resume from: `step` is the next one to take."""
        self.state = {"fingerprint": self.fingerprint, "seconds": self.seconds, "stage": stage, "step": step, **parts}
        with replacing(self._state_file) as temporary:
            torch.save(self.state, temporary)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write the summary and remove the state: the checkpoint takes its place."""
        replace_file(self.folder / SUMMARY, json.dumps(summary, indent=1) + "\n")
        self._state_file.unlink(missing_ok=True)


def has_state(folder: Path) -> bool:
    """Return True if a folder holds a state to resume from."""
    return (folder / STATE).is_file()


def read_summary(folder: Path) -> dict[str, Any] | None:
    """Return the summary of a finished training, or None where a folder holds none."""
    path = folder / SUMMARY
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def draw_curve(folder: Path) -> Path:
    """Write `curve.png` beside `curve.csv`: what each stage learned over its steps, a panel for each stage there is."""
    from matplotlib.figure import Figure

    rows = pd.read_csv(folder / CURVE)
    drawn = {"encoder": _draw_encoder, "reader": _draw_reader}
    stages = list(dict.fromkeys(rows.stage))
    figure = Figure(figsize=(5 * len(stages), 3.6), layout="constrained")
    for axes, stage in zip(figure.subplots(1, len(stages), squeeze=False)[0], stages, strict=True):
        drawn[stage](axes, rows.query("stage == @stage"))
    path = folder / "curve.png"
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, metadata={"Software": None})
    return path


def _draw_encoder(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw what the encoders' patches and frames are recognised as."""
    for name in ("shape", "colour", "digit", "frame_auc"):
        axes.plot(rows.step, rows[name], label=name.replace("_", " "))
    axes.set(title="encoders", xlabel="step", ylabel="accuracy of patch labels, AUC of frames", ylim=(0, 1.02))
    axes.legend(frameon=False)


def _draw_reader(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw accuracy, and the longest haystack it is of, on an axis of its own unless all are clips alone."""
    axes.plot(rows.step, rows.accuracy, color="C0", label="accuracy at the longest haystack")
    axes.plot(rows.step, rows.worst, color="C1", label="of the worst type of question")
    axes.set(title="connectors and language model", xlabel="step", ylabel="accuracy", ylim=(0, 1.02))
    handles = axes.get_lines()
    if rows.length.max() > 0:
        lengths = axes.twinx()
        lengths.step(rows.step, rows.length, where="post", color="C7", label="longest haystack")
        lengths.set(ylabel="longest haystack (frames)")
        handles = [*handles, *lengths.get_lines()]
    axes.legend(handles, [str(line.get_label()) for line in handles], frameon=False, loc="lower right")

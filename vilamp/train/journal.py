"""What a training run leaves behind: a curve anybody can open, and a state it can resume from."""

from __future__ import annotations

import csv
import os
import time
from pathlib import Path
from typing import Any

import torch

from niah.io import open_to_append, replacing
from niah.types import UserError

RESUME = "resume.pt"
COLUMNS = ("stage", "step", "seconds", "loss", "accuracy", "worst", "length", "shape", "colour", "digit", "frame_auc")


class Journal:
    """Writes `curve.csv` and `resume.pt` in a folder; `seconds` counts the time of all attempts."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder, self.fingerprint = folder, fingerprint
        self.state: dict[str, Any] = {"fingerprint": fingerprint, "seconds": 0.0, "stage": "encoder", "step": 0}
        folder.mkdir(parents=True, exist_ok=True)
        if self._file.is_file():
            self.state = torch.load(self._file, weights_only=True)
            if self.state["fingerprint"] != fingerprint:
                raise UserError(f"{self._file} belongs to another config; remove it, or give this run another output")
        self._began = time.monotonic() - self.state["seconds"]
        self._cut_curve()

    @staticmethod
    def begun(folder: Path) -> bool:
        """Say whether a folder holds a state to resume from."""
        return (folder / RESUME).is_file()

    @property
    def _file(self) -> Path:
        return self.folder / RESUME

    @property
    def seconds(self) -> float:
        """Wall-clock seconds so far."""
        return time.monotonic() - self._began

    def plot(self, stage: str, step: int, values: dict[str, float]) -> None:
        """Append a row to the curve."""
        path = self.folder / "curve.csv"
        new = not path.is_file()
        with os.fdopen(open_to_append(path), "a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(COLUMNS)
            rounded = {name: round(value, 4) for name, value in values.items()}
            row = {"stage": stage, "step": step, "seconds": round(self.seconds, 1), **rounded}
            writer.writerow([row.get(name, "") for name in COLUMNS])

    def _cut_curve(self) -> None:
        """Drop the rows of steps that will be taken again."""
        path = self.folder / "curve.csv"
        if not path.is_file():
            return
        with path.open(newline="") as file:
            header, *rows = csv.reader(file)
        order = {"encoder": 0, "reader": 1}
        here = (order[self.state["stage"]], self.state["step"])
        with replacing(path) as temporary, temporary.open("w", newline="") as file:
            csv.writer(file).writerows([header, *(row for row in rows if (order[row[0]], int(row[1])) < here)])

    def save(self, stage: str, step: int, **parts: Any) -> None:
        """Write the state to resume from: whole, or not at all."""
        self.state = {"fingerprint": self.fingerprint, "seconds": self.seconds, "stage": stage, "step": step, **parts}
        with replacing(self._file) as temporary:
            torch.save(self.state, temporary)

    def done(self) -> None:
        """Remove the state: the checkpoint stands for it."""
        self._file.unlink(missing_ok=True)

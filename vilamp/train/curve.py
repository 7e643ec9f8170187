"""Draw the curve of a training run from its `curve.csv`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from niah.io import replacing


def draw_curve(folder: Path) -> Path:
    """Write `curve.png` beside `curve.csv`: what each stage learned, against its steps."""
    from matplotlib.figure import Figure

    rows = pd.read_csv(folder / "curve.csv")
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    encoder, reader = rows[rows.stage == "encoder"], rows[rows.stage == "reader"]
    for name in ("shape", "colour", "digit", "frame_auc"):
        left.plot(encoder.step, encoder[name], label=name.replace("_", " "))
    left.set(title="encoders", xlabel="step", ylabel="accuracy of patch labels, AUC of frames", ylim=(0, 1.02))
    left.legend(frameon=False)
    right.plot(reader.step, reader.accuracy, color="C0", label="accuracy on the rung")
    right.plot(reader.step, reader.worst, color="C1", label="of the worst type of question")
    right.set(title="connectors and language model", xlabel="step", ylabel="accuracy", ylim=(0, 1.02))
    ladder = right.twinx()
    ladder.step(reader.step, reader.length, where="post", color="C7", label="longest haystack")
    ladder.set(ylabel="longest haystack (frames)")
    handles = [*right.get_lines(), *ladder.get_lines()]
    right.legend(handles, [line.get_label() for line in handles], frameon=False, loc="lower right")
    path = folder / "curve.png"
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, metadata={"Software": None})
    return path

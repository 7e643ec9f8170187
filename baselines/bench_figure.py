"""Draw Figure 1 from the results of `baselines.bench` and `vilamp.bench`: the published points are dashed."""

from __future__ import annotations

from pathlib import Path

import matplotlib

from niah.adapters.bench import Measurement, read
from niah.figures.memory import MemoryPoint, draw_memory, published_points
from niah.figures.plotting import RC_PARAMS, save_figure
from niah.io import replace_file
from niah.types import UserError

# What does not add up in the paper; results/published/README.md has it at length.
CAPTION = """\
Peak memory and time to the first token over frames, random weights (neither depends on values), one process
for each length. Solid: measured here, on the machine that every line of the results names; "simulated A100"
is a larger GPU whose memory was capped at 79 GiB, so its times are not an A100's. Dashed: Table 5 of the
ViLaMP paper, which says one A100. What does not add up there: Figure 1's "10K" points are Table 5's rows of
8,192 frames; 91 and 92 GB cannot come from one 80 GB A100; LLaVA-Video at 256 frames is out of memory in
Figure 1 and takes 71,495 MB in Table 5; "FLOPs" are multiply-adds of the linear layers, with 196 instead of
729 tokens a keyframe, and real FLOPs are twice that and more; 80 ms to the first token at 64 frames is
below what an A100 needs for that work (about 0.4 s); with 729 tokens a keyframe 10,000 frames exceed
Qwen2-7B's 32,768 positions; how memory was read is not said, and MB is taken for MiB here.
"""


def draw(folder: Path) -> list[Path]:
    """Write figure1.png, .svg, .csv (its numbers) and .txt (the caption) from every results file of a folder.

    Returns the files. Raises UserError where the folder holds no results.
    """
    measured = [line for file in sorted(folder.glob("*.jsonl")) for line in read(file)]
    if not measured:
        raise UserError(f"{str(folder)!r} holds no results: run niah bench NAME --out {folder} first")
    drawn = [*points(measured), *published_points()]
    with matplotlib.rc_context(RC_PARAMS):
        figure = draw_memory(drawn)
        figure.axes[0].set_title("peak memory, and time to the first token, of one video", fontsize=10, loc="left")
        files = save_figure(figure, folder / "figure1", drawn)
    caption = folder / "figure1.txt"
    replace_file(caption, CAPTION)
    return [*files, caption]


def points(measured: list[Measurement]) -> list[MemoryPoint]:
    """Return what to draw: memory of the device where any was measured there, else of the host; errors are left out."""
    device = any(line.peak_reserved_bytes is not None for line in measured)
    kind = "peak_reserved_bytes" if device else "peak_host_bytes"
    drawn = [line for line in measured if line.status in ("ok", "oom")]
    return [
        MemoryPoint(
            model=f"{line.job.title}{' (tiny)' * (line.job.size == 'tiny')}",
            published=False,
            frames=line.job.frames,
            status=line.status,
            memory=kind,
            n=1,
            peak_bytes=None if line.status == "oom" else line.peak_reserved_bytes if device else line.peak_host_bytes,
            seconds_to_first_token=line.seconds_to_first_token,
        )
        for line in sorted(drawn, key=lambda line: (line.job.title, line.job.frames))
    ]

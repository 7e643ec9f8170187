"""`niah attention --model NAME ...`: record what a model's question attends to.

`niah paper figure3 FOLDER...` and `niah paper figure4 FOLDER...` draw the result.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from niah.analysis.attention import TOP, attention_received, frame_rows, patch_rows
from niah.analysis.csv_text import csv_text
from niah.analysis.load import model_label
from niah.cli import run as niah_run
from niah.cli.command import RESUMED, Command
from niah.io import cache_folder, replace_file
from niah.media.decoders.base import load_decoder
from niah.media.video import SplicedVideo
from niah.run import registry
from niah.run.attention import SupportsAttention, VisualAttention
from niah.run.config import RunConfig
from niah.run.plan import Plan, make_plan
from niah.terminal import to_stdout
from niah.types import Case, UserError

EXAMPLES = """\
examples:
  niah attention --model vilamp --model_args keyframes=128,threshold=2 \\
      --suite default --lengths 128 --depths 0.5 --conditions full --limit 16 --output_path runs/attention-whole
      the micro ViLaMP with all 128 frames kept whole, as the paper's Figures 3 and 4 analyse other models
  niah attention --model vilamp --lengths 128 --depths 0.5 --conditions full --output_path runs/attention
      the micro ViLaMP as it answers: eight frames kept whole, every other frame merged into one token
  niah paper figure3 runs/attention-whole runs/attention
      draw both

Takes the flags of niah run that name a model, cases and a folder. The model must report what its question attends to,
as vilamp, video_xl, llama_vid and videochat_flash do (docs/released_models.md). It runs in this process. Files written:
frames.csv (a line per frame and case), patches.csv (a line per hundredth of the patches, where all frames are kept
whole) and about.json (the settings).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of niah run, and --top."""
    help_text = f"how many frames with the most attention count as keyframes (default: {TOP})"
    parser.add_argument("--top", type=int, default=TOP, metavar="N", help=help_text)
    niah_run.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Measure the attention of every case."""
    return measure(niah_run.config_of(options), options.top)


def measure(config: RunConfig, top: int) -> int:
    """Measure the attention of every case, write it into the output folder and print the paths of the files."""
    plan = make_plan(config)
    adapter = registry.load_adapter(registry.find_adapter(config.model), config.settings())
    if not isinstance(adapter, SupportsAttention):
        raise UserError(
            f"{config.model} does not report its attention: it needs attentions(video, question), "
            "see niah/run/attention.py"
        )
    frames: list[dict[str, Any]] = []
    patches: list[dict[str, Any]] = []
    for case in tqdm(plan.ordered, unit="case", disable=None):
        attended = adapter.attentions(_video(config, plan, case), case.to_question())
        attention = attention_received(attended)
        frames += _frame_rows(case, attended, attention)
        if (attended.patches >= 0).all():  # every frame was kept whole
            patches += [{"case": case.id, **dataclasses.asdict(row)} for row in patch_rows(attended, attention, top)]
    folder = Path(config.output_path) if config.output_path else Path("runs") / f"attention-{config.folder().name}"
    folder.mkdir(parents=True, exist_ok=True)
    decides = config.decides()
    metadata = {**decides, "label": model_label(decides), "suite": plan.generated.suite.name, "top": top}
    replace_file(folder / "about.json", json.dumps(metadata, indent=2) + "\n")
    written = [_write(folder / "frames.csv", frames)]
    if patches:
        written.append(_write(folder / "patches.csv", patches))
    to_stdout("".join(f"{path}\n" for path in written))
    return 0


def _video(config: RunConfig, plan: Plan, case: Case) -> SplicedVideo:
    """Return the video of a case; nothing is decoded yet."""
    generated = plan.generated
    decoder = load_decoder(config.decoder)
    renders = cache_folder() / "rendered"
    sampling = generated.suite.sampling
    return SplicedVideo(case.timeline, generated.sources, sampling, decoder, case.fps, renders, case.canvas)


def _frame_rows(case: Case, attended: VisualAttention, attention: Any) -> Iterator[dict[str, Any]]:
    """Yield a row for each frame of a case; `needle` is 1 for a frame of a needle."""
    for row in frame_rows(attended, attention):
        in_needle = any(placed.start <= row.frame < placed.stop for placed in case.needles)
        yield {"case": case.id, "needle": int(in_needle), **dataclasses.asdict(row)}


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """Write rows as CSV and return the path."""
    replace_file(path, csv_text(rows))
    return path


COMMAND = Command(run, EXAMPLES, add_arguments, stopped=RESUMED)

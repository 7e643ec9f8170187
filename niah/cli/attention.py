"""`niah attention --model NAME ...`: record what a model's question attends to.

What is drawn from it: `niah paper figure3 FOLDER...` and `figure4 FOLDER...`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from niah.analysis.attention import TOP, attention_received, frame_rows, patch_rows
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
from niah.types import Case, UserError

EXAMPLES = """\
examples:
  niah attention --model vilamp --model_args keyframes=128,threshold=2 \\
      --suite default --lengths 128 --depths 0.5 --conditions full --limit 16 --output_path runs/attention-whole
      the micro ViLaMP with all 128 frames whole, as the paper's Figures 3 and 4 look at other models
  niah attention --model vilamp --lengths 128 --depths 0.5 --conditions full --output_path runs/attention
      as it answers: eight frames whole, one token for every other
  niah paper figure3 runs/attention-whole runs/attention
      draw them

All flags of niah run that name a model, cases and a folder work here. The model must offer
attentions(video, question), as niah/attention/contract.py says: vilamp, video_xl, llama_vid and videochat_flash do.
Written: frames.csv (a line for each frame of each case), patches.csv (a line for each hundredth of the patches; only
where frames are there whole), about.json. The model runs in this process.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags: those of niah run, and --top."""
    help_text = f"frames that get most attention, counted as keyframes (default: {TOP})"
    parser.add_argument("--top", type=int, default=TOP, metavar="N", help=help_text)
    niah_run.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Ask the model about every case."""
    return measure(niah_run.config_of(options), options.top)


def measure(config: RunConfig, top: int) -> int:
    """Ask about every case, and write what was seen into the output folder."""
    plan = make_plan(config)
    adapter = registry.load_adapter(registry.find_adapter(config.model), config.settings())
    if not isinstance(adapter, SupportsAttention):
        raise UserError(
            f"{config.model} cannot tell what it looks at: it needs attentions(video, question), "
            "as niah/attention/contract.py says"
        )
    frames, patches = [], []
    for case in tqdm(plan.ordered, unit="case", disable=None):
        attended = adapter.attentions(_video(config, plan, case), case.to_question())
        attention = attention_received(attended)
        frames += list(_frames(case, attended, attention))
        if (attended.patches >= 0).all():
            patches += [{"case": case.id, **dataclasses.asdict(row)} for row in patch_rows(attended, attention, top)]
    folder = Path(config.output_path) if config.output_path else Path("runs") / f"attention-{config.folder().name}"
    folder.mkdir(parents=True, exist_ok=True)
    about = {**config.decides(), "label": model_label(config.decides()), "suite": plan.generated.suite.name, "top": top}
    replace_file(folder / "about.json", json.dumps(about, indent=2) + "\n")
    written = [_write(folder / "frames.csv", frames)]
    written += [_write(folder / "patches.csv", patches)] if patches else []
    sys.stdout.write("".join(f"{path}\n" for path in written))
    return 0


def _video(config: RunConfig, plan: Plan, case: Case) -> SplicedVideo:
    """Return a case's video; nothing is decoded yet."""
    generated, renders = plan.generated, cache_folder() / "rendered"
    decoder = load_decoder(config.decoder)
    return SplicedVideo(case.timeline, generated.sources, generated.suite.sampling, decoder, case.fps, renders)


def _frames(case: Case, attended: VisualAttention, attention: Any) -> Iterator[dict[str, Any]]:
    """Yield the frames of a case, and whether each is of its needle."""
    for row in frame_rows(attended, attention):
        inside = any(placed.start <= row.frame < placed.stop for placed in case.needles)
        yield {"case": case.id, "needle": int(inside), **dataclasses.asdict(row)}


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """Write rows and return where they are."""
    replace_file(path, pd.DataFrame(rows).to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    return path


COMMAND = Command(run, EXAMPLES, add_arguments, stopped=RESUMED)

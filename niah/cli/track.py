"""`niah track RUN --to tensorboard|wandb`: write a finished run to TensorBoard or Weights & Biases."""

from __future__ import annotations

import argparse
from pathlib import Path

from niah.analysis.load import read_run
from niah.cli.command import RESUMED, Command
from niah.cli.flags import add_output
from niah.extras import require
from niah.integrations.tracking import to_tensorboard, to_wandb
from niah.io import refuse_link
from niah.terminal import to_stdout

EXAMPLES = """\
examples:
  niah track runs/default-vilamp --to tensorboard
      writes event files into runs/default-vilamp/tensorboard; show them with: tensorboard --logdir runs
  niah track runs/default-vilamp --to wandb --project videoniah
      a run of Weights & Biases; WANDB_MODE=offline keeps it on this machine until wandb sync

Both come with an extra: pip install 'videoniah[track]'
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("run", type=Path, metavar="RUN", help="a folder that niah run wrote")
    parser.add_argument("--to", choices=("tensorboard", "wandb"), required=True, help="which tracker")
    add_output(parser, "folder of its files (default: RUN/tensorboard, RUN/wandb)")
    parser.add_argument("--project", default="videoniah", metavar="NAME", help="project of wandb")


def run(options: argparse.Namespace) -> int:
    """Read the run and write it to the tracker."""
    require(options.to, f"niah track --to {options.to}")
    found = read_run(options.run)
    if options.output is None:  # the run's owner must not choose where the files go
        refuse_link(options.run / options.to)
    folder = options.output or options.run / options.to
    if options.to == "tensorboard":
        written = f"{to_tensorboard(found, folder)}\nshow it with: tensorboard --logdir {options.run}"
    else:
        written = to_wandb(found, folder, options.project)
    to_stdout(f"written: {written}\n")
    return 0


COMMAND = Command(run, EXAMPLES, add_arguments, stopped=RESUMED)

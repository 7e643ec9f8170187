"""Train one model for each compressor and budget, and ask all of them the same cases.

Stop it whenever you like: the same command goes on where it stopped. The queue is ordered so that what is done at any
time is a balanced part. One command at a time trains; the last redraws tables and figures from what is kept.
"""

from __future__ import annotations

import argparse

from niah.cli.command import RESUMED, Command
from niah.cli.flags import add_config
from niah.exit_codes import DONE
from niah.terminal import to_stdout
from vilamp.train.experiment.config import read_experiment
from vilamp.train.experiment.queue import queue_text, run_jobs, select_jobs

EXAMPLES = """\
examples:
  niah experiment --config configs/experiment/compression.yaml --dry_run
      the queue: each training's name and what it costs
  niah experiment --config configs/experiment/compression.yaml
      all of it, one after another; the same command goes on where it was stopped
  niah experiment --config configs/experiment/compression.yaml --only differential-2-0,mean-2-0
      two trainings of the queue
  niah experiment_analyse --config configs/experiment/compression.yaml
      tables, verdict and figures from what was kept

exit codes: 0 every training of the queue is done, 2 a mistake in the config, 3 some is not done, 130 after Ctrl-C
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser, "budgets, compressors and cases: YAML, for instance configs/experiment/compression.yaml")
    help_text = "these trainings, in this order; --dry_run lists all (default: all)"
    parser.add_argument("--only", metavar="JOB,...", help=help_text)
    parser.add_argument("--dry_run", action="store_true", help="print the queue with what each training costs")


def _run(options: argparse.Namespace) -> int:
    """Work through the queue, or print it."""
    experiment = read_experiment(options.config)
    jobs = select_jobs(experiment, options.only)
    if options.dry_run:
        to_stdout(queue_text(experiment, jobs) + "\n")
        return DONE
    return run_jobs(experiment, jobs)


COMMAND = Command(_run, EXAMPLES, _add_arguments, stopped=RESUMED)

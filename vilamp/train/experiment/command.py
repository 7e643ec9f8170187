"""Train one model after another, each with its own rule of compression and budget, and ask all the same cases.

    niah experiment --config configs/experiment/compression.yaml
    niah experiment --config configs/experiment/compression.yaml --dry_run
    niah experiment --config configs/experiment/compression.yaml --only differential-2-0,mean-2-0
    niah experiment_analyse --config configs/experiment/compression.yaml

Stop it whenever you like: the same command goes on where it stopped. The queue is ordered so that what is done at any
time is a balanced part. One command at a time trains; the last redraws tables and figures from what is kept.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from niah.cli.guard import DONE, guarded
from vilamp.train.experiment.config import read_experiment
from vilamp.train.experiment.queue import queue_text, run_jobs, select_jobs


def main() -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="niah experiment", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, required=True, help="a YAML file; see configs/experiment/")
    parser.add_argument("--only", metavar="JOB,...", help="these trainings, in this order; --dry_run lists all")
    parser.add_argument("--dry_run", action="store_true", help="print the queue with what each training costs")
    given = parser.parse_args()

    def command() -> int:
        experiment = read_experiment(given.config)
        jobs = select_jobs(experiment, given.only)
        if given.dry_run:
            sys.stdout.write(queue_text(experiment, jobs) + "\n")
            return DONE
        return run_jobs(experiment, jobs)

    return guarded(command)


if __name__ == "__main__":
    sys.exit(main())

"""`niah bench_media FOLDER`: time the video decoders, and count the files that each reads correctly."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from niah.cli.command import Command
from niah.tools.decoder_bench import benchmark_lines, time_task

EXAMPLES = """\
examples:
  niah bench_media ../shared/videos
      the tables of docs/decoders.md, in about eight minutes on two cores

Timed are the two longest videos, and one of 20,000 frames made by repeating the second.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a folder of videos, searched recursively")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="runs per number; the median is printed")
    parser.add_argument("--timeout", type=float, default=900.0, metavar="SECONDS", help="for one run")
    parser.add_argument("--one", metavar="DECODER/TASK", help=argparse.SUPPRESS)  # one timed run, printed as JSON


def run(options: argparse.Namespace) -> int:
    """Print both tables, each line as soon as it is known; or do the one timed run of a child process."""
    if options.one:
        decoder, task = options.one.split("/", 1)
        sys.stdout.write(json.dumps(time_task(decoder, task, options.folder)))
        return 0
    for line in benchmark_lines(options.folder, options.repeats, options.timeout):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    return 0


COMMAND = Command(run, EXAMPLES, add_arguments)

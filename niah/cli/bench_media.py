"""`niah bench_media FOLDER`: time the video decoders, or what skipping, threads, the cache and reading ahead save."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from niah.cli.command import Command
from niah.media.scan import scan
from niah.terminal import to_stdout
from niah.tools.decoder_bench import benchmark_lines, longest, time_task
from niah.tools.reading_bench import reading_lines, time_reading
from niah.tools.scanning_bench import scanning_lines, time_scanning

EXAMPLES = """\
examples:
  niah bench_media footage/open/needles
      tables like those of docs/decoders.md, of clips that niah fetch open brought
  niah bench_media footage/open/haystacks/tears_of_steel.mp4 --reading
      what skipping, threads, kept frames and reading ahead save on one film
  niah bench_media footage/open/needles --scanning
      what scanning a folder in several processes saves

Timed are the two longest videos, and one of 20,000 frames made by repeating the second.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument(
        "folder", type=Path, metavar="FOLDER", help="a folder of videos, searched recursively; or a film"
    )
    help_text = "compare ways of reading instead of decoders, on the film or the folder's longest"
    parser.add_argument("--reading", action="store_true", help=help_text)
    help_text = "compare scanning in one process with scanning in as many as there are cores"
    parser.add_argument("--scanning", action="store_true", help=help_text)
    parser.add_argument("--rate", default="1", metavar="R", help="of --reading: frames per second, or native")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="runs per number; the median is printed")
    parser.add_argument("--timeout", type=float, default=900.0, metavar="SECONDS", help="for one run")
    parser.add_argument("--one", metavar="DECODER/TASK", help=argparse.SUPPRESS)  # one timed run, printed as JSON


def run(options: argparse.Namespace) -> int:
    """Print both tables, each line as soon as it is known; or do the one timed run of a child process."""
    if options.one:
        decoder, task = options.one.split("/", 1)
        to_stdout(json.dumps(_timed(decoder, task, options)))
        return 0
    for line in _lines(options):
        to_stdout(line + "\n")
        sys.stdout.flush()
    return 0


def _timed(decoder: str, task: str, options: argparse.Namespace) -> dict[str, float]:
    """Do one timed run."""
    if decoder == "reading":
        way, sleep = task.rsplit("/", 1)
        return time_reading(way, options.folder, options.rate, float(sleep))
    if decoder == "scanning":
        return time_scanning(options.folder, int(task))
    return time_task(decoder, task, options.folder)


def _lines(options: argparse.Namespace) -> Iterator[str]:
    """Yield the lines of what was asked for."""
    if options.scanning:
        return scanning_lines(options.folder, options.repeats, options.timeout)
    if not options.reading:
        return benchmark_lines(options.folder, options.repeats, options.timeout)
    film = scan(options.folder) if options.folder.is_file() else longest(options.folder)
    return reading_lines(film, options.rate, options.repeats, options.timeout)


COMMAND = Command(run, EXAMPLES, add_arguments)

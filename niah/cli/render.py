"""`niah render CASE`: write the video of one case to a file, or a picture of it."""

from __future__ import annotations

import argparse
from pathlib import Path

from niah.cli.command import Command
from niah.cli.flags import add_output, add_suite
from niah.suite.build import read_or_generate
from niah.suite.render import find_case, render, video_of
from niah.terminal import to_stdout

EXAMPLES = """\
examples:
  niah render needle-000.full.200.1 --suite smoke -o case.mp4
      the video of one case, to watch it
  niah render needle-000.full.200.1 --suite smoke -o case.png
      a picture of it: where the clips lie, some of their frames, the question and its options
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("case", metavar="CASE", help="id of a case in cases.jsonl")
    add_suite(parser, "a suite, or a folder that holds its cases.jsonl", default="default")
    add_output(parser, "the video, or as .png a picture of it (default: CASE.mp4, here)", metavar="FILE.mp4")


def run(options: argparse.Namespace) -> int:
    """Write the video or the picture of one case."""
    generated = read_or_generate(options.suite)
    case = find_case(generated, options.case, options.suite)
    path = options.output or Path(f"{case.id.replace('/', '-')}.mp4")
    if path.suffix == ".png":
        from niah.figures.case_picture import draw_case  # here: drawing takes seconds to load

        path.parent.mkdir(parents=True, exist_ok=True)
        to_stdout(f"{draw_case(case, video_of(case, generated, path.parent), path)}\n")
    else:
        to_stdout(render(case, generated, path) + "\n")
    return 0


COMMAND = Command(run, EXAMPLES, add_arguments)

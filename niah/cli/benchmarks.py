"""`niah benchmarks table1 [RESULTS...]` and `niah benchmarks sample FOLDER`: public benchmarks."""

from __future__ import annotations

import argparse
from pathlib import Path

from niah.cli.command import RESUMED, Command
from niah.integrations.benchmarks.table1 import our_rows, published_rows, table_markdown
from niah.terminal import to_stdout

EXAMPLES = """\
examples:
  niah benchmarks table1
      Table 1 of ViLaMP's paper, as published
  niah benchmarks table1 out
      the same with ours below, out of what niah lm_eval wrote into out
  niah benchmarks sample sample
      twelve tiny videos and a table in Video-MME's schema, to try the task with

The benchmarks themselves are tasks of niah lm_eval: docs/benchmarks.md
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parts = parser.add_subparsers(
        dest="part", metavar="table1|sample", required=True, help="print Table 1, or write a sample"
    )
    table = parts.add_parser("table1", help="print Table 1", allow_abbrev=False)
    table.add_argument("results", nargs="*", type=Path, metavar="RESULTS", help="folder or file that lm-eval wrote")
    sample = parts.add_parser("sample", help="write a tiny table in Video-MME's schema", allow_abbrev=False)
    sample.add_argument("folder", type=Path, metavar="FOLDER", help="where it goes")


def run(options: argparse.Namespace) -> int:
    """Print the table or write the sample."""
    return _table(options.results) if options.part == "table1" else _sample(options.folder)


def _table(results: list[Path]) -> int:
    """Print the table."""
    to_stdout(table_markdown(published_rows(), our_rows(results)))
    return 0


def _sample(folder: Path) -> int:
    """Write the sample, and print the command that uses it."""
    from niah.integrations.benchmarks.sample import write_sample  # here: it needs a decoder, the table does not

    folder.mkdir(parents=True, exist_ok=True)
    table = write_sample(folder)
    to_stdout(
        f"{table}\nniah lm_eval --model vilamp --tasks videoniah_video_mme "
        f"--metadata table={table},videos={folder / 'videos'},frame_size=64 --output_path out\n"
    )
    return 0


COMMAND = Command(run, EXAMPLES, add_arguments, stopped=RESUMED)

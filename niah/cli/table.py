"""`niah table RUN...`: print a summary of runs, and write table.csv into the folder of each."""

from __future__ import annotations

import argparse
import sys

from niah.analysis.checks.failed_check import as_text
from niah.analysis.checks.runs import check_runs
from niah.analysis.exposure import exposure_summary
from niah.analysis.letters import letter_summary
from niah.analysis.load import join_shards, read_run
from niah.analysis.power import power_summary
from niah.analysis.summary import summary_page
from niah.analysis.table import table_rows, write_table
from niah.cli.command import Command
from niah.cli.flags import add_runs

EXAMPLES = """\
examples:
  niah table runs/default-vilamp
      accuracy with its intervals, per condition, question type, length and depth
  niah table runs/default-vilamp runs/default-chance
      two runs side by side
  niah table runs/default-vilamp-shard-*
      the shards of one run, combined in the printout
"""


def run(options: argparse.Namespace) -> int:
    """Write the table of every run, and print a summary of all."""
    runs = [read_run(folder) for folder in options.runs]
    paths = [write_table(folder) for folder in options.runs]
    joined = join_shards(runs)
    written = "written: " + ", ".join(map(str, paths))
    parts = [
        summary_page(table_rows(joined)),
        letter_summary(joined),
        exposure_summary(joined),
        power_summary(joined),
        as_text(check_runs(joined)),
        written,
    ]
    sys.stdout.write("\n\n".join(part for part in parts if part) + "\n")
    return 0


COMMAND = Command(run, EXAMPLES, add_runs)

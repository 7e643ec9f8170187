"""The command: `niah table RUN...` prints each run's page and writes table.csv into its folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from niah.analysis.checks.failed_check import as_text
from niah.analysis.checks.runs import check_runs
from niah.analysis.load import join_shards, read_run
from niah.analysis.power import power_summary
from niah.analysis.summary import summary_page
from niah.analysis.table import table_rows, write_table
from niah.cli.guard import guarded

EXAMPLES = """\
examples:
  niah table runs/default-vilamp
      accuracy with its intervals, per condition, question type, length and depth
  niah table runs/default-vilamp runs/default-chance
      two runs side by side
  niah table runs/default-vilamp-shard-*
      the shards of one run, put together
"""


def main(arguments: list[str] | None = None) -> int:
    """Print and write; return 0, or 2 where the user has to mend something."""
    parser = argparse.ArgumentParser(
        prog="niah table",
        description="Sum up runs; shards of one run are put together in print.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a folder that niah run wrote")
    options = parser.parse_args(arguments)
    return guarded(lambda: _table(options.runs), stopped="stopped")


def _table(folders: list[Path]) -> int:
    """Write every run's table, and print what they say together."""
    runs = [read_run(folder) for folder in folders]
    paths = [write_table(folder) for folder in folders]
    joined = join_shards(runs)
    written = "written: " + ", ".join(map(str, paths))
    parts = [summary_page(table_rows(joined)), power_summary(joined), as_text(check_runs(joined)), written]
    sys.stdout.write("\n\n".join(part for part in parts if part) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

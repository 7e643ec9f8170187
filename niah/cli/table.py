"""`niah table RUN...`: print a summary of runs, and write table.csv into the folder of each.

Another rule than the suite's (`--score_by`) is for looking: it is printed and never written, as a rule that is chosen
after the answers are known makes accuracies too high.
"""

from __future__ import annotations

import argparse

from niah.analysis.checks.failed_check import as_text
from niah.analysis.checks.runs import check_runs
from niah.analysis.confusion import confusion_summary
from niah.analysis.exposure import exposure_summary
from niah.analysis.kept_frames import kept_frames_summary
from niah.analysis.kinds import split_kinds
from niah.analysis.letters import letter_summary
from niah.analysis.load import join_shards, read_run, with_rule
from niah.analysis.placed import placed_summary
from niah.analysis.power import power_summary
from niah.analysis.read_and_placed import read_and_placed_summary
from niah.analysis.samples import samples_summary
from niah.analysis.shown import shown_summary
from niah.analysis.summary import summary_page
from niah.analysis.table import table_rows, write_table
from niah.analysis.twins import twin_summary
from niah.cli.command import Command
from niah.cli.flags import add_runs
from niah.io import no_cycles
from niah.option_scores import SCORE_BY
from niah.terminal import to_stdout

EXAMPLES = """\
examples:
  niah table runs/default-vilamp
      accuracy with its intervals, per condition, question type, length and depth
  niah table runs/default-vilamp runs/default-chance
      two runs side by side
  niah table runs/default-vilamp-shard-*
      the shards of one run, combined in the printout
  niah table runs/default-vilamp --score_by minus_blind
      the same options chosen by another rule, for looking: nothing is written

rules for models that score options: sum, per_token, per_byte, minus_blind (less the likelihood without the video);
letter is for models that generate. The rule that counts is the one that the suite names before the run.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    add_runs(parser)
    parser.add_argument("--score_by", choices=SCORE_BY, help="print accuracies by this rule; write no table.csv")


@no_cycles()
def run(options: argparse.Namespace) -> int:
    """Write the table of every run, and print a summary of all."""
    runs = [read_run(folder) for folder in options.runs]
    if options.score_by is None:
        rows = {id(run): table_rows(split_kinds([run])) for run in runs}
        written = "written: " + ", ".join(str(write_table(run.folder, run, rows[id(run)])) for run in runs)
    else:
        rows = {}
        runs = [with_rule(run, options.score_by) for run in runs]
        named = ", ".join(dict.fromkeys(run.score_by or "none" for run in map(read_run, options.runs)))
        written = f"scored by {options.score_by} for looking (rule that the suite names: {named}); nothing was written"
    whole = join_shards(runs)
    joined = split_kinds(whole)
    parts = [
        summary_page([row for run in whole for row in rows.get(id(run)) or table_rows(split_kinds([run]))]),
        shown_summary(joined),
        samples_summary(joined),
        read_and_placed_summary(whole),
        placed_summary(joined),
        confusion_summary(joined),
        twin_summary(joined),
        kept_frames_summary(joined),
        letter_summary(joined),
        exposure_summary(joined),
        power_summary(joined),
        as_text(check_runs(joined)),
        written,
    ]
    to_stdout("\n\n".join(part for part in parts if part) + "\n")
    return 0


COMMAND = Command(run, EXAMPLES, add_arguments)

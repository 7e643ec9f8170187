"""`niah compare RUN RUN...`: print which model is better on the same cases; write nothing."""

from __future__ import annotations

import argparse

from niah.analysis.checks.failed_check import as_text
from niah.analysis.checks.runs import check_runs
from niah.analysis.compare.comparisons import pair_runs
from niah.analysis.compare.verdict import comparison_page
from niah.analysis.kinds import group_kinds, split_kinds
from niah.analysis.load import join_shards, read_run
from niah.cli.command import Command
from niah.cli.flags import add_runs
from niah.terminal import to_stdout

EXAMPLES = """\
examples:
  niah compare runs/default-vilamp runs/default-chance
      a verdict on the full cases, then types, lengths, depths, slopes and controls, corrected for being many
  niah compare runs/default-vilamp runs/default-uniform runs/default-topk
      each pair of them, on the cases that all three were asked

Intervals are 95 %. Cases that one of two models has no answer for are left out and counted. Answers are clustered by
needle source video, and by haystack where there are 20 or more; with fewer, a verdict does not generalise to other
haystacks. Models that answered in different modes (generated, likelihood) get no verdict.

exit codes: 0 compared, 2 the runs cannot be compared, or a mistake in the command
"""


def run(options: argparse.Namespace) -> int:
    """Print the validity checks that failed, then the verdict."""
    runs = split_kinds(join_shards([read_run(folder) for folder in options.runs]))
    groups = [group for group in group_kinds(runs) if len(group) > 1] or [runs]
    text = comparison_page([pair for group in groups for pair in pair_runs(group)])
    failed_checks = as_text(check_runs(runs))
    to_stdout("\n\n".join(part for part in (failed_checks, text) if part) + "\n")
    return 0


COMMAND = Command(run, EXAMPLES, add_runs)

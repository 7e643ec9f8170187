"""`niah merge SHARD... -o FOLDER`: join the shards of one run, and draw its table and figures."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from niah.cli.command import RESUMED, Command
from niah.cli.flags import add_no_figures, add_output
from niah.exit_codes import DONE, INCOMPLETE
from niah.run.records import FINAL
from niah.terminal import to_stderr, to_stdout
from niah.tools.merge import MergeResult, merge_shards
from niah.types import UserError

EXAMPLES = """\
examples:
  niah merge runs/default-vilamp-shard-*
      into runs/default-vilamp, with its table and figures
  niah merge /scratch/shard-1 /scratch/shard-2 -o runs/all
      shards that were run with --output_path

The shards are left unchanged; the same command adds the records that they have gained since. To ask the cases that
are left, use niah run with the merged folder, the same settings and without --shard.

exit codes: 0 every case has a record that is ok or oom, 2 a mistake in the command or its files,
3 some case has none or one that is an error or a timeout, or the disk is full
"""
SHARD = re.compile(r"(.+)-shard-\d+-of-\d+")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    help_text = "folders that niah run --shard wrote, all of one run"
    parser.add_argument("shards", nargs="+", type=Path, metavar="SHARD", help=help_text)
    add_output(parser, "default: the shards' name without -shard-i-of-N")
    add_no_figures(parser)


def run(options: argparse.Namespace) -> int:
    """Merge shards, and draw the figures of the whole."""
    return _merge(options.shards, options.output, options.figures)


def _merge(shards: Sequence[Path], out: Path | None, figures: bool) -> int:
    """Merge shards, draw the figures, print a summary, and return the exit code."""
    if out is None:
        if not shards[0].exists():  # mostly a pattern that matched nothing
            raise UserError(f"{shards[0]} does not exist; name folders that niah run --shard wrote")
        named = SHARD.fullmatch(shards[0].name)
        if named is None:
            raise UserError(f"{shards[0].name} is not called NAME-shard-i-of-N; name the merged folder with -o")
        out = shards[0].with_name(named[1])
    merged = merge_shards(shards, out)
    if merged.records:
        from niah.analysis.table import write_table  # here: pandas takes a second to import

        write_table(out)
        if figures:
            from niah.figures.draw import draw_runs

            draw_runs([out], out, "default")
    return _summarise(merged)


def _summarise(merged: MergeResult) -> int:
    """Print how many records there are and how many are missing, and return the exit code."""
    failed = sum(record.status not in FINAL for record in merged.records)
    missing = len(merged.cases) - len(merged.records)
    to_stdout(f"{len(merged.records):,} records of {len(merged.cases):,} cases in {merged.folder}\n")
    if merged.answered_twice:
        to_stdout(f"{merged.answered_twice:,} cases were answered more than once; the first answer was taken\n")
    if merged.differing:
        to_stderr(f"WARNING: the shards differ in {'; '.join(merged.differing)}: their records may, too\n")
    if merged.unknown_models:
        to_stderr(
            f"NOTE: the identity of the model is unknown in {', '.join(merged.unknown_models)}, which were asked "
            "before runs recorded it: whether all shards are of one model was not checked\n"
        )
    if failed or missing:
        to_stdout(f"{missing:,} cases not asked yet, {failed:,} failed; niah run without --shard asks them\n")
    return INCOMPLETE if failed or missing else DONE


COMMAND = Command(run, EXAMPLES, add_arguments, stopped=RESUMED)

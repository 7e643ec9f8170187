"""`niah import SAMPLES --suite FOLDER`: make a run of the samples that another harness logged of an exported suite."""

from __future__ import annotations

import argparse
from pathlib import Path

from niah.cli.command import Command
from niah.cli.flags import add_no_figures, add_output
from niah.exit_codes import DONE, INCOMPLETE
from niah.terminal import to_stderr, to_stdout

EXAMPLES = """\
examples:
  niah import out/lmms --suite exported -o runs/smoke-qwen
      all samples below a folder (lmms-eval's --output_path), of the suite that niah export wrote into `exported`
  niah import out/lmms/Q/20261128_samples_videoniah_smoke.jsonl --suite exported --model qwen3_vl -o runs/smoke-qwen
      one file, without lmms-eval's results beside it, which would name the model

exit codes: 0 every case has a record, 2 a mistake in the command or its files, 3 some case has none
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    help_text = "files of samples that lmms-eval wrote with --log_samples, or folders that hold them, all of one model"
    parser.add_argument("samples", nargs="+", type=Path, metavar="SAMPLES", help=help_text)
    parser.add_argument("--suite", type=Path, required=True, metavar="FOLDER", help="the folder that niah export wrote")
    parser.add_argument("--model", metavar="NAME", help="its name in tables (default: as in lmms-eval's results)")
    add_output(parser, "the folder of the run", required=True)
    add_no_figures(parser)


def run(options: argparse.Namespace) -> int:
    """Write records, table and figures, and print what was read."""
    from niah.analysis.table import write_table  # here: pandas takes a second to import
    from niah.figures.draw import draw_runs
    from niah.integrations.lmms_eval.samples import import_samples

    read = import_samples(options.suite, options.samples, options.output, options.model)
    write_table(options.output)
    if options.figures:
        draw_runs([options.output], options.output, "default")
    missing = read.cases - len(read.records)
    to_stdout(f"{len(read.records):,} of {read.cases:,} cases of {read.model} in {read.folder}\n")
    for cases, what in (
        (read.read_differently, "replies are read as another answer by lmms-eval"),
        (read.asked_differently, "cases were asked with a changed prompt"),
    ):
        if cases:
            to_stderr(f"NOTE: {len(cases):,} {what}, such as {cases[0]}\n")
    return INCOMPLETE if missing else DONE


COMMAND = Command(run, EXAMPLES, add_arguments)

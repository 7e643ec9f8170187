"""`niah export SUITE --to lmms_eval`: write a suite as tasks of another harness."""

from __future__ import annotations

import argparse

from niah.cli.command import RESUMED, Command
from niah.cli.flags import add_output
from niah.suite.build import read_or_generate
from niah.terminal import to_stdout

EXAMPLES = """\
examples:
  niah export smoke --to lmms_eval -o exported
      rendered videos, documents and YAML; what to type next is printed
  python -m lmms_eval --include_path exported --tasks videoniah_smoke,videoniah_smoke_blind --model qwen3_vl \\
      --model_args pretrained=NAME --batch_size 1 --log_samples --output_path out/lmms
      any model wrapper of lmms-eval, in an environment of its own
  niah import out/lmms --suite exported -o runs/smoke-qwen
      lmms-eval's samples as a run, for niah table, figures, report and compare
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("suite", metavar="SUITE", help="a suite, or a folder that niah generate wrote")
    parser.add_argument("--to", choices=["lmms_eval"], default="lmms_eval", help="the harness")
    add_output(parser, "where the task goes; videos that are there are not rendered again", required=True)


def run(options: argparse.Namespace) -> int:
    """Write the tasks, and print the commands that use them."""
    from niah.integrations.lmms_eval.export import export  # here: it needs an encoder, --help does not

    written = export(read_or_generate(options.suite), options.output)
    to_stdout(
        f"{written.cases:,} cases on {written.videos:,} videos in {options.output}\n"
        f"python -m lmms_eval --include_path {options.output} --tasks {','.join(written.tasks)} --model NAME "
        "--model_args ... --batch_size 1 --log_samples --output_path out\n"
        f"niah import out --suite {options.output} -o runs/NAME\n"
    )
    return 0


COMMAND = Command(run, EXAMPLES, add_arguments, stopped=RESUMED)

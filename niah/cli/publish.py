"""`niah publish suite|run NAME -o FOLDER`: write a suite or a run into a folder that others can load."""

from __future__ import annotations

import argparse
from pathlib import Path

from niah.cli.command import RESUMED, Command
from niah.cli.flags import add_output
from niah.integrations.hub.dataset_repo import UNKNOWN, push
from niah.integrations.hub.publish_run import write_run
from niah.integrations.hub.publish_suite import OWN, read_licences, write_suite
from niah.suite.build import generate
from niah.suite.config import SUITES_FOLDER, load_suite
from niah.suite.folder import GeneratedSuite, read_suite
from niah.terminal import to_stderr, to_stdout
from niah.types import UserError

EXAMPLES = """\
examples:
  niah publish suite smoke -o published/smoke
      the cases and the hashes of their videos as a datasets folder; never the videos
  niah publish suite mine.yaml -o published/mine --licence cc-by-4.0 --licences films.csv
      your own suite: the licence of the questions; those of the videos (columns source, licence, attribution)
  niah publish run runs/smoke-chance -o published/smoke-chance
      a run in lm-eval's format: results_DATE.json and samples_TASK_DATE.jsonl
  niah publish suite smoke -o published/smoke --push me/videoniah-smoke
      the same, then pushed to the hub as private; nothing is ever pushed without --push

The folders load with datasets.load_dataset(FOLDER).
exit codes: 0 written (and pushed), 2 a mistake in the command or its files, or the hub refused
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("what", choices=("suite", "run"), help="what to publish")
    parser.add_argument("name", metavar="SUITE|RUN", help="a suite (name, .yaml, folder), or the folder of a run")
    add_output(parser, "folder to write", required=True)
    parser.add_argument("--licence", metavar="ID", help="licence of what is published, as the hub spells it: cc-by-4.0")
    parser.add_argument("--licences", type=Path, metavar="FILE", help="csv or JSON lines: licences of the videos")
    parser.add_argument("--push", metavar="OWNER/NAME", help="upload it as a data set of the hub, private")
    parser.add_argument("--public", action="store_true", help="with --push: make it public")


def run(options: argparse.Namespace) -> int:
    """Write one folder, print its files, and push it if --push is given."""
    if options.public and options.push is None:
        raise UserError("--public goes with --push OWNER/NAME; without it nothing is pushed")
    if options.what == "run":
        if options.licences is not None:
            raise UserError("--licences is for the videos of a suite; a run has none, leave it out")
        licence = options.licence
        files = write_run(Path(options.name), options.output, licence)
    else:
        generated = _generated(options.name)
        licence = options.licence or (OWN if generated.suite.footage is not None else None)
        licences = read_licences(options.licences) if options.licences is not None else {}
        files = write_suite(generated, options.output, licence, licences)
    to_stdout("".join(f"{options.output / name}\n" for name in files))
    if licence is None:
        to_stderr(f"licence: {UNKNOWN}; name the one you publish under with --licence ID\n")
    if options.push is not None:
        if licence is None:
            raise UserError("nothing is pushed without a licence: add --licence ID (cc-by-4.0, apache-2.0, ...)")
        to_stdout(f"pushed to {push(options.output, files, options.push, options.public)}\n")
    return 0


def _generated(name: str) -> GeneratedSuite:
    """Read a generated suite, or generate one."""
    path = Path(name)
    if path.is_dir() and not (SUITES_FOLDER / f"{name}.yaml").is_file():
        return read_suite(path)
    return generate(*load_suite(name))


COMMAND = Command(run, EXAMPLES, add_arguments, stopped=RESUMED)

"""`niah generate SUITE -o FOLDER`: write the cases of a suite."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from niah.cli.command import Command
from niah.cli.flags import add_output
from niah.suite.build import generate
from niah.suite.config import load_suite
from niah.suite.folder import GeneratedSuite, write_suite

EXAMPLES = """\
examples:
  niah generate smoke -o my-suite
      cases.jsonl, the hashes of all videos and a list of what was left out; then: niah run --suite my-suite
  niah generate mine.yaml -o my-suite --keep runs/mine-other
      only the needles that another model can read and cannot guess

To watch a case: niah render CASE
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("suite", metavar="SUITE", help="a name in configs/suites, or a .yaml file of your own")
    add_output(parser, "where cases.jsonl goes", required=True)
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="RUN",
        help="only needles that the model of this run answers in condition needle_only and not in blind. Must not be a "
        "model that is to be evaluated; niah run checks that",
    )


def run(options: argparse.Namespace) -> int:
    """Write the cases of a suite into a folder."""
    generated = generate(*load_suite(options.suite))
    if options.keep is not None:
        generated = _keep(generated, options.keep)
    write_suite(generated, options.output)
    counts = Counter(case.condition for case in generated.cases)
    haystacks = len({case.haystack for case in generated.cases if case.haystack})
    sys.stdout.write(
        f"{len(generated.cases):,} cases ({', '.join(f'{count:,} {name}' for name, count in counts.items())}) in "
        f"{haystacks} haystack(s); {len(generated.skipped)} skipped; written to {options.output / 'cases.jsonl'}\n"
    )
    return 0


def _keep(generated: GeneratedSuite, run: Path) -> GeneratedSuite:
    """Keep the needles that another model can read and cannot guess; print which are dropped."""
    from niah.analysis.filter_needles import filter_needles  # here: it loads pandas, which generating does not need

    before = {case.needle for case in generated.cases}
    kept = filter_needles(generated, run)
    assert kept.suite.kept is not None
    for skip in kept.skipped[len(generated.skipped) :]:
        sys.stderr.write(f"dropped {skip.what}: {skip.why}\n")
    sys.stdout.write(
        f"kept {len(kept.suite.kept.needles)} of {len(before)} needles: those {kept.suite.kept.by} answers with "
        "needle_only and not blind\n"
    )
    return kept


COMMAND = Command(run, EXAMPLES, add_arguments)

"""`niah generate SUITE -o FOLDER`: write the cases of a suite."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from niah.cli.command import Command
from niah.cli.flags import add_output
from niah.suite.build import generate
from niah.suite.config import load_suite
from niah.suite.folder import GeneratedSuite, write_suite
from niah.terminal import to_stderr, to_stdout

MOST_FRAMES = 400  # a sampler looks at, in the check of positions
REDRAWN_SUITES = 2000
SEED = 2026

EXAMPLES = """\
examples:
  niah generate smoke -o my-suite
      cases.jsonl, the hashes of all videos and a list of what was left out; then: niah run --suite my-suite
  niah generate mine.yaml -o my-suite --keep runs/mine-other
      only the needles that another model can read and cannot guess
  niah generate mine.yaml -o my-suite --check_positions
      also whether a model that samples 1 to 400 frames evenly sees more or fewer needles than at random positions

To watch a case: niah render CASE
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument(
        "suite",
        metavar="SUITE",
        help="the name of a suite that ships, as smoke or default, or a .yaml file of your own",
    )
    add_output(parser, "where cases.jsonl goes", required=True)
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="RUN",
        help="only needles that the model of this run answers in condition needle_only and not in blind. Must not be a "
        "model that is to be evaluated; niah run checks that",
    )
    parser.add_argument(
        "--check_positions",
        action="store_true",
        help="report whether the positions of the needles alias with uniform sampling, and draw how many needles "
        "samplers see (positions.png); takes a minute or two",
    )


def run(options: argparse.Namespace) -> int:
    """Write the cases of a suite into a folder."""
    generated = generate(*load_suite(options.suite))
    if options.keep is not None:
        generated = _keep(generated, options.keep)
    write_suite(generated, options.output)
    counts = Counter(case.condition for case in generated.cases)
    haystacks = len({case.haystack for case in generated.cases if case.haystack})
    to_stdout(
        f"{len(generated.cases):,} cases ({', '.join(f'{count:,} {name}' for name, count in counts.items())}) in "
        f"{haystacks} haystack{'s' * (haystacks != 1)}; {len(generated.skipped)} skipped; written to "
        f"{options.output / 'cases.jsonl'}\n"
    )
    if options.check_positions:
        _check_positions(generated, options.output)
    return 0


def _check_positions(generated: GeneratedSuite, folder: Path) -> None:
    """Print whether uniform samplers see more or fewer needles than they should, and draw how many they see."""
    from niah.analysis.aliasing import aliasing, as_text, needles_seen, positions_of
    from niah.figures.positions import draw_needles_seen

    positions = positions_of(generated.cases, generated.suite.bins)
    counts = range(1, MOST_FRAMES + 1)
    paths = draw_needles_seen(needles_seen(positions, counts), generated.suite.name, folder)
    to_stdout(as_text(aliasing(positions, counts, redraws=REDRAWN_SUITES, seed=SEED)) + "\n")
    to_stdout("".join(f"{path}\n" for path in paths))


def _keep(generated: GeneratedSuite, run: Path) -> GeneratedSuite:
    """Keep the needles that another model can read and cannot guess; print which are dropped."""
    from niah.analysis.filter_needles import filter_needles  # here: it loads pandas, which generating does not need

    before = {case.needle for case in generated.cases}
    kept = filter_needles(generated, run)
    assert kept.suite.kept is not None
    for skip in kept.skipped[len(generated.skipped) :]:
        to_stderr(f"dropped {skip.what}: {skip.why}\n")
    to_stdout(
        f"kept {len(kept.suite.kept.needles)} of {len(before)} needles: those {kept.suite.kept.by} answers with "
        "needle_only and not blind\n"
    )
    return kept


COMMAND = Command(run, EXAMPLES, add_arguments)

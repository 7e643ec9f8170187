"""The commands: `niah generate SUITE -o FOLDER` and `niah render CASE`."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from niah.cli.guard import guarded
from niah.suite.build import generate
from niah.suite.config import load_suite
from niah.suite.folder import GeneratedSuite, read_suite, write_suite

EXAMPLES = """\
examples:
  niah generate smoke -o my-suite
      cases.jsonl, the hashes of all videos and what was left out; run it with: niah run --suite my-suite
  niah generate mine.yaml -o my-suite --keep runs/mine-other
      only needles that another model reads and cannot guess
  niah render needle-000.full.200.17 --suite smoke -o case.mp4
      one case's video, to be watched
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return 0, or 2 where the user has to mend something."""
    words = sys.argv[1:] if arguments is None else arguments
    return guarded(lambda: _render(words[1:]) if words[:1] == ["render"] else _generate(words), stopped="stopped")


def _generate(words: list[str]) -> int:
    """Write the cases of a suite into a folder."""
    parser = argparse.ArgumentParser(
        prog="niah generate",
        description="Turn a suite into cases.jsonl. To watch a case: niah render CASE",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("suite", help="a name in configs/suites, or a .yaml file of your own")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="where cases.jsonl goes")
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="RUN",
        help="only needles that the model of this run answers with needle_only and not blind: a model other than those "
        "to be asked, which niah.run makes sure of",
    )
    options = parser.parse_args(words)
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
    """Keep the needles that another model can read and cannot guess, and say which go."""
    from niah.suite.filter_needles import filter_needles  # here: reading a run loads pandas, which generating needs not

    before = {case.needle for case in generated.cases}
    kept = filter_needles(generated, run)
    assert kept.suite.kept is not None
    for skip in kept.skipped[len(generated.skipped) :]:
        sys.stderr.write(f"not kept {skip.what}: {skip.why}\n")
    sys.stdout.write(
        f"kept {len(kept.suite.kept.needles)} of {len(before)} needles: those {kept.suite.kept.by} answers with "
        "needle_only and not blind\n"
    )
    return kept


def _render(words: list[str]) -> int:
    """Write one case's video."""
    parser = argparse.ArgumentParser(
        "niah render",
        description="Write a case's video to an mp4.",
        epilog="example: niah render needle-000.full.200.17 --suite smoke -o case.mp4",
    )
    parser.add_argument("case", help="its id in cases.jsonl")
    parser.add_argument("--suite", default="default", help="a suite, or a folder that holds its cases.jsonl")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.mp4", help="default: the case's name, here")
    options = parser.parse_args(words)
    from niah.suite.render import find_case, render  # here: generating needs no decoder until it measures

    generated = _cases_of(options.suite)
    case = find_case(generated, options.case)
    path = options.output or Path(f"{case.id.replace('/', '-')}.mp4")
    sys.stdout.write(render(case, generated, path) + "\n")
    return 0


def _cases_of(suite: str) -> GeneratedSuite:
    """Read a folder's cases, or generate a suite's."""
    return read_suite(Path(suite)) if Path(suite).is_dir() else generate(*load_suite(suite))


if __name__ == "__main__":
    sys.exit(main())

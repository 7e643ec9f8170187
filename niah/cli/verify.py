"""`niah verify SUITE|RUN`: check every video against its recorded hash.

A folder of `niah generate` contains the paths of its videos. The folder of a run or a published suite does not: its
videos are looked for under --media, by name and then by hash, and built-in footage in the cache. The cases are checked
against their hash too.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from niah.cli.command import RESUMED, Command
from niah.cli.flags import add_output
from niah.integrations.hub.verify import (
    BUILT_IN,
    CHANGED,
    MISSING,
    OK,
    RecordedFolder,
    SourceCheck,
    check_sources,
    read_recorded,
)
from niah.settings import read_yaml
from niah.suite import user_media
from niah.suite.config import SUITES_FOLDER, Suite, load_suite
from niah.suite.folder import HASHES, GeneratedSuite, write_suite
from niah.suite.needles import find_problems
from niah.terminal import to_stderr, to_stdout
from niah.types import UserError

EXAMPLES = """\
examples:
  niah verify my-suite
      a folder that niah generate wrote: are its videos still there and unchanged?
  niah verify runs/mine-vilamp --media path/to/videos
      the videos of a run, whose folder contains no path
  niah verify downloaded --media path/to/videos -o my-suite
      a published suite; if every video is there, write a suite that runs on this machine
  niah verify mine.yaml
      a suite file without recorded hashes: do the files that it names exist?

exit codes: 0 everything is there and unchanged, 1 something is missing or changed, 2 a mistake in the command
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    help_text = "a folder that niah generate, niah run or niah publish wrote, or a suite"
    parser.add_argument("what", metavar="SUITE|RUN", help=help_text)
    help_text = "look for videos in this folder and below; repeatable"
    parser.add_argument("--media", action="append", default=[], type=Path, metavar="FOLDER", help=help_text)
    add_output(parser, "write a suite that runs on this machine, if every video was found")


def run(options: argparse.Namespace) -> int:
    """Check one folder or suite file."""
    for folder in options.media:
        if not folder.is_dir():
            raise UserError(f"--media {folder} is not a folder; name the one that holds the videos")
    path = Path(options.what)
    if not path.is_dir() or (SUITES_FOLDER / f"{options.what}.yaml").is_file():
        return _check_suite_file(options.what, options)
    recorded = read_recorded(path)
    findings = check_sources(recorded.sources, options.media)
    to_stdout(_format_findings(findings, recorded.wrong) + "\n")
    if not recorded.hashed:
        to_stderr(f"the cases have no recorded hash: generate or publish the suite again, to write {HASHES}\n")
    failed = bool(recorded.wrong) or any(finding.status != OK for finding in findings)
    if options.output is not None and not failed:
        _write_suite(path, recorded, findings, options.output)
    elif options.output is not None:
        to_stderr(f"{options.output} was not written, because something is missing or changed\n")
    return int(failed)


def _format_findings(findings: Sequence[SourceCheck], wrong: Sequence[str]) -> str:
    """Return what differs from the record, the counts, and how to fix it."""
    counts = Counter(finding.status for finding in findings)
    lines = [f"{f.status:8} {f.source.name}: {f.why}" for f in findings if f.status != OK]
    lines += [f"{CHANGED:8} {what}" for what in wrong]
    statuses = [f"{counts[OK]} as recorded"]
    statuses += [f"{counts[status]} {status}" for status in (CHANGED, MISSING) if counts[status]]
    lines.append(f"{len(findings)} sources: {', '.join(statuses)}")
    return "\n".join([*lines, *_advice(findings)])


def _advice(findings: Sequence[SourceCheck]) -> Iterator[str]:
    """Yield how to fix what was found."""
    found = {(finding.status, finding.source.identity.startswith(BUILT_IN)) for finding in findings}
    if (MISSING, True) in found:
        yield "fix: built-in footage is drawn by any run of its suite, or niah generate SUITE -o FOLDER"
    if (CHANGED, True) in found:
        yield (
            "fix: built-in footage drawn by another encoder has other bytes but the same pictures. The recorded "
            "version of av (run.json) gives the same bytes; delete a truncated file to have it drawn again"
        )
    if (MISSING, False) in found:
        yield "fix: put the files back, or name the folder that holds them, under any names: --media FOLDER"
    if (CHANGED, False) in found:
        yield "fix: restore the files that the cases were made from, or generate again, which makes another suite"


def _write_suite(folder: Path, recorded: RecordedFolder, findings: Sequence[SourceCheck], output: Path) -> None:
    """Write a suite with this machine's paths."""
    sources = {f.source.name: dataclasses.replace(f.source, path=str(Path(f.path or "").absolute())) for f in findings}
    write_suite(GeneratedSuite(read_yaml(Suite, folder / "suite.yaml"), recorded.cases, sources), output)
    to_stdout(f"written: {output}; run it with: niah run --model NAME --suite {output}\n")


def _check_suite_file(name: str, options: argparse.Namespace) -> int:
    """Print which files that a suite file names do not exist; there are no recorded hashes to check."""
    if options.media or options.output is not None:
        raise UserError(f"{name} has no recorded hashes; name a folder of niah generate, niah run or niah publish")
    suite = user_media.resolve(*load_suite(name))
    if suite.haystacks is None or suite.needles is None:
        to_stdout(f"{suite.name}: built-in footage, drawn when a run needs it; nothing can be missing\n")
        return 0
    count, wrong = find_problems(suite.needles, Path("."))
    try:
        videos = len(user_media.find_videos(suite.haystacks))
    except UserError as error:
        videos = 0
        wrong = [*wrong, str(error)]
    to_stdout("".join(f"{MISSING:8} {problem}\n" for problem in wrong))
    to_stdout(
        f"{suite.name}: {videos} haystack files, {count} needles, {len(wrong)} problems. There are no recorded "
        f"hashes: niah generate {name} -o FOLDER records them, niah verify FOLDER checks them\n"
    )
    return int(bool(wrong))


COMMAND = Command(run, EXAMPLES, add_arguments, stopped=RESUMED)

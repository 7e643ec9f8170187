"""`niah verify SUITE|RUN`: check every video against its recorded hash.

A folder of `niah generate` says where the files lie. A run's and a published suite's do not: their files are
looked for under --media, by name and then by hash, and built-in footage in the cache. Its cases are checked against
their own hash.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
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
from niah.types import UserError

EXAMPLES = """\
examples:
  niah verify my-suite
      a folder that niah generate wrote: are its videos still there, and the same?
  niah verify runs/mine-vilamp --media path/to/videos
      the videos of a run, which names no folder of any machine
  niah verify downloaded --media path/to/videos -o my-suite
      a published suite; if every video is there, write a suite that runs on this machine
  niah verify mine.yaml
      a suite of which no hash was kept yet: are the files there that it names?

exit codes: 0 everything is there and the same, 1 something is missing or changed, 2 a mistake in the command
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    told = "a folder that niah generate, niah run or niah publish wrote, or a suite"
    parser.add_argument("what", metavar="SUITE|RUN", help=told)
    told = "look for videos in this folder and below; repeatable"
    parser.add_argument("--media", action="append", default=[], type=Path, metavar="FOLDER", help=told)
    add_output(parser, "write a suite that runs on this machine, if every video was found")


def run(options: argparse.Namespace) -> int:
    """Check one folder or suite file."""
    for folder in options.media:
        if not folder.is_dir():
            raise UserError(f"--media {folder} is not a folder; name the one that holds the videos")
    path = Path(options.what)
    if not path.is_dir() or (SUITES_FOLDER / f"{options.what}.yaml").is_file():
        return _files_of(options.what, options)
    named = read_recorded(path)
    findings = check_sources(named.sources, options.media)
    sys.stdout.write(_told(findings, named.wrong) + "\n")
    if not named.hashed:
        sys.stderr.write(f"no hash of the cases was kept: generate or publish the suite anew, which writes {HASHES}\n")
    bad = bool(named.wrong) or any(finding.status != OK for finding in findings)
    if options.output is not None and not bad:
        _write_suite(path, named, findings, options.output)
    elif options.output is not None:
        sys.stderr.write(f"{options.output} is not written before everything is there\n")
    return int(bad)


def _told(findings: Sequence[SourceCheck], wrong: Sequence[str]) -> str:
    """Return what is not as recorded, the count, and how to fix it."""
    counts = Counter(finding.status for finding in findings)
    lines = [f"{f.status:8} {f.source.name}: {f.why}" for f in findings if f.status != OK]
    lines += [f"{CHANGED:8} {what}" for what in wrong]
    told = ", ".join(f"{counts[status]} {status}" for status in (CHANGED, MISSING) if counts[status])
    lines.append(f"{len(findings)} sources: {counts[OK]} as recorded" + (f", {told}" if told else ""))
    return "\n".join([*lines, *_advice(findings)])


def _advice(findings: Sequence[SourceCheck]) -> Iterator[str]:
    """Yield how to fix what was found."""
    bad = {(finding.status, finding.source.identity.startswith(BUILT_IN)) for finding in findings}
    if (MISSING, True) in bad:
        yield "fix: built-in footage is drawn by any run of its suite, or niah generate SUITE -o FOLDER"
    if (CHANGED, True) in bad:
        yield (
            "fix: built-in footage has other bytes where another encoder drew it; its pictures are the same. Only "
            "with the recorded version of av (run.json) are the bytes; a file cut short is drawn anew once deleted"
        )
    if (MISSING, False) in bad:
        yield "fix: put the files back, or name the folder that holds them, under any names: --media FOLDER"
    if (CHANGED, False) in bad:
        yield "fix: restore the files the cases were made from; or generate again, which makes another suite"


def _write_suite(folder: Path, named: RecordedFolder, findings: Sequence[SourceCheck], output: Path) -> None:
    """Write a suite with this machine's paths."""
    found = {f.source.name: dataclasses.replace(f.source, path=str(Path(f.path or "").absolute())) for f in findings}
    write_suite(GeneratedSuite(read_yaml(Suite, folder / "suite.yaml"), named.cases, found), output)
    sys.stdout.write(f"written: {output}; run it with: niah run --model NAME --suite {output}\n")


def _files_of(name: str, options: argparse.Namespace) -> int:
    """Say which files a suite file names are not there; no hash of them was kept."""
    if options.media or options.output is not None:
        raise UserError(f"{name} keeps no hash to look for; give a folder of niah generate, niah run or niah publish")
    suite = user_media.resolve(*load_suite(name))
    if suite.haystacks is None or suite.needles is None:
        sys.stdout.write(f"{suite.name}: built-in footage, drawn when a run needs it; nothing can be missing\n")
        return 0
    count, wrong = find_problems(suite.needles, Path("."))
    try:
        videos = len(user_media.find_videos(suite.haystacks))
    except UserError as error:
        videos, wrong = 0, [*wrong, str(error)]
    sys.stdout.write("".join(f"{MISSING:8} {words}\n" for words in wrong))
    sys.stdout.write(
        f"{suite.name}: {videos} haystack files, {count} needles, {len(wrong)} complaints. No hash was kept yet: "
        f"niah generate {name} -o FOLDER keeps them, niah verify FOLDER checks them\n"
    )
    return int(bool(wrong))


COMMAND = Command(run, EXAMPLES, add_arguments, stopped=RESUMED)

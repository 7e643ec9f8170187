"""The command: `python -m niah.verify SUITE|RUN` holds every video against the hash that was kept of it.

A folder of `niah.generate` says where the files lie. A run's and a published suite's do not: their files are
looked for under --media, by name and then by hash, and built-in footage in the cache.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from niah.command import command_parser
from niah.config import SUITES, Suite, load_suite, read_yaml
from niah.generate import Generated, own, write
from niah.media.container import sha256_of
from niah.media.errors import MediaError
from niah.media.measure import cache_folder
from niah.needles import SUFFIXES, complaints
from niah.publish.suite import read_suite
from niah.reach import refuse_outside
from niah.run.command import guarded
from niah.types import Case, Source, UserError

OK, MISSING, CHANGED = "ok", "missing", "changed"
BUILT_IN = "footage-"
EXAMPLES = """\
examples:
  python -m niah.verify my-suite
      a folder that python -m niah.generate wrote: are its videos still there, and the same?
  python -m niah.verify runs/mine-vilamp --media path/to/videos
      the videos of a run, which names no folder of any machine
  python -m niah.verify downloaded --media path/to/videos -o my-suite
      a published suite; if every video is there, write a suite that runs on this machine
  python -m niah.verify mine.yaml
      a suite of which no hash was kept yet: are the files there that it names?

exit codes: 0 everything is there and the same, 1 something is missing or changed, 2 a mistake in the command
"""


@dataclass(frozen=True)
class Finding:
    """What became of one source; `path` is the file that has its hash."""

    source: Source
    status: str
    why: str = ""
    path: Path | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, tell, and return the exit code."""
    return guarded(lambda: _verify(_parser().parse_args(arguments)))


def check(sources: Sequence[Source], media: Sequence[Path] = ()) -> list[Finding]:
    """Hold every source against its hash; `path` of a source may be empty. Hashes each file once."""
    shelf = _Shelf(media)
    return [_finding(source, shelf) for source in sources]


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "niah.verify", "Hold every video of a suite or a run against the hash that was kept of it.", EXAMPLES
    )
    add = parser.add_argument
    add("what", metavar="SUITE|RUN", help="a folder of niah.generate, niah.run or niah.publish, or a suite")
    add("--media", action="append", default=[], type=Path, metavar="FOLDER", help="look here and below; repeatable")
    add("-o", "--output", type=Path, metavar="FOLDER", help="write a suite that runs here")
    return parser


def _verify(options: argparse.Namespace) -> int:
    """Check one folder or suite file."""
    for folder in options.media:
        if not folder.is_dir():
            raise UserError(f"--media {folder} is not a folder; name the one that holds the videos")
    path = Path(options.what)
    if not path.is_dir() or (SUITES / f"{options.what}.yaml").is_file():
        return _files_of(options.what, options)
    sources, wrong = _recorded(path)
    findings = check(sources, options.media)
    sys.stdout.write(_told(findings, wrong) + "\n")
    bad = bool(wrong) or any(finding.status != OK for finding in findings)
    if options.output is not None and not bad:
        _write_suite(path, findings, options.output)
    elif options.output is not None:
        sys.stderr.write(f"{options.output} is not written before everything is there\n")
    return int(bad)


def _recorded(folder: Path) -> tuple[list[Source], list[str]]:
    """Return the sources a folder names, and what is wrong with its cases."""
    if (folder / "data" / "sources.parquet").is_file():
        rows = read_suite(folder)[1]
        return [_source(row, f"{folder}, source {number}") for number, row in enumerate(rows, start=1)], []
    file = folder / "sources.jsonl"
    if not file.is_file():
        raise UserError(f"{folder} names no sources; give a folder of niah.generate, niah.run or niah.publish")
    lines = file.read_text(encoding="utf-8").splitlines()
    try:
        rows = [json.loads(line) for line in lines if line.strip()]
    except ValueError as error:
        raise UserError(f"{file} is not JSON lines ({error}); restore it") from error
    return [_source(row, f"{file}, line {number}") for number, row in enumerate(rows, start=1)], _cases_of_run(folder)


def _cases_of_run(folder: Path) -> list[str]:
    """Return what is wrong with the cases of a run; nothing for a folder that is none."""
    about = folder / "run.json"
    if not about.is_file():
        return []
    wanted = json.loads(about.read_text(encoding="utf-8"))["decides"]["cases_sha256"]
    found = hashlib.sha256((folder / "cases.jsonl").read_bytes()).hexdigest()
    return [] if found == wanted else [f"cases.jsonl has sha256 {found[:16]}, the run asked {wanted[:16]}: restore it"]


def _source(row: Any, where: str) -> Source:
    """Return a source whose path may be unknown."""
    names = [field.name for field in dataclasses.fields(Source)]
    try:
        return Source(**{name: row.get(name, "") if name == "path" else row[name] for name in names})
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{where} is no source ({error!r}); restore the file") from error


class _Shelf:
    """Video files to look in, each hashed at most once and only when nothing else helps."""

    def __init__(self, media: Sequence[Path]) -> None:
        self.media = media
        self._hashes: dict[Path, str] = {}
        self._files: list[Path] | None = None

    def hash_of(self, path: Path) -> str:
        """Return the hash of a file. Raises MediaError where it cannot be read."""
        if path not in self._hashes:
            self._hashes[path] = sha256_of(path)
        return self._hashes[path]

    def named(self, name: str) -> Iterator[Path]:
        """Yield files of a name: at that place in a folder, then anywhere in it."""
        for folder in self.media:
            try:
                refuse_outside(folder / name, folder, name)
            except UserError:  # a name that leads out of the folder names nothing in it
                continue
            if (folder / name).is_file():
                yield folder / name
        yield from (path for path in self.files() if path.name == Path(name).name)

    def files(self) -> list[Path]:
        """Return every video of the folders."""
        if self._files is None:
            found = (path for folder in self.media for path in sorted(folder.rglob("*")))
            self._files = [path for path in found if path.suffix.lower() in SUFFIXES and path.is_file()]
        return self._files


def _finding(source: Source, shelf: _Shelf) -> Finding:
    """Look for a source where it was, where its name leads, and at last among all videos."""
    changed = ""
    for path in _places(source, shelf):
        try:
            digest = shelf.hash_of(path)
        except MediaError as error:
            changed = changed or str(error)
            continue
        if digest == source.sha256:
            return Finding(source, OK, path=path)
        changed = changed or f"{path} has sha256 {digest[:16]}, recorded was {source.sha256[:16]}"
    for path in shelf.files():
        try:
            if shelf.hash_of(path) == source.sha256:
                return Finding(source, OK, path=path)
        except MediaError:  # an unreadable file is not the one that was recorded
            continue
    if changed:
        return Finding(source, CHANGED, changed)
    where = f" at {source.path}" if source.path else ""
    return Finding(source, MISSING, f"no file{where} with sha256 {source.sha256[:16]}")


def _places(source: Source, shelf: _Shelf) -> Iterator[Path]:
    """Yield the files that should be this source."""
    if source.path and Path(source.path).exists():
        yield Path(source.path)
    if source.identity.startswith(BUILT_IN):
        drawn, _, name = source.identity.partition(":")
        world, _, stem = name.partition("/")
        for root in sorted((cache_folder() / drawn / Path(world).name).glob("*-fps")):
            yield from (p for p in (root / f"{stem}.mp4", root / f"{stem}-{source.frames}.mp4") if p.is_file())
    yield from shelf.named(source.name)


def _told(findings: Sequence[Finding], wrong: Sequence[str]) -> str:
    """Return what is not as recorded, the count, and how to mend it."""
    counts = Counter(finding.status for finding in findings)
    lines = [f"{f.status:8} {f.source.name}: {f.why}" for f in findings if f.status != OK]
    lines += [f"{CHANGED:8} {what}" for what in wrong]
    told = ", ".join(f"{counts[status]} {status}" for status in (CHANGED, MISSING) if counts[status])
    lines.append(f"{len(findings)} sources: {counts[OK]} as recorded" + (f", {told}" if told else ""))
    return "\n".join([*lines, *_advice(findings)])


def _advice(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield how to mend what was found."""
    bad = {(finding.status, finding.source.identity.startswith(BUILT_IN)) for finding in findings}
    if (MISSING, True) in bad:
        yield "mend: built-in footage is drawn by any run of its suite, or python -m niah.generate SUITE -o FOLDER"
    if (CHANGED, True) in bad:
        yield (
            "mend: built-in footage has other bytes where another encoder drew it; its pictures are the same. Only "
            "with the recorded version of av (run.json) are the bytes; a file cut short is drawn anew once deleted"
        )
    if (MISSING, False) in bad:
        yield "mend: put the files back, or name the folder that holds them, under any names: --media FOLDER"
    if (CHANGED, False) in bad:
        yield "mend: restore the files the cases were made from; or generate again, which makes another suite"


def _write_suite(folder: Path, findings: Sequence[Finding], output: Path) -> None:
    """Write a suite with this machine's paths."""
    if (folder / "data").is_dir():
        cases = read_suite(folder)[0]
    else:
        lines = (folder / "cases.jsonl").read_text(encoding="utf-8").splitlines()
        cases = [Case.from_json(json.loads(line)) for line in lines]
    found = {f.source.name: dataclasses.replace(f.source, path=str(Path(f.path or "").absolute())) for f in findings}
    write(Generated(read_yaml(Suite, folder / "suite.yaml"), tuple(cases), found), output)
    sys.stdout.write(f"written: {output}; run it with: python -m niah.run --model NAME --suite {output}\n")


def _files_of(name: str, options: argparse.Namespace) -> int:
    """Say which files a suite file names are not there; no hash of them was kept."""
    if options.media or options.output is not None:
        raise UserError(f"{name} keeps no hash to look for; give a folder of niah.generate, niah.run or niah.publish")
    suite = own.resolve(*load_suite(name))
    if suite.haystacks is None or suite.needles is None:
        sys.stdout.write(f"{suite.name}: built-in footage, drawn when a run needs it; nothing can be missing\n")
        return 0
    count, wrong = complaints(suite.needles, Path("."))
    try:
        videos = len(own.find_videos(suite.haystacks))
    except UserError as error:
        videos, wrong = 0, [*wrong, str(error)]
    sys.stdout.write("".join(f"{MISSING:8} {words}\n" for words in wrong))
    sys.stdout.write(
        f"{suite.name}: {videos} haystack files, {count} needles, {len(wrong)} complaints. No hash was kept yet: "
        f"python -m niah.generate {name} -o FOLDER keeps them, python -m niah.verify FOLDER checks them\n"
    )
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())

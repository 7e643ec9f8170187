"""Verify a suite or run: find the file of every source, and check cases and sources against their recorded hashes.

A file is looked for at its recorded path, then by name, then by hash. A run keeps hashes in run.json; `niah generate`
and `niah publish` write hashes.json. An older suite has no hashes: then only missing sources are noticed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from niah.integrations.hub.publish_suite import BUILT_IN, read_published_suite
from niah.io import cache_folder, read_json_lines, stored_path
from niah.media.container import sha256_of
from niah.media.errors import MediaError
from niah.run.metadata import read_metadata
from niah.run.records import read_cases
from niah.settings import read_yaml
from niah.suite.config import Suite
from niah.suite.downloads import refuse_outside
from niah.suite.folder import cases_sha256, read_hashes, sources_sha256, suite_sha256
from niah.suite.needles import VIDEO_SUFFIXES
from niah.types import Case, Source, UserError

OK, MISSING, CHANGED = "ok", "missing", "changed"


@dataclass(frozen=True)
class SourceCheck:
    """The result of looking for one source; `path` is the file that has its hash."""

    source: Source
    status: str
    why: str = ""
    path: Path | None = None


def check_sources(sources: Sequence[Source], media: Sequence[Path] = ()) -> list[SourceCheck]:
    """Look for a file with the hash of each source, whose `path` may be empty. Hashes each file at most once."""
    folders = _VideoFolders(media)
    return [_finding(source, folders) for source in sources]


class _VideoFolders:
    """The folders to search; each file is hashed at most once, and only when needed."""

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
        """Yield files with a name: at that path in a folder, then anywhere in it."""
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
            self._files = [path for path in found if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()]
        return self._files


def _finding(source: Source, folders: _VideoFolders) -> SourceCheck:
    """Look for a source at its recorded path, by its name, and at last among all videos."""
    changed = ""
    for path in _places(source, folders):
        try:
            digest = folders.hash_of(path)
        except MediaError as error:
            changed = changed or str(error)
            continue
        if digest == source.sha256:
            return SourceCheck(source, OK, path=path)
        changed = changed or f"{path} has sha256 {digest[:16]}, recorded was {source.sha256[:16]}"
    for path in folders.files():
        try:
            if folders.hash_of(path) == source.sha256:
                return SourceCheck(source, OK, path=path)
        except MediaError:  # an unreadable file is not the one that was recorded
            continue
    if changed:
        return SourceCheck(source, CHANGED, changed)
    where = f" at {source.path}" if source.path else ""
    return SourceCheck(source, MISSING, f"no file{where} with sha256 {source.sha256[:16]}")


def _places(source: Source, folders: _VideoFolders) -> Iterator[Path]:
    """Yield the files that are expected to be this source."""
    if source.path and Path(source.path).exists():
        yield Path(source.path)
    if source.identity.startswith(BUILT_IN):
        drawn, _, name = source.identity.partition(":")
        world, _, stem = name.partition("/")
        for root in sorted((cache_folder() / drawn / Path(world).name).glob("*-fps")):
            yield from (p for p in (root / f"{stem}.mp4", root / f"{stem}-{source.frames}.mp4") if p.is_file())
    yield from folders.named(source.name)


@dataclass(frozen=True)
class RecordedFolder:
    """What a folder records; `wrong` lists what does not match its hashes."""

    cases: tuple[Case, ...]
    sources: tuple[Source, ...]
    wrong: tuple[str, ...]
    hashed: bool  # whether a hash of the cases was kept


def read_recorded(folder: Path) -> RecordedFolder:
    """Read the folder of a run, of niah generate or of niah publish. Raises UserError where it is none of them."""
    if (folder / "data" / "sources.parquet").is_file():
        cases, rows = read_published_suite(folder)
        names = ("data/cases.parquet", "data/sources.parquet")
        digest = cases_sha256(cases)
        named = [(row, f"{folder}, source {number}") for number, row in enumerate(rows, start=1)]
    elif stored_path(folder / "sources.jsonl") is not None:
        names = ("cases.jsonl", "sources.jsonl")
        named = list(_rows(folder / "sources.jsonl"))
        cases, digest = _cases(folder)
    else:
        raise UserError(f"{folder} names no sources; give a folder of niah generate, niah run or niah publish")
    sources = tuple(_source(row, where) for row, where in named)
    run = (folder / "run.json").is_file()
    kept = read_metadata(folder).get("decides", {}) if run else read_hashes(folder)
    unnamed = [] if run else _unnamed(cases, sources, names[1])
    wrong = [*_changed(kept, names, digest, sources), *_other_suite(folder, kept), *unnamed]
    return RecordedFolder(tuple(cases), sources, tuple(wrong), "cases_sha256" in kept)


def _changed(
    kept: Mapping[str, str], names: tuple[str, str], digest: str, sources: tuple[Source, ...]
) -> Iterator[str]:
    """Yield which of the two files does not have its recorded hash."""
    found = (digest, sources_sha256({source.name: source.sha256 for source in sources}))
    for name, key, have in zip(names, ("cases_sha256", "sources_sha256"), found, strict=True):
        if kept.get(key, have) != have:
            yield f"{name} has sha256 {have[:16]}, recorded was {kept[key][:16]}: restore it"


def _other_suite(folder: Path, kept: Mapping[str, Any]) -> Iterator[str]:
    """Yield where suite.yaml differs from its recorded hash or from the run's sampling; an older suite has no hash."""
    if "suite_sha256" in kept and suite_sha256(folder) != kept["suite_sha256"]:
        yield f"suite.yaml is not as recorded (sha256 {kept['suite_sha256'][:16]}): restore it"
    if "sampling" in kept and (folder / "suite.yaml").is_file():
        sampling = dataclasses.asdict(read_yaml(Suite, folder / "suite.yaml").sampling)
        if sampling != {key: value for key, value in kept["sampling"].items() if key != "crops"}:
            yield f"suite.yaml has sampling {sampling}, the run was asked with {kept['sampling']}: restore it"


def _unnamed(cases: Sequence[Case], sources: tuple[Source, ...], name: str) -> Iterator[str]:
    """Yield the sources that cases show and the folder does not list."""
    absent = {span.source for case in cases for span in case.timeline} - {source.name for source in sources}
    if absent:
        yield f"{name} does not list {len(absent)} sources that its cases show, such as {min(absent)!r}: restore it"


def _cases(folder: Path) -> tuple[Sequence[Case], str]:
    """Return the cases of a suite or run, and the hash of their file."""
    try:
        return read_cases(folder)
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} is missing; restore the file") from None


def _rows(path: Path) -> Iterator[tuple[Any, str]]:
    """Yield the value of each line, and the file and line number it comes from."""
    for number, row in read_json_lines(path, lambda row: row, "restore the file"):
        yield row, f"{path}, line {number}"


def _source(row: Any, where: str) -> Source:
    """Return a source whose path may be unknown."""
    optional = {"path": "", "crop": ()}
    names = [field.name for field in dataclasses.fields(Source)]
    try:
        return Source(**{name: row.get(name) or optional[name] if name in optional else row[name] for name in names})
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{where} is no source ({error!r}); restore the file") from error

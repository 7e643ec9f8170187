"""Find the file of every source: where it was, where its name leads, and at last by its hash."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from niah.io import cache_folder
from niah.media.container import sha256_of
from niah.media.errors import MediaError
from niah.suite.downloads import refuse_outside
from niah.suite.needles import SUFFIXES
from niah.types import Source, UserError

OK, MISSING, CHANGED = "ok", "missing", "changed"
BUILT_IN = "footage-"


@dataclass(frozen=True)
class Finding:
    """What became of one source; `path` is the file that has its hash."""

    source: Source
    status: str
    why: str = ""
    path: Path | None = None


def check(sources: Sequence[Source], media: Sequence[Path] = ()) -> list[Finding]:
    """Hold every source against its hash; `path` of a source may be empty. Hashes each file once."""
    shelf = _Shelf(media)
    return [_finding(source, shelf) for source in sources]


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

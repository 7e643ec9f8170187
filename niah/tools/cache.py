"""The commands: `niah cache list` and `niah cache clean`: what is kept between runs.

All of it can be made again. Only files below folders that the project itself makes are deleted, so that a
$VIDEONIAH_CACHE that is set to somebody's home costs nothing; links are neither followed nor deleted.
"""

from __future__ import annotations

import argparse
import errno
import os
import re
import stat
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from niah.cli.guard import guarded
from niah.cli.parser import command_parser
from niah.io import cache_folder
from niah.types import UserError

KINDS = {
    "footage": "built-in haystacks and needles; drawn again in a minute or so",
    "index": "when each frame of a measured file is shown; measured again in seconds to minutes a file",
    "hashes": "of frames, to find near-duplicates; made again in seconds a file",
    "rendered": "videos of cases, for models that insist on a file; rendered again in a minute or so each",
    "downloads": "videos that needles named by address; downloaded again",
}
UNITS = {"h": 3600, "d": 86400, "w": 7 * 86400}
MIB = 2**20
EXAMPLES = """\
examples:
  niah cache list
      how much of what there is, and when it was last used
  niah cache clean --older-than 30d --dry_run
      what would go, of everything not used for 30 days (h, d and w: hours, days, weeks)
  niah cache clean --what rendered,downloads
      two kinds, whatever their age

Nothing a run writes lies in the cache. Let no run go on while it is cleaned: one that finds a file gone
records errors, and asks those cases again when it is started again.
"""


@dataclass(frozen=True)
class CachedFile:
    """One file of the cache."""

    kind: str
    path: Path
    bytes: int
    used: float  # seconds since 1970: when it was last read or written, as far as the file system notes it


def main(arguments: Sequence[str] | None = None) -> int:
    """List or clean, and return the exit code."""
    return guarded(lambda: _told(_parser().parse_args(arguments)))


def kept(root: Path) -> Iterator[CachedFile]:
    """Yield every regular file of the cache's own folders; no link is followed."""
    if not root.is_dir():
        return
    for folder in sorted(root.iterdir()):
        kind = _kind(folder.name)
        if kind is None or folder.is_symlink():
            continue
        for parent, _, names in os.walk(folder):
            for name in sorted(names):
                try:
                    status = os.lstat(os.path.join(parent, name))
                except FileNotFoundError:  # a run beside this has given a partial file its name
                    continue
                if stat.S_ISREG(status.st_mode):
                    yield CachedFile(kind, Path(parent, name), status.st_size, max(status.st_atime, status.st_mtime))


def clean(root: Path, files: Iterable[CachedFile]) -> None:
    """Delete files of the cache, and folders this leaves empty. Raises UserError for one outside of `root`."""
    for file in files:
        if _kind(file.path.relative_to(root).parts[0]) is None or ".." in file.path.parts:
            raise UserError(f"{file.path} is no file of the cache {root}")
        _unlink(root, file.path)
        for parent in file.path.parents:
            if parent == root or not _removed(parent):
                break


def age(text: str) -> float:
    """Return seconds, given "30d", "12h" or "2w"."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([hdw])", text.strip())
    if match is None:
        raise UserError(f"--older-than is a number with h, d or w (30d), got {text!r}")
    return float(match[1]) * UNITS[match[2]]


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "niah.cache",
        f"Say what is kept between runs in {cache_folder()}, or delete it ($VIDEONIAH_CACHE moves it).",
        EXAMPLES,
    )
    parser.add_argument("command", choices=("list", "clean"), help="what to do")
    parser.add_argument("--older-than", metavar="AGE", help="clean only what was not used for so long: 12h, 30d, 2w")
    parser.add_argument("--what", metavar="KIND,KIND", help=f"clean only these: {', '.join(KINDS)}")
    parser.add_argument("--dry_run", action="store_true", help="say what clean would delete, and delete nothing")
    return parser


def _told(options: argparse.Namespace) -> int:
    """Do what the options say."""
    return _list() if options.command == "list" else _clean(options)


def _list() -> int:
    """Print a line for each kind."""
    root, found = cache_folder(), {kind: [] for kind in KINDS}
    for file in kept(root):
        found[file.kind].append(file)
    sys.stdout.write(f"{root}\n{'kind':10} {'files':>7} {'MiB':>9}  last used   what it is\n")
    for kind, files in found.items():
        used = time.strftime("%Y-%m-%d", time.localtime(max(file.used for file in files))) if files else "-"
        size = sum(file.bytes for file in files) / MIB
        sys.stdout.write(f"{kind:10} {len(files):7,} {size:9,.1f}  {used:10}  {KINDS[kind]}\n")
    others = sorted(path.name for path in root.iterdir() if _kind(path.name) is None) if root.is_dir() else []
    if others:
        sys.stdout.write(f"not the cache's, never touched: {', '.join(others[:10])}\n")
    return 0


def _clean(options: argparse.Namespace) -> int:
    """Delete what the options name, or say what they would."""
    kinds = options.what.replace(" ", "").split(",") if options.what is not None else list(KINDS)
    for kind in kinds:
        if kind not in KINDS:
            raise UserError(f"the cache holds no {kind!r}; known: {', '.join(KINDS)}")
    before = time.time() - age(options.older_than) if options.older_than is not None else float("inf")
    root = cache_folder()
    files = [file for file in kept(root) if file.kind in kinds and file.used < before]
    if not options.dry_run:
        clean(root, files)
    size = sum(file.bytes for file in files) / MIB
    would = "would delete" if options.dry_run else "deleted"
    sys.stdout.write(f"{would} {len(files):,} files, {size:,.1f} MiB, of {root}\n")
    return 0


def _kind(name: str) -> str | None:
    """Return what a folder of the cache holds; None for one that is not the cache's."""
    if re.fullmatch(r"footage-\d+", name):
        return "footage"
    return name if name in KINDS and name != "footage" else None


def _removed(folder: Path) -> bool:
    """Remove a folder if it is empty; tell whether it is gone."""
    try:
        folder.rmdir()
    except FileNotFoundError:  # another command was quicker
        return True
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        return False
    return True


def _unlink(root: Path, path: Path) -> None:
    """Delete a file, opening one folder after the other so that none of them can be a link by now."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in path.relative_to(root).parts[:-1]:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        os.unlink(path.name, dir_fd=folder)
    except FileNotFoundError:  # another command was quicker
        return
    finally:
        os.close(folder)


if __name__ == "__main__":
    sys.exit(main())
